//! Polls over REST-JSON, rule by rule (H).

use std::time::Duration;

use chancery::{
    proto::admin::{stream_status::Protocol, type_status::State},
    settings::{FleetLayer, Layer, RestLayer, Span},
};
use reqwest::{Method, StatusCode, header::CONTENT_TYPE};
use serde_json::{Value, json};

use crate::harness::{CLUSTER, ENDPOINTS, Server, assignment, cluster, discovery, eventually, read};

const CDS: &str = "/v3/discovery:clusters";
const EDS: &str = "/v3/discovery:endpoints";

/// Every path with its type.
const PATHS: [(&str, &str); 8] = [
    ("listeners", "envoy.config.listener.v3.Listener"),
    ("clusters", "envoy.config.cluster.v3.Cluster"),
    ("routes", "envoy.config.route.v3.RouteConfiguration"),
    ("scoped-routes", "envoy.config.route.v3.ScopedRouteConfiguration"),
    ("endpoints", "envoy.config.endpoint.v3.ClusterLoadAssignment"),
    ("secrets", "envoy.extensions.transport_sockets.tls.v3.Secret"),
    ("runtime", "envoy.service.runtime.v3.Runtime"),
    ("extension_configs", "envoy.config.core.v3.TypedExtensionConfig"),
];

fn of_every_type() -> Vec<Value> {
    let router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
    let url = |kind: &str| format!("type.googleapis.com/{kind}");
    let all_routes = json!([{ "match": { "prefix": "/" }, "direct_response": { "status": 200 } }]);
    vec![
        json!({ "@type": url(PATHS[0].1), "name": "x",
                "address": { "socket_address": { "address": "127.0.0.1", "port_value": 1 } } }),
        cluster("x", "1s"),
        json!({ "@type": url(PATHS[2].1), "name": "x",
                "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": all_routes }] }),
        json!({ "@type": url(PATHS[3].1), "name": "x", "route_configuration_name": "x",
                "key": { "fragments": [{ "string_key": "k" }] } }),
        assignment("x"),
        json!({ "@type": url(PATHS[5].1), "name": "x", "generic_secret": { "secret": { "inline_string": "s3" } } }),
        json!({ "@type": url(PATHS[6].1), "name": "x", "layer": { "a.b": true } }),
        json!({ "@type": url(PATHS[7].1), "name": "x", "typed_config": { "@type": router } }),
    ]
}

#[tokio::test]
async fn every_type_is_answered_with_the_expanded_message() {
    let server = Server::start().await;
    let resources = of_every_type();
    server.publish("demo", &resources).await;
    for ((path, kind), resource) in PATHS.iter().zip(&resources) {
        let path = format!("/v3/discovery:{path}");
        let reply = server.poll(&path, &["x"], "").await;
        assert_eq!(reply.status, StatusCode::OK, "{path}: {reply:?}");
        let json = reply.json();
        assert_eq!(json["type_url"], format!("type.googleapis.com/{kind}"));
        assert_eq!(json["resources"], json!([resource]), "{path}");
        assert!(
            json["control_plane"]["identifier"]
                .as_str()
                .unwrap()
                .starts_with("chancery/")
        );
        let version = json["version_info"].as_str().unwrap();
        let again = server.poll(&path, &["x"], version).await;
        assert_eq!(
            (again.status, again.text.as_str()),
            (StatusCode::NOT_MODIFIED, ""),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_change_is_answered_at_the_next_poll_and_only_then() {
    let server = Server::start().await;
    server.publish("demo", &[cluster("a", "1s")]).await;
    let (first, names) = server.poll(CDS, &[], "").await.answer();
    assert_eq!(names, ["a"]);
    assert_eq!(server.poll(CDS, &[], &first).await.status, StatusCode::NOT_MODIFIED);
    assert_eq!(server.poll(CDS, &["*"], &first).await.status, StatusCode::NOT_MODIFIED);
    server.publish("demo", &[cluster("a", "2s"), cluster("b", "1s")]).await;
    let (second, names) = server.poll(CDS, &[], &first).await.answer();
    assert_eq!(names, ["a", "b"]);
    assert_ne!(first, second);
    server.publish("demo", &[]).await;
    let (_, names) = server.poll(CDS, &[], &second).await.answer();
    assert!(names.is_empty(), "an empty snapshot is an answer: {names:?}");
}

#[tokio::test]
async fn a_name_more_at_the_same_version_is_answered() {
    let server = Server::start().await;
    server.publish("demo", &["a", "b", "c"].map(assignment)).await;
    let (version, names) = server.poll(EDS, &["a"], "").await.answer();
    assert_eq!(names, ["a"]);
    let (wider, names) = server.poll(EDS, &["a", "b"], &version).await.answer();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(
        server.poll(EDS, &["b", "a"], &wider).await.status,
        StatusCode::NOT_MODIFIED
    );
    server.publish("demo", &["a", "b"].map(assignment)).await;
    let unaffected = server.poll(EDS, &["a", "b"], &wider).await;
    assert_eq!(unaffected.status, StatusCode::NOT_MODIFIED, "the poll does not name c");
}

#[tokio::test]
async fn missing_resources_are_never_an_empty_answer() {
    let server = Server::start().await;
    let reply = server.poll(CDS, &[], "").await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE, "{reply:?}");
    assert!(reply.text.contains("group \\\"demo\\\" has no snapshot"), "{reply:?}");
    server.publish("demo", &[cluster("a", "1s")]).await;
    for (path, _) in PATHS
        .into_iter()
        .filter(|(path, _)| !["listeners", "scoped-routes"].contains(path))
    {
        let reply = server.poll(&format!("/v3/discovery:{path}"), &["no-such"], "").await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{path}: {reply:?}");
    }
    // A published group without clusters has an empty list; for endpoints, absence means nothing.
    server.publish("demo", &[assignment("e")]).await;
    assert_eq!(server.poll(CDS, &[], "").await.answer().1, Vec::<String>::new());
    server.publish("demo", &[]).await;
    assert_eq!(server.poll(EDS, &[], "").await.status, StatusCode::NOT_FOUND);
    // The shared group has endpoints, but no clusters.
    server.publish("*", &[assignment("s")]).await;
    let other = json!({ "node": { "id": "m", "cluster": "other" } }).to_string();
    assert_eq!(server.post(EDS, &other).await.answer().1, ["s"]);
    assert_eq!(server.post(CDS, &other).await.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn malformed_polls_are_refused() {
    let server = Server::start().await;
    server.publish("demo", &[cluster("a", "1s")]).await;
    let foreign = json!({ "node": { "id": "n" }, "type_url": ENDPOINTS }).to_string();
    for (body, said) in [
        ("", "no DiscoveryRequest"),
        ("{", "no DiscoveryRequest"),
        ("{}", "must name its node"),
        (r#"{"node": {}}"#, "names no group"),
        (foreign.as_str(), "serves cluster only"),
    ] {
        let reply = server.post(CDS, body).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{body}: {reply:?}");
        assert!(
            reply.json()["error"].as_str().unwrap().contains(said),
            "{body}: {reply:?}"
        );
    }
    for path in [
        "/v3/discovery:virtual_hosts",
        "/v3/discovery:ads",
        "/v2/discovery:clusters",
        "/v3/",
    ] {
        assert_eq!(server.poll(path, &[], "").await.status, StatusCode::NOT_FOUND, "{path}");
    }
    let got = read(server.request(Method::GET, CDS)).await;
    assert_eq!(got.status, StatusCode::METHOD_NOT_ALLOWED);
    let form = server
        .request(Method::POST, CDS)
        .body(discovery(&[], "").to_string())
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    let form = read(form).await;
    assert_eq!(form.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let large = server.post(CDS, &" ".repeat(9 << 20)).await;
    assert_eq!(large.status, StatusCode::PAYLOAD_TOO_LARGE);
    let json = server.request(Method::POST, CDS).body(discovery(&[], "").to_string());
    assert_eq!(
        read(json.header(CONTENT_TYPE, "application/json")).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn the_next_poll_tells_what_became_of_an_answer() {
    let server = Server::start().await;
    server.publish("demo", &[cluster("a", "1s")]).await;
    let (first, _) = server.poll(CDS, &[], "").await.answer();
    let row = server.type_status(CLUSTER).await;
    assert_eq!((row.state(), row.wildcard, row.sent_total), (State::Stale, true, 1));
    let stream = server.streams().await.remove(0);
    assert_eq!((stream.protocol(), stream.aggregated), (Protocol::Rest, false));

    server.poll(CDS, &[], &first).await;
    let row = server.type_status(CLUSTER).await;
    assert_eq!(
        (row.state(), row.acked.unwrap().version),
        (State::Synced, first.clone())
    );
    assert_eq!(server.streams().await[0].synced_revision, 1);

    server.publish("demo", &[cluster("a", "2s")]).await;
    let (second, _) = server.poll(CDS, &[], &first).await.answer();
    assert_eq!(server.type_status(CLUSTER).await.state(), State::Stale);
    let again = server.poll(CDS, &[], &first).await.answer();
    assert_eq!(again.0, second, "the first answer may not have arrived");
    let row = server.type_status(CLUSTER).await;
    assert_eq!(
        (row.state(), row.sent.unwrap().version, row.sent_total),
        (State::Unconfirmed, second.clone(), 2)
    );
    assert_eq!(server.streams().await[0].synced_revision, 1);

    server.poll(CDS, &[], &second).await;
    assert_eq!(server.type_status(CLUSTER).await.state(), State::Synced);
    assert_eq!(server.streams().await[0].synced_revision, 2);
    // A publish that does not touch the type also counts as synced, from the next poll on.
    server.publish("demo", &[cluster("a", "2s"), assignment("e")]).await;
    server.poll(CDS, &[], &second).await;
    assert_eq!(server.streams().await[0].synced_revision, 3);
}

#[tokio::test]
async fn an_error_detail_is_a_nack_and_is_not_sent_the_same_again() {
    let server = Server::start().await;
    server.publish("demo", &[cluster("a", "1s")]).await;
    server.poll(CDS, &[], "").await.answer();
    let mut refusal = discovery(&[], "");
    refusal["error_detail"] = json!({ "code": 13, "message": "no such luck" });
    let reply = server.post(CDS, &refusal.to_string()).await;
    assert_eq!(reply.status, StatusCode::NOT_MODIFIED);
    let row = server.type_status(CLUSTER).await;
    assert_eq!(
        (row.state(), row.nack.unwrap().message.as_str()),
        (State::Error, "no such luck")
    );
    server.publish("demo", &[cluster("a", "2s")]).await;
    assert_eq!(server.post(CDS, &refusal.to_string()).await.answer().1, ["a"]);
}

#[tokio::test]
async fn polls_for_each_cluster_are_one_row_that_is_synced_when_all_are() {
    let server = Server::start().await;
    server.publish("demo", &["a", "b"].map(assignment)).await;
    let (a, _) = server.poll(EDS, &["a"], "").await.answer();
    let (b, _) = server.poll(EDS, &["b"], "").await.answer();
    server.poll(EDS, &["a"], &a).await;
    let row = server.type_status(ENDPOINTS).await;
    assert_eq!((row.state(), row.names, row.wildcard), (State::Stale, 2, false));
    server.poll(EDS, &["b"], &b).await;
    assert_eq!(server.type_status(ENDPOINTS).await.state(), State::Synced);
    assert_eq!(server.streams().await.len(), 1);
}

#[tokio::test]
async fn a_list_of_names_that_was_polled_again_owes_no_answer() {
    let layer = Layer {
        fleet: FleetLayer {
            unanswered_after: Some(Span(Duration::ZERO)),
            ..FleetLayer::default()
        },
        ..Layer::default()
    };
    let server = Server::with(layer).await;
    server.publish("demo", &["a", "b"].map(assignment)).await;
    let (a, _) = server.poll(EDS, &["a"], "").await.answer();
    let (b, _) = server.poll(EDS, &["b"], "").await.answer();
    assert!(server.type_status(ENDPOINTS).await.unanswered.is_some());
    server.poll(EDS, &["a"], &a).await;
    server.poll(EDS, &["b"], &b).await;
    let row = server.type_status(ENDPOINTS).await;
    assert_eq!((row.state(), row.unanswered), (State::Synced, None));
}

#[tokio::test]
async fn a_node_that_comes_with_the_current_version_is_synced() {
    let server = Server::start().await;
    server.publish("demo", &[cluster("a", "1s")]).await;
    let (version, _) = server.poll(CDS, &[], "").await.answer();
    let mut other = discovery(&[], &version);
    other["node"]["id"] = json!("late");
    assert_eq!(
        server.post(CDS, &other.to_string()).await.status,
        StatusCode::NOT_MODIFIED
    );
    let node = server.node("late").await.unwrap();
    assert_eq!(
        (node.types[0].state(), node.streams[0].synced_revision),
        (State::Synced, 1)
    );
}

#[tokio::test]
async fn a_node_that_stops_polling_is_gone() {
    let layer = Layer {
        rest: RestLayer {
            poll_timeout: Some(Span(Duration::ZERO)),
            ..RestLayer::default()
        },
        ..Layer::default()
    };
    let server = Server::with(layer).await;
    server.publish("demo", &[cluster("a", "1s")]).await;
    server.poll(CDS, &[], "").await.answer();
    eventually("the node is no longer connected", async || {
        server.streams().await.is_empty()
    })
    .await;
    assert!(!server.node("n").await.expect("the node is remembered").connected);
}
