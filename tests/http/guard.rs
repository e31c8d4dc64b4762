//! The HTTP port refuses pages of a browser, and features that are off stay off.

use std::fs;

use chancery::settings::{HttpLayer, Layer, RegistryLayer, RestLayer};
use reqwest::{
    Method, StatusCode,
    header::{CONTENT_TYPE, HOST, ORIGIN},
};
use serde_json::json;

use crate::harness::{Server, discovery, eventually, read};

const SECRETS: &str = "/v3/discovery:secrets";

fn registration() -> String {
    json!({ "address": "127.0.0.1", "port_value": 8081 }).to_string()
}

#[tokio::test]
async fn a_page_of_another_site_can_neither_register_nor_read() {
    let server = Server::start().await;
    let post = |path: &str, body: String| {
        let request = server.request(Method::POST, path).body(body);
        request.header(CONTENT_TYPE, "application/json")
    };
    for (header, value) in [
        ("origin", "http://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
    ] {
        let refused = read(post("/endpoints", registration()).header(header, value)).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{refused:?}");
    }
    // Media types that a page may send without a preflight request.
    for media in ["text/plain", "application/x-www-form-urlencoded", ""] {
        let request = server.request(Method::POST, "/endpoints").body(registration());
        let refused = read(request.header(CONTENT_TYPE, media)).await;
        assert_eq!(
            refused.status,
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "{media} {refused:?}"
        );
    }
    let unnamed = read(server.request(Method::POST, "/endpoints").body(registration())).await;
    assert_eq!(unnamed.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{unnamed:?}");
    // A name of another site that leads to this port.
    for path in [SECRETS, "/endpoints"] {
        let refused = read(post(path, registration()).header(HOST, "evil.example:18002")).await;
        assert_eq!(refused.status, StatusCode::MISDIRECTED_REQUEST, "{refused:?}");
        assert!(refused.text.contains("http.allowed_hosts"), "{refused:?}");
    }
    let refused = read(
        server
            .request(Method::GET, "/endpoints")
            .header(HOST, "evil.example:18002"),
    )
    .await;
    assert_eq!(refused.status, StatusCode::MISDIRECTED_REQUEST);
    let listed = server.send(Method::GET, "/endpoints", "").await;
    assert_eq!(listed.json(), json!({ "endpoints": [] }));
    let metrics = server.send(Method::GET, "/metrics", "").await.text;
    for (reason, count) in [("origin", 3), ("content_type", 4), ("host", 3)] {
        let line = format!("xds_http_requests_refused_total{{reason=\"{reason}\"}} {count}");
        assert!(metrics.contains(&line), "{line}");
    }
}

#[tokio::test]
async fn an_envoy_that_polls_is_let_in_by_the_name_of_its_cluster() {
    let server = Server::start().await;
    for host in ["chancery", "xds_cluster", "xds.example"] {
        let poll = server
            .request(Method::POST, SECRETS)
            .body(discovery(&["s"], "").to_string())
            .header(CONTENT_TYPE, "application/json")
            .header(HOST, host);
        assert_eq!(
            read(poll).await.status,
            StatusCode::SERVICE_UNAVAILABLE,
            "the poll is answered: nothing is published"
        );
    }
}

#[tokio::test]
async fn a_name_that_is_listed_and_its_own_pages_are_let_in() {
    let server = Server::with(Layer {
        http: HttpLayer {
            allowed_hosts: Some(vec!["chancery.example".to_owned()]),
            ..HttpLayer::default()
        },
        ..Layer::default()
    })
    .await;
    let request = server
        .request(Method::POST, "/endpoints")
        .body(registration())
        .header(CONTENT_TYPE, "application/json")
        .header(HOST, "chancery.example:8443")
        .header(ORIGIN, "https://chancery.example:8443");
    assert_eq!(read(request).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn features_that_are_off_name_their_setting() {
    let server = Server::with(Layer {
        rest: RestLayer {
            enabled: Some(false),
            ..RestLayer::default()
        },
        registry: RegistryLayer { enabled: Some(false) },
        ..Layer::default()
    })
    .await;
    for (method, path, setting) in [
        (Method::POST, SECRETS, "rest.enabled"),
        (Method::POST, "/endpoints", "registry.enabled"),
        (Method::GET, "/endpoints", "registry.enabled"),
        (Method::DELETE, "/endpoints/1", "registry.enabled"),
    ] {
        let off = server.send(method, path, &registration()).await;
        assert_eq!(off.status, StatusCode::NOT_FOUND, "{path}");
        assert!(off.json()["error"].as_str().unwrap().contains(setting), "{off:?}");
    }
    let layer = Layer::default_values();
    assert_eq!((layer.rest.enabled, layer.registry.enabled), (Some(false), Some(false)));
}

#[tokio::test]
async fn a_server_whose_store_is_gone_is_not_ready_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::with(Layer {
        data_dir: Some(dir.path().to_owned()),
        ..Layer::default()
    })
    .await;
    assert_eq!(server.send(Method::GET, "/readyz", "").await.status, StatusCode::OK);
    let [file, away] = ["chancery.redb", "away"].map(|name| dir.path().join(name));
    fs::rename(&file, &away).unwrap();
    let refused = server.send(Method::POST, "/endpoints", &registration()).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{refused:?}");
    assert!(refused.text.contains("removed or replaced"), "{refused:?}");
    eventually("the server is not ready", async || {
        let ready = server.send(Method::GET, "/readyz", "").await;
        ready.status == StatusCode::SERVICE_UNAVAILABLE && ready.text.contains("store")
    })
    .await;
    fs::rename(&away, &file).unwrap();
    eventually("the server is ready again", async || {
        server.send(Method::GET, "/readyz", "").await.status == StatusCode::OK
    })
    .await;
    let taken = server.send(Method::POST, "/endpoints", &registration()).await;
    assert_eq!(taken.status, StatusCode::CREATED, "{taken:?}");
}
