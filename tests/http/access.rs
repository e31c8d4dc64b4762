//! Access rules of the HTTP port: polls as a node, and registration of endpoints.

use chancery::{
    access::{AccessConfig, NewToken, SALT_BYTES, SECRET_BYTES},
    settings::Layer,
};
use reqwest::{
    Method, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use serde_json::{Value, json};

use crate::harness::{Reply, Server, cluster, read};

const SECRETS: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

fn token(name: &str) -> NewToken {
    NewToken::new(name, None, &[3; SECRET_BYTES], &[5; SALT_BYTES]).unwrap()
}

async fn start(rules: &str) -> (Server, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let lines = ["shop", "svc"].map(|name| token(name).line);
    std::fs::write(dir.path().join("tokens"), lines.join("\n")).unwrap();
    let mut access: AccessConfig = serde_saphyr::from_str(&format!("{rules}\ntokens_file: tokens")).unwrap();
    access.tokens_file = Some(dir.path().join("tokens"));
    let mut layer = Layer {
        access: Some(access),
        ..Layer::default()
    };
    layer.audit.file = Some(dir.path().join("audit.log"));
    (Server::with(layer).await, dir)
}

async fn send(server: &Server, method: Method, path: &str, who: &str, body: &Value) -> Reply {
    let request = server.request(method, path).header(CONTENT_TYPE, "application/json");
    let mut request = request.body(body.to_string());
    if !who.is_empty() {
        request = request.header(AUTHORIZATION, format!("Bearer {}", token(who).token));
    }
    read(request).await
}

fn secret(name: &str) -> Value {
    json!({ "@type": SECRETS, "name": name, "generic_secret": { "secret": { "inline_string": "x" } } })
}

#[tokio::test]
async fn a_poll_is_answered_for_the_node_that_its_token_lets_it_be() {
    let rules = "nodes: [{token: shop, node_id: 'shop/*', groups: demo, secrets: 'shop-*'}]";
    let (server, dir) = start(rules).await;
    server
        .publish("demo", &[cluster("a", "1s"), secret("pay-tls"), secret("shop-tls")])
        .await;
    server.publish("other", &[cluster("a", "1s")]).await;
    let poll = |id: &str, group: &str, names: &[&str]| json!({ "node": { "id": id, "cluster": group }, "resource_names": names });
    let path = "/v3/discovery:clusters";
    for (who, id, group, status) in [
        ("shop", "shop/1", "demo", StatusCode::OK),
        ("shop", "pay/1", "demo", StatusCode::FORBIDDEN),
        ("shop", "shop/1", "other", StatusCode::FORBIDDEN),
        ("svc", "shop/1", "demo", StatusCode::FORBIDDEN),
        ("", "shop/1", "demo", StatusCode::UNAUTHORIZED),
        ("unknown", "shop/1", "demo", StatusCode::UNAUTHORIZED),
    ] {
        let reply = send(&server, Method::POST, path, who, &poll(id, group, &[])).await;
        assert_eq!(reply.status, status, "{who} {id} {group}: {reply:?}");
    }
    let secrets = async |names: &[&str]| {
        send(
            &server,
            Method::POST,
            "/v3/discovery:secrets",
            "shop",
            &poll("shop/1", "demo", names),
        )
        .await
    };
    let visible = secrets(&["shop-tls", "pay-tls"]).await;
    assert!(
        visible.text.contains("shop-tls") && !visible.text.contains("pay-tls"),
        "{visible:?}"
    );
    let (denied, missing) = (secrets(&["pay-tls"]).await, secrets(&["pay-xyz"]).await);
    assert_eq!((denied.status, denied.text), (missing.status, missing.text));
    let log = std::fs::read_to_string(dir.path().join("audit.log")).unwrap();
    let refused = log.lines().filter(|line| line.contains("\"allowed\":false"));
    assert_eq!(refused.count(), 8, "{log}");
}

#[tokio::test]
async fn endpoints_are_registered_by_who_has_the_role() {
    let rules = "admin: [{token: svc, roles: [register]}, {token: shop, roles: [read]}]";
    let (server, dir) = start(rules).await;
    let endpoint = json!({ "cluster_name": "c", "address": "10.0.0.1", "port_value": 80 });
    for (who, status) in [
        ("", StatusCode::UNAUTHORIZED),
        ("shop", StatusCode::FORBIDDEN),
        ("svc", StatusCode::CREATED),
    ] {
        let reply = send(&server, Method::POST, "/endpoints", who, &endpoint).await;
        assert_eq!(reply.status, status, "{who}: {reply:?}");
    }
    for (who, status) in [
        ("", StatusCode::UNAUTHORIZED),
        ("shop", StatusCode::OK),
        ("svc", StatusCode::FORBIDDEN),
    ] {
        let reply = send(&server, Method::GET, "/endpoints", who, &Value::Null).await;
        assert_eq!(reply.status, status, "{who}: {reply:?}");
    }
    // Health and metrics are open.
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(
            send(&server, Method::GET, path, "", &Value::Null).await.status,
            StatusCode::OK,
            "{path}"
        );
    }
    let log = std::fs::read_to_string(dir.path().join("audit.log")).unwrap();
    let done = log.lines().find(|line| line.contains("\"allowed\":true")).unwrap();
    assert!(
        done.contains("token:svc") && done.contains("POST /endpoints") && done.contains("201"),
        "{done}"
    );
}
