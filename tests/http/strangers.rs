//! Polls that anybody who reaches the port may send: each here would take many times its size, or stay for minutes.

use bytes::Bytes;
use chancery::settings::{ByteSize, Layer, LimitsLayer, Share, Span};
use http_body::Frame;
use http_body_util::StreamBody;
use reqwest::{Body, Method, StatusCode, header::CONTENT_TYPE};
use serde_json::json;
use tokio_stream::StreamExt as _;

use crate::harness::{ENDPOINTS, Server, assignment, read};

const EDS: &str = "/v3/discovery:endpoints";

fn limits(limits: LimitsLayer) -> Layer {
    Layer {
        limits,
        ..Layer::default()
    }
}

fn poll(id: &str, names: &[String]) -> String {
    json!({ "node": { "id": id, "cluster": "demo" }, "resource_names": names, "type_url": ENDPOINTS }).to_string()
}

#[tokio::test]
async fn polls_that_would_grow_as_they_are_read_are_refused() {
    let server = Server::start().await;
    server.publish("demo", &[assignment("x")]).await;
    let empty = "{},".repeat(200_000);
    let features = format!(
        r#"{{"node": {{"id": "n", "client_features": [{}""]}}}}"#,
        r#""","#.repeat(20_000)
    );
    let names: Vec<String> = (0..10_001).map(|number| number.to_string()).collect();
    for (body, status, text) in [
        (
            "{".to_owned() + &" ".repeat(1 << 20),
            413,
            "the body has more than 1048576 bytes",
        ),
        (
            format!(r#"{{"unknown": [{empty}{{}}]}}"#),
            413,
            "more than 60000 values in one poll",
        ),
        ("[".repeat(100_000), 413, "values are nested more than 64 deep"),
        (features, 413, "node: the used part is"),
        (poll("n", &names), 400, "resource_names: more than 10000 names"),
        (
            poll(&"n".repeat(1025), &[]),
            400,
            "node.id is 1025 bytes long, more than 1024",
        ),
        (
            json!({ "node": { "id": "n" }, "version_info": "v".repeat(5000) }).to_string(),
            400,
            "version_info: 5000 bytes long, more than 4096",
        ),
    ] {
        let reply = server.post(EDS, &body).await;
        assert_eq!(reply.status, StatusCode::from_u16(status).unwrap(), "{text}: {reply:?}");
        let error = reply.json()["error"].as_str().unwrap().to_owned();
        assert!(error.contains(text), "{error}");
    }
    let fine = server.post(EDS, &poll("n", &["x".to_owned()])).await;
    assert_eq!(fine.status, StatusCode::OK);
}

#[tokio::test]
async fn names_that_are_remembered_have_a_limit() {
    let server = Server::with(limits(LimitsLayer {
        max_polled_bytes: Some(ByteSize(1 << 20)),
        ..LimitsLayer::default()
    }))
    .await;
    let lists = |id: usize| -> Vec<String> {
        (0..100)
            .map(|number| format!("{id}-{number}-{}", "x".repeat(900)))
            .collect()
    };
    let mut refused = None;
    for id in 0..100 {
        let reply = server.post(EDS, &poll(&id.to_string(), &lists(id))).await;
        if reply.status == StatusCode::TOO_MANY_REQUESTS {
            refused = Some((id, reply.json()["error"].as_str().unwrap().to_owned()));
            break;
        }
    }
    let (polls, error) = refused.expect("a poll that is too much");
    assert!(polls <= 6 && error.contains("of one address"), "{polls}: {error}");
}

#[tokio::test]
async fn invented_nodes_take_the_share_of_one_address() {
    let server = Server::with(Layer {
        xds: chancery::settings::XdsLayer {
            max_streams: Some(20),
            ..Default::default()
        },
        ..limits(LimitsLayer {
            max_peer_share: Some(Share(0.5)),
            ..LimitsLayer::default()
        })
    })
    .await;
    let mut taken = 0;
    for id in 0..30 {
        let reply = server.post(EDS, &poll(&format!("invented-{id}"), &[])).await;
        taken += usize::from(reply.status != StatusCode::TOO_MANY_REQUESTS);
    }
    assert_eq!(taken, 10);
}

#[tokio::test]
async fn body_that_stays_unfinished_is_given_up() {
    let server = Server::with(limits(LimitsLayer {
        request_timeout: Some(Span(std::time::Duration::from_millis(50))),
        ..LimitsLayer::default()
    }))
    .await;
    let begun = tokio_stream::once(Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(b"{"))));
    let body = Body::wrap(StreamBody::new(begun.chain(tokio_stream::pending())));
    let request = server
        .request(Method::POST, EDS)
        .header(CONTENT_TYPE, "application/json");
    let reply = read(request.body(body)).await;
    assert_eq!(reply.status, StatusCode::REQUEST_TIMEOUT, "{reply:?}");
}
