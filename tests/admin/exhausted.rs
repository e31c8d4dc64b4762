//! A process without a free file descriptor (T13): it waits instead of spinning, serves the connections that are open, and accepts
//! again once descriptors are free.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::Stdio,
    time::{Duration, Instant},
};

use chancery::proto::admin::{ListNodesRequest, node_service_client::NodeServiceClient};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tokio::runtime::Runtime;

use crate::{
    harness::{FakeEnvoy, PATIENCE, clusters},
    process::Process,
};

/// Failures to accept in a row until the pause reaches its maximum: 10 ms, doubled up to 1 s.
const UNTIL_LONGEST: u32 = 8;

/// Number of free descriptors, for the connections that take the last ones.
const LEFT: u64 = 4;

/// The unit of process times in `/proc`, the same on every architecture, whatever the kernel's tick.
const TICKS_PER_SECOND: u64 = 100;

/// Sets the process's limit of open files, and returns the earlier limit.
fn limit_descriptors(process: &Process, most: u64) -> u64 {
    let pid = Pid::from_raw(i32::try_from(process.pid()).unwrap());
    let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
    let limits = Rlimit {
        current: Some(most),
        maximum,
    };
    let before = prlimit(pid, Resource::Nofile, limits).unwrap();
    before.current.expect("a limit of open files")
}

/// The lowest number that is not a descriptor of the process.
fn lowest_free(process: &Process) -> u64 {
    let is_open = |number: &u64| fs::symlink_metadata(format!("/proc/{}/fd/{number}", process.pid())).is_ok();
    (0..).find(|number| !is_open(number)).expect("there are free ones")
}

/// The CPU time of the process.
fn computed(process: &Process) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.pid())).unwrap();
    let after_name = stat.rsplit_once(") ").unwrap().1;
    let ticks = after_name
        .split(' ')
        .skip(11)
        .take(2)
        .map(|ticks| ticks.parse::<u64>().unwrap());
    Duration::from_millis(ticks.sum::<u64>() * 1000 / TICKS_PER_SECOND)
}

/// An HTTP/1.1 connection that never reconnects, like one of a connection pool.
struct KeptAlive(TcpStream, SocketAddr);

impl KeptAlive {
    fn open(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(stream, addr)
    }

    /// Status and body of a path.
    fn get(&self, path: &str) -> (u16, String) {
        let mut stream = &self.0;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.1).unwrap();
        let mut reader = BufReader::new(stream);
        let mut line = || {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            line.trim_end().to_ascii_lowercase()
        };
        let status = line().split(' ').nth(1).expect("a status").parse().unwrap();
        let mut length = 0;
        for header in std::iter::from_fn(|| Some(line()).filter(|line| !line.is_empty())) {
            if let Some(given) = header.strip_prefix("content-length: ") {
                length = given.parse().unwrap();
            }
        }
        let mut text = vec![0; length];
        reader.read_exact(&mut text).unwrap();
        (status, String::from_utf8(text).unwrap())
    }
}

#[test]
fn process_without_descriptors_waits_and_accepts_again_once_there_are_some() {
    let dir = tempfile::tempdir().unwrap();
    // Silent connections keep their descriptors.
    let patient = ["--connections-opening-timeout=10m", "--connections-idle-timeout=10m"];
    let process = Process::start_with(&dir.path().join("data"), &patient, Stdio::null());
    let publish = |names: &[&str]| {
        let file = dir.path().join("clusters.yaml");
        fs::write(&file, clusters(names)).unwrap();
        process.run(&["replace", "-g", "demo", "-f", file.to_str().unwrap()])
    };
    assert_eq!(publish(&["a"]).code, 0);
    let addresses = process.addresses();
    let runtime = Runtime::new().unwrap();
    // Connections opened before the descriptors run out.
    let probes = KeptAlive::open(addresses.http);
    let get = |path: &str| probes.get(path);
    let failures = || {
        let (_, metrics) = get("/metrics");
        let series = metrics
            .lines()
            .find_map(|line| line.strip_prefix("xds_accept_errors_total{port=\"xds\"} "));
        series
            .expect("the series is there from the start")
            .parse::<u32>()
            .unwrap()
    };
    let mut admin = NodeServiceClient::new(runtime.block_on(async {
        let url = format!("http://{}", addresses.admin);
        tonic::transport::Endpoint::from_shared(url)
            .unwrap()
            .connect()
            .await
            .unwrap()
    }));
    let mut nodes = || {
        let listed = runtime.block_on(admin.list_nodes(ListNodesRequest::default()));
        listed.unwrap().into_inner().nodes.len()
    };
    let mut served = runtime.block_on(FakeEnvoy::connect(addresses, "demo", "served"));
    runtime.block_on(async {
        let clusters = served.next().await;
        served.ack(&clusters).await;
    });
    assert_eq!((get("/readyz").0, nodes(), failures()), (200, 1, 0));

    let before = limit_descriptors(&process, lowest_free(&process) + LEFT);
    let (begun, worked) = (Instant::now(), computed(&process));
    let mut silent = Vec::new();
    while failures() < UNTIL_LONGEST + 2 {
        if silent.len() < 64 {
            silent.push(TcpStream::connect(addresses.xds).unwrap());
        }
        assert!(begun.elapsed() < PATIENCE, "every descriptor was taken");
        // Open connections are served meanwhile.
        assert_eq!((get("/livez").0, nodes()), (200, 1));
        std::thread::sleep(Duration::from_millis(50));
    }
    let (took, failed) = (begun.elapsed(), failures());
    let allowed = UNTIL_LONGEST + u32::try_from(took.as_secs()).unwrap() + 2;
    assert!(
        failed <= allowed,
        "{failed} failures in {took:?}: each waits longer than the one before"
    );
    let worked = computed(&process) - worked;
    assert!(worked < took / 2, "{worked:?} of {took:?}: it does not spin");

    // A node that connects now waits in the backlog, and is served once the old limit is back.
    let late = runtime.spawn(async move {
        let mut late = FakeEnvoy::connect(addresses, "demo", "late").await;
        late.next().await
    });
    limit_descriptors(&process, before);
    let first = runtime.block_on(async { tokio::time::timeout(PATIENCE, late).await });
    assert_eq!(first.expect("the node is served").unwrap().resources.len(), 1);
    drop(silent);
    assert_eq!(publish(&["a", "b"]).code, 0, "over a new connection to the admin port");
    assert_eq!(runtime.block_on(served.next()).resources.len(), 2);
    assert_eq!(process.get("/readyz").0, 200, "over a new connection to the HTTP port");
}
