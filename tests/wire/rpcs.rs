//! All RPCs for discovery in Envoy's protos: streams, delta streams and `Fetch*`.

use bytes::Bytes;
use chancery::resource::ResourceType::{self, Cluster, Endpoint, LbEndpoint, VirtualHost};
use tonic::{Code, Status};

use crate::{
    client::{Answer, Ask, Client, Form, call, node},
    config::{Config, clusters},
    server::Server,
};

/// Types whose services have a SotW form.
fn sotw_types() -> impl Iterator<Item = ResourceType> {
    ResourceType::KNOWN
        .into_iter()
        .filter(|kind| !matches!(kind, LbEndpoint | VirtualHost))
}

fn name(kind: &ResourceType) -> &'static str {
    if *kind == VirtualHost { "r/a.example" } else { "a" }
}

fn one_of_each() -> Config {
    let each = ResourceType::KNOWN.into_iter();
    each.fold(Config::new(), |config, kind| config.with(&kind, name(&kind), 1))
}

fn fetch_path(kind: &ResourceType) -> String {
    Form::SotwPerType.path(kind).replace("/Stream", "/Fetch")
}

async fn fetch(server: &Server, kind: &ResourceType, ask: Ask) -> Result<Answer, Status> {
    let message: Bytes = ask.encode(Form::SotwPerType);
    let mut answers = call(server.connect().await, &fetch_path(kind), tokio_stream::once(message)).await?;
    let answer = answers.message().await?.expect("one answer");
    assert!(answers.message().await?.is_none(), "one answer only");
    Ok(Answer::decode(Form::SotwPerType, &answer))
}

#[tokio::test]
async fn every_stream_serves_its_type_by_name() {
    let server = Server::serving(&one_of_each()).await;
    let mut served = 0;
    for form in Form::ALL {
        for kind in ResourceType::KNOWN {
            if form.is_sotw() && matches!(kind, LbEndpoint | VirtualHost) {
                continue;
            }
            let mut client = Client::open(&server, form, &kind, "n").await;
            client.subscribe(&kind, &[name(&kind)]);
            let answer = client.next().await;
            assert!(answer.is_of(&kind), "{form:?} {kind}: {answer:?}");
            assert_eq!(answer.resources.len(), 1, "{form:?} {kind}: {answer:?}");
            assert_eq!(
                answer.names(),
                [name(&kind)],
                "W-5: exactly the name that was asked for"
            );
            assert_eq!(answer.any_urls.first().unwrap(), kind.type_url());
            client.ack(&answer);
            served += 1;
        }
    }
    assert_eq!(served, 8 + 8 + 10 + 10);
}

#[tokio::test]
async fn every_fetch_answers_its_type() {
    let server = Server::serving(&one_of_each()).await;
    for kind in sotw_types() {
        let named = fetch(&server, &kind, Ask::of(&kind).node(node("n")).names(&["a"]))
            .await
            .unwrap();
        assert_eq!((named.type_url.as_str(), named.names()), (kind.type_url(), vec!["a"]));
        assert!(!named.version.is_empty() && named.identifier.starts_with("chancery/"));
        // Without a stream an empty list means all names; the path implies the type.
        let all = fetch(&server, &kind, Ask::default().node(node("n"))).await.unwrap();
        assert!(all.names().contains(&"a"), "{all:?}");
        // The presented version makes no difference.
        let again = fetch(&server, &kind, Ask::of(&kind).node(node("n")).version(&all.version))
            .await
            .unwrap();
        assert_eq!(again.resources, all.resources);
    }
    assert_eq!(server.open_streams(), 0);
    assert!(server.nodes().await.is_empty(), "a fetch leaves nothing behind");
}

#[tokio::test]
async fn fetch_says_what_is_wrong() {
    let server = Server::serving(&clusters(&[("a", 1)])).await;
    let cases = [
        (Ask::of(&Cluster), Code::InvalidArgument),
        (Ask::of(&Endpoint).node(node("n")), Code::InvalidArgument),
    ];
    for (ask, code) in cases {
        let status = fetch(&server, &Cluster, ask).await.unwrap_err();
        assert_eq!(status.code(), code, "{status:?}");
    }
    let empty = call(server.connect().await, &fetch_path(&Cluster), tokio_stream::empty()).await;
    assert_eq!(empty.unwrap_err().code(), Code::InvalidArgument);
    // An empty response would delete everything.
    let unknown = Server::start().await;
    let status = fetch(&unknown, &Cluster, Ask::of(&Cluster).node(node("n")))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
}

#[tokio::test]
async fn fetch_of_names_that_do_not_exist_is_empty() {
    let server = Server::serving(&clusters(&[("a", 1)])).await;
    for kind in [Cluster, Endpoint] {
        let ask = Ask::of(&kind).node(node("n")).names(&["nothing"]);
        let answer = fetch(&server, &kind, ask).await.unwrap();
        assert!(answer.resources.is_empty() && !answer.version.is_empty(), "{answer:?}");
    }
}
