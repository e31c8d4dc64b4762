//! Names in equivalent spellings, names that do not exist, and resources that expire.

use chancery::{
    proto::envoy::config::core::v3::Node,
    resource::ResourceType::{self, Cluster, Endpoint, Runtime},
    settings::{Layer, ProtocolLayer},
};

use crate::{
    client::{Ask, Client, Form},
    config::{Config, all, clusters},
    server::Server,
};

const PREFIX: &str = "xdstp://x.example";

#[tokio::test]
async fn xdstp_name_is_found_in_whatever_way_it_is_written() {
    let kind = "envoy.config.endpoint.v3.ClusterLoadAssignment";
    let published = format!("{PREFIX}/{kind}/%61?z=2&k=1");
    let server = Server::serving(&Config::new().plain(&Endpoint, &format!("cluster_name: '{published}'"))).await;
    let canonical = format!("{PREFIX}/{kind}/a?k=1&z=2");
    for written in [&published, &canonical, &format!("{PREFIX}/{kind}/a?z=2&k=1")] {
        for form in Form::ALL {
            let mut client = Client::open(&server, form, &Endpoint, "n").await;
            client.subscribe(&Endpoint, &[written]);
            let answer = client.next().await;
            // In SotW only the resource contains the name, and it is served as published.
            let expected = if form.is_sotw() { &published } else { &canonical };
            assert_eq!(answer.names(), [expected], "{form:?} {written}");
        }
    }
}

#[tokio::test]
async fn list_collection_is_a_resource_under_its_name() {
    let message = "envoy.config.listener.v3.ListenerCollection";
    let name = format!("{PREFIX}/{message}/edge?zone=1");
    let locator =
        "locator: {scheme: XDSTP, authority: x.example, resource_type: envoy.config.listener.v3.Listener, id: web}";
    let server = Server::serving(&Config::new().named(message, &name, &format!("entries: [{{{locator}}}]"))).await;
    let kind = ResourceType::from_message_name(message);
    let mut client = Client::open(&server, Form::DeltaAds, &kind, "n").await;
    client.subscribe(&kind, &[&name]);
    let answer = client.expect(&kind, &[&name]).await;
    assert_eq!(answer.any_urls.into_iter().collect::<Vec<_>>(), [kind.type_url()]);
    let mut other = Client::open(&server, Form::DeltaAds, &kind, "n").await;
    let wrong = name.replace("zone=1", "zone=2");
    other.subscribe(&kind, &[&wrong]);
    assert_eq!(other.next().await.removed, [wrong], "the context is part of the name");
}

#[tokio::test]
async fn name_that_does_not_exist_is_an_error_of_its_own_and_in_the_status() {
    let server = Server::serving(&all(&Endpoint, &[("a", 1)])).await;
    for form in Form::ALL {
        let grpc = |node: &mut Node| node.user_agent_name = "gRPC Go".to_owned();
        let mut client = Client::open(&server, form, &Endpoint, "n").await.says(grpc);
        client.subscribe(&Endpoint, &["z"]);
        let answer = client.next().await;
        assert_eq!(answer.errors, [("z".to_owned(), 5)], "{form:?}");
        client.ack(&answer);
        server
            .await_status("n", &Endpoint, |row| row.missing == 1 && row.missing_names == ["z"])
            .await;
        client.subscribe(&Endpoint, &[]);
        server
            .await_status("n", &Endpoint, |row| row.missing == 0 && row.missing_names.is_empty())
            .await;
    }
}

#[tokio::test]
async fn errors_of_resources_can_be_switched_off() {
    let server = Server::with(Layer {
        protocol: ProtocolLayer {
            resource_errors: Some(false),
            ..ProtocolLayer::default()
        },
        ..Layer::default()
    })
    .await;
    server.publish(&clusters(&[("a", 1)])).await;
    for form in Form::ALL {
        let mut client = Client::open(&server, form, &Cluster, "n").await;
        client.subscribe(&Cluster, &["z"]);
        assert_eq!(client.next().await.errors, [], "{form:?}");
    }
}

#[tokio::test]
async fn wildcard_of_a_server_leaves_out_what_is_on_demand() {
    let server = Server::with(Layer {
        protocol: ProtocolLayer {
            on_demand: Some(vec!["cluster:tenant-*".to_owned()]),
            ..ProtocolLayer::default()
        },
        ..Layer::default()
    })
    .await;
    server
        .publish(&clusters(&[("a", 1), ("tenant-1", 1), ("tenant-2", 1)]))
        .await;
    for form in Form::ALL {
        let mut client = Client::open(&server, form, &Cluster, "n").await;
        client.subscribe(&Cluster, &["*"]);
        client.accept(&Cluster, &["a"]).await;
        client.subscribe(&Cluster, &["*", "tenant-2"]);
        let with: &[&str] = if form.is_sotw() {
            &["a", "tenant-2"]
        } else {
            &["tenant-2"]
        };
        client.accept(&Cluster, with).await;
        client.silent().await;
    }
}

/// A client that accepts TTLs, by its own features or by a setting of its group.
fn expiring() -> Config {
    Config::new().expiring(&Runtime, "name: switches, layer: {}", "3s")
}

#[tokio::test]
async fn heartbeats_renew_a_ttl_for_clients_that_take_it() {
    let server = Server::with(Layer {
        protocol: ProtocolLayer {
            ttl_groups: Some(vec!["forced".to_owned()]),
            ..ProtocolLayer::default()
        },
        ..Layer::default()
    })
    .await;
    for group in ["said", "forced"] {
        server.publish_to(group, &expiring()).await;
    }
    let features = [
        "xds.config.supports-resource-ttl",
        "xds.config.supports-resource-in-sotw",
    ];
    for form in Form::ALL {
        for group in ["said", "forced"] {
            let mut client = Client::open(&server, form, &Runtime, "n")
                .await
                .of_group(group)
                .says(|node| {
                    if group == "said" {
                        node.client_features = features.map(str::to_owned).to_vec();
                    }
                });
            client.subscribe(&Runtime, &["switches"]);
            let first = client.expect(&Runtime, &["switches"]).await;
            assert_eq!(first.ttls["switches"], 3, "{form:?} {group}");
            client.ack(&first);
            let mut nonces = vec![first.nonce];
            for _ in 0..2 {
                // In SotW the full resource renews its TTL: Envoy lets the resource expire at a heartbeat without content.
                let whole: &[&str] = if form.is_sotw() { &["switches"] } else { &[] };
                let heartbeat = client.expect(&Runtime, whole).await;
                let renewed = if form.is_sotw() {
                    heartbeat.ttls.clone().into_iter().collect()
                } else {
                    heartbeat.heartbeats.clone()
                };
                assert_eq!(renewed, [("switches".to_owned(), 3)], "{form:?} {group}");
                assert_eq!(heartbeat.version, first.version, "{form:?} {group}");
                assert!(!nonces.contains(&heartbeat.nonce));
                client.ack(&heartbeat);
                nonces.push(heartbeat.nonce);
            }
        }
    }
}

#[tokio::test]
async fn client_that_does_not_take_ttls_is_sent_none() {
    let server = Server::serving(&expiring()).await;
    for form in Form::ALL {
        let mut client = Client::open(&server, form, &Runtime, "n").await;
        client.subscribe(&Runtime, &["switches"]);
        let only = client.accept(&Runtime, &["switches"]).await;
        assert!(only.ttls.is_empty(), "{form:?}");
        assert_eq!(
            only.any_urls.into_iter().collect::<Vec<_>>(),
            [Runtime.type_url()],
            "not wrapped"
        );
    }
}

#[tokio::test]
async fn ask_for_a_name_and_its_other_form_is_one_subscription() {
    let server = Server::serving(&all(&Endpoint, &[("a", 1)])).await;
    let mut client = Client::open(&server, Form::DeltaAds, &Endpoint, "n").await;
    let twice = [format!("{PREFIX}/t/x?b=1&a=2"), format!("{PREFIX}/t/x?a=2&b=1")];
    let names: Vec<&str> = twice.iter().map(String::as_str).collect();
    client.ask(Ask::of(&Endpoint).names(&names));
    assert_eq!(client.next().await.removed, [twice[1].clone()]);
    server.await_status("n", &Endpoint, |row| row.names == 1).await;
}
