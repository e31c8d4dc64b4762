//! Make before break over a socket, and the groups that are served without it.

use chancery::{
    resource::ResourceType::{Cluster, Route},
    settings::{Layer, OrderingLayer},
};

use crate::{
    client::{Client, Form},
    config::Config,
    server::Server,
};

fn config(cluster: &str) -> Config {
    Config::new().with(&Cluster, cluster, 1).route_to("r", "h", cluster)
}

/// A client of the group that has the route and its old cluster.
async fn settled(server: &Server, form: Form, group: &str) -> Client {
    server.publish_to(group, &config("old")).await;
    let mut client = Client::open(server, form, &Cluster, group).await.of_group(group);
    client.subscribe(&Cluster, &[]);
    client.accept(&Cluster, &["old"]).await;
    client.subscribe(&Route, &["r"]);
    client.accept(&Route, &["r"]).await;
    client.silent().await;
    client
}

#[tokio::test]
async fn a_group_without_the_order_is_brought_to_the_newest_at_once() {
    let server = Server::with(Layer {
        ordering: OrderingLayer {
            off_groups: Some(vec!["off".to_owned()]),
            ..OrderingLayer::default()
        },
        ..Layer::default()
    })
    .await;
    for form in [Form::SotwAds, Form::DeltaAds] {
        let (mut off, mut on) = (settled(&server, form, "off").await, settled(&server, form, "on").await);
        for group in ["off", "on"] {
            server.publish_to(group, &config("new")).await;
        }
        let due = off.due().await;
        let names: Vec<_> = due.iter().map(|answer| answer.names()).collect();
        assert_eq!(names, [["new"], ["r"]], "{form:?}: the route waits for nothing");
        let removed: &[&str] = if form.is_sotw() { &[] } else { &["old"] };
        assert_eq!(due[0].removed, removed, "{form:?}: the removal waits for nothing");

        let due = on.due().await;
        let names: Vec<_> = due.iter().map(|answer| answer.names()).collect();
        let kept: &[&str] = if form.is_sotw() { &["new", "old"] } else { &["new"] };
        assert_eq!(names, [kept], "{form:?}: the route waits for its cluster");
        assert!(due[0].removed.is_empty(), "{form:?}: the old cluster stays");
    }
}
