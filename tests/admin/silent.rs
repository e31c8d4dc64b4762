//! Ten thousand silent connections (T01): each is closed, and nodes and probes are served meanwhile.

use std::{
    io::{ErrorKind, Read as _},
    net::TcpStream,
    process::Stdio,
    time::{Duration, Instant},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{net::TcpSocket, runtime::Runtime};

use crate::{
    harness::{FakeEnvoy, PATIENCE, clusters},
    process::Process,
};

/// Number of connections, from several addresses of the loopback, since one address may not have as many.
const CONNECTIONS: usize = 10_000;
const ADDRESSES: usize = 100;

/// Raises this process's limit of open files for its side of the connections.
fn raise_descriptors() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let enough = maximum.is_none_or(|most| most > 11_000);
    assert!(
        enough,
        "the hard limit of open files is {maximum:?}: raise it (ulimit -Hn 20000)"
    );
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, raised).unwrap();
}

async fn connect(process: &Process, number: usize) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    let from = u8::try_from(number % ADDRESSES + 1).unwrap();
    socket.bind(([127, 0, 2, from], 0).into()).unwrap();
    let stream = socket.connect(process.address("xds")).await.unwrap();
    stream.into_std().unwrap()
}

#[test]
fn ten_thousand_silent_connections_are_closed_while_others_are_served() {
    raise_descriptors();
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start_with(
        &dir.path().join("data"),
        &["--connections-opening-timeout=3s"],
        Stdio::null(),
    );
    let publish = |names: &[&str]| {
        let file = dir.path().join("clusters.yaml");
        std::fs::write(&file, clusters(names)).unwrap();
        let published = process.run(&["replace", "-g", "demo", "-f", file.to_str().unwrap()]);
        assert_eq!(published.code, 0, "{published:?}");
    };
    publish(&["a"]);
    let runtime = Runtime::new().unwrap();
    let mut envoy = runtime.block_on(FakeEnvoy::connect(process.addresses(), "demo", "n"));
    runtime.block_on(async {
        let clusters = envoy.next().await;
        envoy.ack(&clusters).await;
    });

    let mut silent = Vec::with_capacity(CONNECTIONS);
    for number in 0..CONNECTIONS {
        silent.push(runtime.block_on(connect(&process, number)));
    }
    publish(&["a", "b"]);
    assert_eq!(runtime.block_on(envoy.next()).resources.len(), 2, "a node is served");
    assert_eq!(process.get("/readyz").0, 200, "a probe is answered");
    let mut late = runtime.block_on(FakeEnvoy::connect(process.addresses(), "demo", "late"));
    assert_eq!(runtime.block_on(late.next()).resources.len(), 2, "a new node is let in");
    for mut stream in silent {
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // The server sends its HTTP/2 settings, then closes.
        if let Err(error) = stream.read_to_end(&mut Vec::new()) {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
        }
    }
    let left = || {
        let (_, metrics) = process.get("/metrics");
        let open = metrics
            .lines()
            .find_map(|line| line.strip_prefix("xds_connections{port=\"xds\"} "));
        open.expect("the series").parse::<usize>().unwrap()
    };
    let begun = Instant::now();
    while left() > 2 {
        assert!(begun.elapsed() < PATIENCE, "{} are open", left());
        std::thread::sleep(Duration::from_millis(20));
    }
}
