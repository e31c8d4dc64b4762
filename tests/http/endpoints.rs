//! The endpoint registry as `curl` uses it.

use chancery::settings::Layer;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Reply, Server, discovery, eventually};

const EDS: &str = "/v3/discovery:endpoints";

/// Registers as the tutorial does.
async fn register(server: &Server, body: &Value) -> Reply {
    server.send(Method::POST, "/endpoints", &body.to_string()).await
}

#[track_caller]
fn id_of(reply: &Reply) -> String {
    assert_eq!(reply.status, StatusCode::CREATED, "{reply:?}");
    reply.json()["id"].as_str().expect("an id").to_owned()
}

/// The ports in the assignment of `myservice` that a node receives, or `None` without a response.
async fn served(server: &Server) -> Option<Vec<u64>> {
    let reply = server.post(EDS, &discovery(&["myservice"], "").to_string()).await;
    if reply.status != StatusCode::OK {
        return None;
    }
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let groups = list(&reply.json()["resources"][0]["endpoints"]);
    let endpoints = groups.iter().flat_map(|group| list(&group["lb_endpoints"]));
    let port = |one: Value| one["endpoint"]["address"]["socket_address"]["port_value"].as_u64();
    Some(endpoints.filter_map(port).collect())
}

#[tokio::test]
async fn a_registered_endpoint_is_served_to_every_node() {
    let server = Server::start().await;
    assert_eq!(served(&server).await, None);
    let first = id_of(&register(&server, &json!({ "address": "127.0.0.1", "port_value": 8081 })).await);
    assert_eq!(served(&server).await, Some(vec![8081]));
    id_of(&register(&server, &json!({ "address": "127.0.0.1", "port_value": 8082 })).await);
    assert_eq!(served(&server).await, Some(vec![8081, 8082]));

    let gone = server.send(Method::DELETE, &format!("/endpoints/{first}"), "").await;
    assert_eq!((gone.status, gone.text.as_str()), (StatusCode::NO_CONTENT, ""));
    assert_eq!(served(&server).await, Some(vec![8082]));
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let missing = server.send(method.clone(), &format!("/endpoints/{first}"), "").await;
        assert_eq!(missing.status, StatusCode::NOT_FOUND, "{method} {missing:?}");
        assert!(missing.json()["error"].as_str().unwrap().contains("is registered"));
    }
}

#[tokio::test]
async fn an_endpoint_is_shown_as_it_is_registered_and_changed_by_a_renewal() {
    let server = Server::start().await;
    let body = json!({
        "address": "::1", "port_value": 443, "cluster_name": "web", "weight": 3, "health": "HEALTHY",
        "locality": { "zone": "z" }, "ttl": "1h",
    });
    let id = id_of(&register(&server, &body).await);
    let path = format!("/endpoints/{id}");
    let shown = server.send(Method::GET, &path, "").await.json();
    for field in ["address", "port_value", "cluster_name", "weight", "health", "ttl"] {
        assert_eq!(shown[field], body[field], "{field}");
    }
    assert_eq!(shown["locality"]["zone"], "z");
    assert!(shown["expires_in"].is_string());
    let renewed = server
        .send(Method::PUT, &path, r#"{"weight": 9, "health": "DRAINING"}"#)
        .await;
    assert_eq!(renewed.status, StatusCode::OK);
    assert_eq!(
        (&renewed.json()["weight"], &renewed.json()["health"]),
        (&json!(9), &json!("DRAINING"))
    );
    assert_eq!(
        server.send(Method::PUT, &path, "").await.status,
        StatusCode::OK,
        "a renewal needs no body"
    );
    let all = server.send(Method::GET, "/endpoints", "").await.json();
    assert_eq!(all["endpoints"].as_array().unwrap().len(), 1);
    assert_eq!(all["endpoints"][0]["id"], Value::Null, "an id is for who registered");
    assert!(!all.to_string().contains(&id));
    let digest = all["endpoints"][0]["digest"].as_str().unwrap().to_owned();
    assert_eq!(shown["digest"], digest.as_str());
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let refused = server.send(method, &format!("/endpoints/{digest}"), "").await;
        assert_eq!(refused.status, StatusCode::NOT_FOUND, "{refused:?}");
    }
}

#[tokio::test]
async fn a_mistake_is_told_with_its_field() {
    let server = Server::start().await;
    let reply = register(&server, &json!({ "address": "example.com", "port_value": 1 })).await;
    assert_eq!(
        (reply.status, &reply.json()["field"]),
        (StatusCode::BAD_REQUEST, &json!("address"))
    );
    let reply = server
        .send(Method::POST, "/endpoints", "address=127.0.0.1&port_value=1")
        .await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    let reply = server.send(Method::PATCH, "/endpoints", "{}").await;
    assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED);
    let reply = server.send(Method::GET, "/endpoints/1", "").await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    assert_eq!(served(&server).await, None, "nothing was published");
}

#[tokio::test]
async fn an_address_of_another_is_changed_with_its_id_alone() {
    let server = Server::start().await;
    let body = |ttl: &str| json!({ "address": "127.0.0.1", "port_value": 8081, "ttl": ttl });
    let id = id_of(&register(&server, &body("1h")).await);
    let refused = register(&server, &body("1s")).await;
    assert_eq!(
        (refused.status, &refused.json()["field"]),
        (StatusCode::CONFLICT, &json!("address"))
    );
    assert!(!refused.text.contains(&id));
    let again = register(&server, &body("1h")).await;
    assert_eq!((again.status, &again.json()["id"]), (StatusCode::OK, &Value::Null));
    let mut own = body("2h");
    own["id"] = id.as_str().into();
    let own = register(&server, &own).await;
    assert_eq!((own.status, &own.json()["id"]), (StatusCode::OK, &json!(id)));
    let shown = server.send(Method::GET, &format!("/endpoints/{id}"), "").await;
    assert_eq!(shown.json()["ttl"], "2h");
}

#[tokio::test]
async fn a_lease_that_is_not_renewed_takes_its_endpoint_out() {
    let server = Server::start().await;
    let body = json!({ "address": "127.0.0.1", "port_value": 8081, "ttl": 1 });
    id_of(&register(&server, &body).await);
    eventually("the endpoint is gone, its cluster is empty", async || {
        served(&server).await == Some(vec![])
    })
    .await;
}

#[tokio::test]
async fn registrations_outlive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let kept = || Layer {
        data_dir: Some(dir.path().to_owned()),
        ..Layer::default()
    };
    let server = Server::with(kept()).await;
    let id = id_of(
        &register(
            &server,
            &json!({ "address": "127.0.0.1", "port_value": 8081, "ttl": "1h" }),
        )
        .await,
    );
    server.stop().await;
    let server = Server::with(kept()).await;
    assert_eq!(served(&server).await, Some(vec![8081]));
    let shown = server.send(Method::GET, &format!("/endpoints/{id}"), "").await;
    assert_eq!(shown.json()["ttl"], "1h");
    let gone = server.send(Method::DELETE, &format!("/endpoints/{id}"), "").await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    assert_eq!(served(&server).await, Some(vec![]));
}
