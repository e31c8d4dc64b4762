//! A thousand refusals of one response (P11) make one line of the log and one count, and no response.

use std::{fs, process::Stdio, time::Instant};

use tokio::runtime::Runtime;

use crate::{
    harness::{FakeEnvoy, PATIENCE, clusters},
    process::Process,
};

const REFUSALS: usize = 1000;

#[test]
fn thousand_refusals_of_one_response_are_one_line_of_the_log_and_no_response() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let writing = Stdio::from(fs::File::create(&log).unwrap());
    let process = Process::start_with(&dir.path().join("data"), &["--log-level=info"], writing);
    let publish = |names: &[&str]| {
        let file = dir.path().join("clusters.yaml");
        fs::write(&file, clusters(names)).unwrap();
        let published = process.run(&["replace", "-g", "demo", "-f", file.to_str().unwrap()]);
        assert_eq!(published.code, 0, "{published:?}");
    };
    publish(&["a"]);
    let addresses = process.addresses();
    let runtime = Runtime::new().unwrap();
    let count = |series: &str| {
        let (_, metrics) = process.get("/metrics");
        let value = metrics
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.expect("a series").parse::<usize>().unwrap()
    };
    let mut envoy = runtime.block_on(FakeEnvoy::connect(addresses, "demo", "n"));
    runtime.block_on(async {
        let refused = envoy.next().await;
        for number in 0..REFUSALS {
            envoy
                .nack(&refused, &format!("no such luck, for the {number}th time"))
                .await;
        }
    });
    let begun = Instant::now();
    while count("xds_requests_total{protocol=\"sotw\"}") < REFUSALS + 1 {
        assert!(begun.elapsed() < PATIENCE, "every refusal is read");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    // The server answers in order: after the next response, all earlier requests are settled.
    publish(&["b"]);
    let next = runtime.block_on(envoy.next());
    assert_eq!(next.resources.len(), 1);
    let of_clusters = |name: &str| count(&format!("{name}{{protocol=\"sotw\",type=\"cluster\"}}"));
    assert_eq!(of_clusters("xds_nacks_total"), 1);
    assert_eq!(of_clusters("xds_responses_total"), 2);
    let log = fs::read_to_string(&log).unwrap();
    let (_, log) = log.split_once("stream opened").expect("the stream is in the log");
    assert_eq!(log.matches("NACK").count(), 1, "{log}");
    assert_eq!(log.matches("no such luck").count(), 1, "{log}");
    assert!(log.lines().count() < 30, "{log}");
}
