//! Load reports (LRS) of hand-written clients.

use std::time::{Duration, Instant};

use chancery::{
    proto::envoy::{
        config::{
            core::v3::Node,
            endpoint::v3::{ClusterStats, UpstreamLocalityStats},
        },
        service::load_stats::v3::{
            LoadStatsRequest, LoadStatsResponse, load_reporting_service_client::LoadReportingServiceClient,
        },
    },
    settings::{FleetLayer, Layer, LrsLayer},
};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming, transport::Endpoint};

use crate::harness::{PATIENCE, Server, clusters};

struct Reporter {
    requests: mpsc::Sender<LoadStatsRequest>,
    responses: Streaming<LoadStatsResponse>,
}

impl Reporter {
    fn connect(server: &Server, features: &[&str]) -> Self {
        let (requests, stream) = mpsc::channel(16);
        let first = LoadStatsRequest {
            node: Some(Node {
                id: "envoy-1".to_owned(),
                cluster: "demo".to_owned(),
                client_features: features.iter().map(ToString::to_string).collect(),
                ..Node::default()
            }),
            ..LoadStatsRequest::default()
        };
        let url = format!("http://{}", server.addresses.xds);
        let responses = server.runtime.block_on(async {
            requests.send(first).await.unwrap();
            let channel = Endpoint::from_shared(url).unwrap().connect().await.unwrap();
            let mut client = LoadReportingServiceClient::new(channel);
            client.stream_load_stats(ReceiverStream::new(stream)).await
        });
        Self {
            requests,
            responses: responses.unwrap().into_inner(),
        }
    }

    fn next(&mut self, server: &Server) -> Result<Option<LoadStatsResponse>, tonic::Status> {
        let next = async { tokio::time::timeout(PATIENCE, self.responses.message()).await };
        server.runtime.block_on(next).expect("a message in time")
    }

    fn report(&self, server: &Server, stats: Vec<ClusterStats>) {
        let request = LoadStatsRequest {
            node: None,
            cluster_stats: stats,
        };
        server.runtime.block_on(self.requests.send(request)).unwrap();
    }
}

fn publish(server: &Server, names: &[&str]) {
    let file = server.file("a.yaml", clusters(names));
    server.expect(0, &["replace", "-g", "demo", "-f", &file]);
}

/// A cluster with two localities: one with `requests`, the other with 10 times as many.
fn stats(name: &str, requests: u64) -> ClusterStats {
    let locality = |times: u64| UpstreamLocalityStats {
        total_issued_requests: times * requests,
        total_successful_requests: times * requests,
        total_error_requests: times,
        total_requests_in_progress: times,
        ..UpstreamLocalityStats::default()
    };
    ClusterStats {
        cluster_name: name.to_owned(),
        cluster_service_name: format!("{name}-eds"),
        upstream_locality_stats: vec![locality(1), locality(10)],
        total_dropped_requests: 3,
        load_report_interval: Some(Duration::from_secs(2).try_into().unwrap()),
        ..ClusterStats::default()
    }
}

/// The node's load, after this many reports.
#[track_caller]
fn load(server: &Server, reports: u64) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let ran = server.run(&["status", "envoy-1", "-o", "json"]);
        let status: Value = serde_json::from_str(&ran.stdout).unwrap_or_default();
        if status["load"]["reports_total"] == reports {
            return status["load"].clone();
        }
        assert!(Instant::now() < deadline, "{status:#}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn client_that_can_is_asked_for_all_clusters() {
    let server = Server::with(Layer {
        lrs: LrsLayer {
            interval: Some("7s".parse().unwrap()),
        },
        ..Layer::default()
    });
    let mut reporter = Reporter::connect(&server, &["envoy.lrs.supports_send_all_clusters"]);
    let asked = reporter.next(&server).unwrap().unwrap();
    assert!(asked.send_all_clusters && asked.clusters.is_empty(), "{asked:?}");
    assert_eq!(asked.load_reporting_interval.unwrap().seconds, 7);
}

#[test]
fn clients_are_asked_for_what_was_published_before_they_came() {
    let server = Server::start();
    publish(&server, &["a", "b"]);
    let mut reporter = Reporter::connect(&server, &[]);
    assert_eq!(reporter.next(&server).unwrap().unwrap().clusters, ["a", "b"]);
}

#[test]
fn other_clients_are_asked_for_the_clusters_of_their_snapshot_as_it_changes() {
    let server = Server::start();
    let mut reporter = Reporter::connect(&server, &[]);
    publish(&server, &["a", "b"]);
    let asked = reporter.next(&server).unwrap().unwrap();
    assert_eq!(
        (asked.send_all_clusters, asked.clusters),
        (false, vec!["a".to_owned(), "b".to_owned()])
    );
    assert_eq!(asked.load_reporting_interval.unwrap().seconds, 30);
    // Other content under the same names requests nothing new.
    let other = clusters(&["a", "b"]).replace("1s", "2s");
    server.expect(0, &["replace", "-g", "demo", "-f", &server.file("b.yaml", other)]);
    publish(&server, &["b", "c"]);
    let asked = reporter.next(&server).unwrap().unwrap();
    assert_eq!(asked.clusters, ["b", "c"]);
}

#[test]
fn last_report_of_a_node_is_in_its_status() {
    let server = Server::with(Layer {
        fleet: FleetLayer {
            max_load_clusters: Some(2),
            ..FleetLayer::default()
        },
        ..Layer::default()
    });
    publish(&server, &["a"]);
    let mut envoy = server.envoy("envoy-1");
    server.runtime.block_on(envoy.next());
    let reporter = Reporter::connect(&server, &[]);
    reporter.report(&server, vec![stats("a", 1)]);
    load(&server, 1);
    reporter.report(&server, vec![stats("quiet", 2), stats("busy", 9), stats("middling", 5)]);
    let load = load(&server, 2);
    let names: Vec<_> = load["clusters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["cluster"])
        .collect();
    assert_eq!(names, ["busy", "middling"]);
    assert_eq!(load["omitted_clusters"], 1);
    let busy = &load["clusters"][0];
    assert_eq!(
        (&busy["service"], &busy["interval"]),
        (&"busy-eds".into(), &"2s".into())
    );
    for (field, number) in [
        ("issued_requests", 99),
        ("successful_requests", 99),
        ("failed_requests", 11),
        ("requests_in_progress", 11),
        ("dropped_requests", 3),
    ] {
        assert_eq!(busy[field], number, "{field}");
    }
}

#[test]
fn stream_without_a_node_is_refused_and_one_that_is_done_ends_well() {
    let server = Server::start();
    let mut client = server.runtime.block_on(async {
        let url = format!("http://{}", server.addresses.xds);
        LoadReportingServiceClient::new(Endpoint::from_shared(url).unwrap().connect().await.unwrap())
    });
    let refused = server.runtime.block_on(async {
        let requests = tokio_stream::iter([LoadStatsRequest::default()]);
        let mut responses = client.stream_load_stats(requests).await?.into_inner();
        responses.message().await
    });
    assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);

    let mut reporter = Reporter::connect(&server, &["envoy.lrs.supports_send_all_clusters"]);
    reporter.next(&server).unwrap().expect("a request for reports");
    reporter.requests = mpsc::channel(1).0;
    assert_eq!(reporter.next(&server).unwrap(), None);
}

#[test]
fn open_load_stream_ends_at_shutdown() {
    let server = Server::start();
    let mut reporter = Reporter::connect(&server, &["envoy.lrs.supports_send_all_clusters"]);
    reporter.next(&server).unwrap().expect("a request for reports");
    let ended = server.runtime.spawn(async move { reporter.responses.message().await });
    let runtime = server.runtime.handle().clone();
    let stopped = std::thread::spawn(move || server.shutdown());
    let end = runtime.block_on(async { tokio::time::timeout(PATIENCE, ended).await });
    assert_eq!(end.unwrap().unwrap().unwrap_err().code(), Code::Unavailable);
    assert!(stopped.join().unwrap(), "shutdown was forced");
}
