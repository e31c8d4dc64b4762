//! A node's messages are stored without the secrets that the node may have.

use chancery::{
    resource::ResourceType::{Cluster, Secret},
    settings::{Layer, RestLayer},
};

use crate::{
    client::{Client, Form},
    config::Config,
    server::Server,
};

fn secret(value: &str) -> Config {
    let item = format!("name: s, generic_secret: {{secret: {{inline_string: {value}}}}}");
    let config = Config::new().plain(&Secret, &item);
    config.plain(
        &Secret,
        "name: other, generic_secret: {secret: {inline_string: of-others-1}}",
    )
}

#[tokio::test]
async fn secret_that_a_node_quotes_without_its_field_is_not_shown() {
    for form in Form::ALL {
        let server = Server::serving(&secret("swordfish-1").with(&Cluster, "c", 1)).await;
        let mut client = Client::open(&server, form, &Secret, "n").await;
        client.subscribe(&Secret, &["s"]);
        let first = client.expect(&Secret, &["s"]).await;
        client.nack(
            &first,
            "cannot use swordfish-1 for s (c3dvcmRmaXNoLTE), nor of-others-1",
        );
        server
            .await_status("n", &Secret, |row| {
                row.nack
                    .as_ref()
                    .is_some_and(|nack| nack.message == "cannot use [redacted] for s ([redacted]), nor [redacted]")
            })
            .await;
    }
}

#[tokio::test]
async fn secret_that_was_replaced_before_the_node_refused_it_is_not_shown() {
    for form in Form::ALL {
        let server = Server::serving(&secret("swordfish-1")).await;
        let mut client = Client::open(&server, form, &Secret, "n").await;
        client.subscribe(&Secret, &["s"]);
        let first = client.expect(&Secret, &["s"]).await;
        // All publishes happen before the node answers, so it is sent none of them.
        for number in 2..10 {
            server.publish(&secret(&format!("swordfish-{number}"))).await;
        }
        client.nack(&first, "no swordfish-1 here");
        server
            .await_status("n", &Secret, |row| {
                row.nack
                    .as_ref()
                    .is_some_and(|nack| nack.message == "no [redacted] here")
            })
            .await;
    }
}

#[tokio::test]
async fn secret_that_a_poll_quotes_is_not_shown() {
    let server = Server::with(Layer {
        rest: RestLayer {
            enabled: Some(true),
            ..RestLayer::default()
        },
        ..Layer::default()
    })
    .await;
    server.publish(&secret("swordfish-1")).await;
    let node = r#""node": {"id": "n", "cluster": "demo"}"#;
    let asked = format!("{{{node}, \"resource_names\": [\"s\"]}}");
    let (status, body) = server.post("/v3/discovery:secrets", asked.leak()).await;
    assert!(status == 200 && body.contains("swordfish-1"), "{status} {body}");
    let refused = format!(
        "{{{node}, \"resource_names\": [\"s\"], \"error_detail\": {{\"message\": \"no swordfish-1 for me\"}}}}"
    );
    server.post("/v3/discovery:secrets", refused.leak()).await;
    server
        .await_status("n", &Secret, |row| {
            row.nack
                .as_ref()
                .is_some_and(|nack| nack.message == "no [redacted] for me")
        })
        .await;
}
