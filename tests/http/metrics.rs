//! `GET /metrics` as Prometheus reads it; `tools/check_metrics.py` also reads it with Prometheus' own parsers.

use std::collections::{BTreeMap, BTreeSet};

use chancery::settings::Layer;
use reqwest::{
    Method, StatusCode,
    header::{ACCEPT, CONTENT_TYPE},
};
use serde_json::json;

use crate::harness::{CLUSTER, Server, assignment, cluster, read};

const PAGE: &str = include_str!("../../docs/metrics.md");

/// All series with their values, in the classic text format.
async fn scrape(server: &Server) -> BTreeMap<String, f64> {
    let reply = server.send(Method::GET, "/metrics", "").await;
    assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
    let series = reply.text.lines().filter(|line| !line.starts_with('#'));
    series
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').expect("a value");
            (name.to_owned(), value.parse().expect("a number"))
        })
        .collect()
}

/// A server with every source.
async fn with_files() -> (Server, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let put = |group: &str, text: &str| {
        std::fs::create_dir(dir.path().join(group)).unwrap();
        std::fs::write(dir.path().join(group).join("cds.yaml"), text).unwrap();
    };
    put(
        "good",
        &json!({ "resources": [cluster("a", "1s"), cluster("b", "1s")] }).to_string(),
    );
    put("bad", "resources:\n- {\"@type\": type.googleapis.com/no.Such}\n");
    let layer = Layer {
        files: Some(dir.path().to_owned()),
        ..Layer::default()
    };
    (Server::with(layer).await, dir)
}

#[tokio::test]
async fn every_metric_has_its_row_in_the_page_and_every_row_its_metric() {
    let (server, _dir) = with_files().await;
    let text = server.send(Method::GET, "/metrics", "").await.text;
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let exposed: BTreeSet<&str> = types.filter_map(|line| line.split(' ').next()).collect();
    let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| `"));
    let named = rows.filter_map(|row| row.split_once('`').map(|(name, _)| name));
    let documented: BTreeSet<&str> = named.filter(|name| name.contains('_')).collect();
    assert_eq!(exposed, documented);
}

#[tokio::test]
async fn the_text_is_what_the_reader_accepts() {
    let server = Server::start().await;
    for (accept, kind, counter) in [
        (
            "*/*",
            "text/plain; version=0.0.4",
            "# TYPE xds_requests_total counter\n",
        ),
        (
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.2",
            "application/openmetrics-text; version=1.0.0",
            "# TYPE xds_requests counter\n",
        ),
    ] {
        let response = server.request(Method::GET, "/metrics").header(ACCEPT, accept).send();
        let response = response.await.unwrap();
        let given = response.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
        let text = response.text().await.unwrap();
        assert!(given.starts_with(kind), "{given}");
        assert!(text.contains(counter), "{text}");
        assert_eq!(text.ends_with("# EOF\n"), kind.contains("openmetrics"));
    }
    let head = read(server.request(Method::HEAD, "/metrics")).await;
    assert_eq!((head.status, head.text.as_str()), (StatusCode::OK, ""));
    let post = server.send(Method::POST, "/metrics", "").await;
    assert_eq!(post.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn polls_and_registrations_are_counted() {
    let server = Server::start().await;
    server.publish("demo", &[cluster("a", "1s"), assignment("e")]).await;
    let (version, _) = server.poll("/v3/discovery:clusters", &[], "").await.answer();
    server.poll("/v3/discovery:clusters", &[], &version).await;
    server.poll("/v3/discovery:routes", &["no-such"], "").await;
    server.post("/v3/discovery:clusters", "{").await;
    let body = json!({ "address": "127.0.0.1", "port_value": 1 }).to_string();
    for _ in 0..2 {
        server.send(Method::POST, "/endpoints", &body).await;
    }
    let seen = scrape(&server).await;
    for (series, value) in [
        (r#"xds_rest_polls_total{type="cluster",status="200"}"#, 1.0),
        (r#"xds_rest_polls_total{type="cluster",status="304"}"#, 1.0),
        (r#"xds_rest_polls_total{type="cluster",status="400"}"#, 1.0),
        (r#"xds_rest_polls_total{type="route",status="404"}"#, 1.0),
        (r#"xds_requests_total{protocol="rest"}"#, 4.0),
        (r#"xds_responses_total{protocol="rest",type="cluster"}"#, 1.0),
        (r#"xds_acks_total{protocol="rest",type="cluster"}"#, 1.0),
        (r#"xds_nodes{state="connected"}"#, 1.0),
        (r#"xds_streams{protocol="rest"}"#, 2.0),
        (r#"xds_registry_changes_total{change="registered"}"#, 1.0),
        (r#"xds_registry_changes_total{change="renewed"}"#, 1.0),
        ("xds_registry_endpoints", 1.0),
        ("xds_snapshots", 2.0),
        (r#"xds_snapshot_resources{type="endpoint"}"#, 2.0),
        ("xds_revision", 2.0),
        (r#"xds_publishes_total{operation="replace",outcome="ok"}"#, 1.0),
        (r#"xds_publishes_total{operation="patch",outcome="ok"}"#, 1.0),
        (r#"xds_publishes_total{operation="patch",outcome="unchanged"}"#, 1.0),
        (r#"xds_publish_seconds_count{operation="replace"}"#, 1.0),
    ] {
        assert_eq!(seen.get(series), Some(&value), "{series}");
    }
    let bytes = seen[r#"xds_response_bytes_total{protocol="rest",type="cluster"}"#];
    assert!(bytes > CLUSTER.len() as f64, "{bytes}");
    assert!(seen["process_resident_memory_bytes"] > 1e6 && seen["process_open_fds"] > 3.0);
}

#[tokio::test]
async fn folders_are_counted_by_how_they_stand() {
    let (server, _dir) = with_files().await;
    let seen = scrape(&server).await;
    for (series, value) in [
        (r#"xds_source_folders{state="published"}"#, 1.0),
        (r#"xds_source_folders{state="refused"}"#, 1.0),
        (r#"xds_source_folders{state="held"}"#, 0.0),
        (r#"xds_source_reloads_total{state="published"}"#, 1.0),
        (r#"xds_source_reloads_total{state="refused"}"#, 1.0),
        (r#"xds_source_findings{severity="error"}"#, 1.0),
        (r#"xds_findings_total{severity="error"}"#, 1.0),
        (r#"xds_publishes_total{operation="replace",outcome="refused"}"#, 1.0),
        (r#"xds_snapshot_resources{type="cluster"}"#, 2.0),
    ] {
        assert_eq!(seen.get(series), Some(&value), "{series}");
    }
}
