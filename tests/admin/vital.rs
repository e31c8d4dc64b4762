//! A process that lost a port (T17) ends in order, with the exit code that lets it be restarted.

use std::{fs, net::SocketAddr, net::TcpStream, os::fd::OwnedFd, process::Stdio};

use rustix::process::{ForeignRawFd, Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use tokio::runtime::Runtime;
use tonic::Code;

use crate::{
    harness::{FakeEnvoy, clusters},
    process::Process,
};

/// The descriptor with which the process listens at an address.
fn listening(process: &Process, addr: SocketAddr) -> ForeignRawFd {
    let table = fs::read_to_string(format!("/proc/{}/net/tcp", process.pid())).unwrap();
    let local = format!("0100007F:{:04X}", addr.port());
    let rows = table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
    let inode = rows
        .filter(|row| row.len() > 9 && row[1] == local && row[3] == "0A")
        .map(|row| row[9].to_owned())
        .next()
        .expect("the port listens");
    let open = fs::read_dir(format!("/proc/{}/fd", process.pid())).unwrap();
    let leads_there =
        |path: &std::path::Path| fs::read_link(path).is_ok_and(|to| to.to_str() == Some(&format!("socket:[{inode}]")));
    let found = open.map(|entry| entry.unwrap().path()).find(|path| leads_there(path));
    let name = found.expect("the process has the socket");
    name.file_name().unwrap().to_str().unwrap().parse().unwrap()
}

/// Shuts down the process's listening socket, as a broken network stack would.
fn break_port(process: &Process, addr: SocketAddr) {
    let pid = Pid::from_raw(i32::try_from(process.pid()).unwrap()).unwrap();
    let handle = pidfd_open(pid, PidfdFlags::empty()).unwrap();
    let socket: OwnedFd = pidfd_getfd(handle, listening(process, addr), PidfdGetfdFlags::empty()).unwrap();
    TcpStream::from(socket).shutdown(std::net::Shutdown::Both).unwrap();
}

#[test]
fn process_whose_port_is_broken_ends_in_order_to_be_started_again() {
    for port in ["xds", "admin", "http"] {
        let dir = tempfile::tempdir().unwrap();
        let log = fs::File::create(dir.path().join("log")).unwrap();
        let process = Process::start_with(&dir.path().join("data"), &[], Stdio::from(log));
        let file = dir.path().join("clusters.yaml");
        fs::write(&file, clusters(&["a"])).unwrap();
        let published = process.run(&["replace", "-g", "demo", "-f", file.to_str().unwrap()]);
        assert_eq!(published.code, 0, "{published:?}");
        let addresses = process.addresses();
        let runtime = Runtime::new().unwrap();
        let mut envoy = runtime.block_on(FakeEnvoy::connect(addresses, "demo", "n"));
        runtime.block_on(async {
            let clusters = envoy.next().await;
            envoy.ack(&clusters).await;
        });

        break_port(&process, process.address(port));
        let status = runtime.block_on(envoy.end());
        assert_eq!(
            status.code(),
            Code::Unavailable,
            "streams end as at a shutdown: {status:?}"
        );
        assert_eq!(process.end(), Some(6), "{port}");
        let log = fs::read_to_string(dir.path().join("log")).unwrap();
        assert!(log.contains("the port listens no longer"), "{port}: {log}");
        assert!(log.contains("a task died that the process needs"), "{port}: {log}");
        let process = Process::start(&dir.path().join("data"));
        assert_eq!(process.get("/readyz").0, 200);
    }
}
