//! mTLS on the xDS port: a certificate that becomes invalid ends its streams and connections.

use std::{fs, path::Path};

use chancery::{
    access::AccessConfig,
    resource::ResourceType,
    settings::{Layer, XdsLayer},
};
use time::{Duration, OffsetDateTime};
use tonic::{
    Code,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};

use crate::{
    authority::{Authority, Issued},
    client::{Client, Form, call},
    config::Config,
    connections::{closed, few_places, says},
    server::Server,
};

const IDENTITY: &str = "spiffe://prod/ns/demo/sa/envoy";

/// A server that requires client certificates of `authority`.
struct Secure {
    server: Server,
    authority: Authority,
    dir: tempfile::TempDir,
}

impl Secure {
    /// Starts the server with an empty revocation list.
    async fn start(access: Option<AccessConfig>) -> Self {
        Self::with(Layer {
            access,
            ..Layer::default()
        })
        .await
    }

    async fn with(layer: Layer) -> Self {
        let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
        let path = |name: &str| Some(dir.path().join(name));
        authority.server().write(dir.path(), "server");
        fs::write(dir.path().join("ca.pem"), authority.pem()).unwrap();
        exchange(dir.path(), "ca.crl", &authority.crl(&[]));
        let layer = Layer {
            xds: XdsLayer {
                tls_cert: path("server.pem"),
                tls_key: path("server.key"),
                client_ca: path("ca.pem"),
                crl: path("ca.crl"),
                ..XdsLayer::default()
            },
            ..layer
        };
        let server = Server::with(layer).await;
        server.publish(&config(&["a"])).await;
        Self { server, authority, dir }
    }

    fn endpoint(&self, client: &Issued) -> Endpoint {
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(self.authority.pem()))
            .domain_name("localhost")
            .identity(Identity::from_pem(&client.cert, &client.key));
        let url = format!("https://{}", self.server.xds());
        Endpoint::from_shared(url).unwrap().tls_config(tls).unwrap()
    }

    async fn connect(&self, client: &Issued) -> Channel {
        self.endpoint(client).connect().await.unwrap()
    }

    /// A stream that has received a response.
    async fn stream(channel: Channel, node: &str) -> Client {
        let mut client = Client::open_on(channel, Form::DeltaAds, &ResourceType::Cluster, node).await;
        client.subscribe(&ResourceType::Cluster, &["a"]);
        let answer = client.next().await;
        client.ack(&answer);
        client
    }

    fn revoke(&self, revoked: &[&Issued]) {
        exchange(self.dir.path(), "ca.crl", &self.authority.crl(revoked));
    }

    /// The code at the end of a stream.
    async fn end_of(client: Client) -> Code {
        client.end().await.map_or_else(|status| status.code(), |()| Code::Ok)
    }
}

fn config(clusters: &[&str]) -> Config {
    let with = |config: Config, name: &&str| config.with(&ResourceType::Cluster, name, 0);
    clusters.iter().fold(Config::new(), with)
}

fn exchange(dir: &Path, name: &str, text: &str) {
    let beside = dir.join(format!(".{name}"));
    fs::write(&beside, text).unwrap();
    fs::rename(beside, dir.join(name)).unwrap();
}

fn rules() -> Option<AccessConfig> {
    let rules = r#"{"nodes": [{"identity": "spiffe://prod/ns/{ns}/sa/{sa}", "node_id": "*", "groups": "{ns}"}]}"#;
    Some(serde_json::from_str(rules).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_certificate_ends_its_connection_and_begins_none() {
    let secure = Secure::start(None).await;
    let (stolen, other) = (secure.authority.client(IDENTITY), secure.authority.client(IDENTITY));
    let taken = Secure::stream(secure.connect(&stolen).await, "stolen").await;
    let mut stays = Secure::stream(secure.connect(&other).await, "other").await;

    secure.revoke(&[&stolen]);
    assert_ne!(Secure::end_of(taken).await, Code::Ok);
    let withdrawn = r#"xds_tls_withdrawn_certificates_total{port="xds",reason="revoked"}"#;
    secure.server.await_metric(withdrawn, 1.0).await;
    assert!(secure.server.metrics().await[r#"xds_tls_crl_next_update_seconds{port="xds"}"#] > 0.0);

    let late = secure.authority.expired_client(IDENTITY);
    for (client, reason) in [(&stolen, "revoked"), (&late, "expired")] {
        // In TLS 1.3 the client finishes before the server has checked its certificate, so the first call fails.
        let channel = secure.endpoint(client).connect_lazy();
        let path = Form::DeltaAds.path(&ResourceType::Cluster);
        assert!(call(channel, &path, tokio_stream::pending()).await.is_err());
        let refused = format!("xds_tls_handshake_failures_total{{port=\"xds\",reason=\"{reason}\"}}");
        // The client may learn of it before the server has counted it.
        secure.server.await_metric_above(&refused, 0.0).await;
    }

    // A client with another certificate of the same identity goes on, and receives the publish.
    secure.server.publish(&config(&["a", "b"])).await;
    stays.subscribe(&ResourceType::Cluster, &["a", "b"]);
    assert_eq!(stays.next().await.names(), ["b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_make_room() {
    let secure = Secure::with(few_places()).await;
    let client = secure.authority.client(IDENTITY);
    let mut old = Secure::stream(secure.connect(&client).await, "old").await;
    let mut silent = Vec::new();
    for from in 1..=6 {
        silent.push(says(secure.server.xds(), from, b"").await);
    }
    let mut new = Secure::stream(secure.connect(&client).await, "new").await;
    for displaced in silent.drain(..2) {
        closed(displaced).await;
    }
    let metrics = secure.server.metrics().await;
    let handshakes = "xds_tls_handshake_failures_total{port=\"xds\",reason=\"timeout\"}";
    let displaced = "xds_connections_dropped_total{port=\"xds\",reason=\"displaced\"}";
    assert_eq!((metrics[displaced], metrics[handshakes]), (2.0, 0.0));
    let changed = Config::new().with(&ResourceType::Cluster, "a", 1);
    secure.server.publish(&changed).await;
    old.next().await;
    new.next().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_whose_ca_is_taken_out_ends_its_connection() {
    let secure = Secure::start(None).await;
    let client = secure.authority.client(IDENTITY);
    let open = Secure::stream(secure.connect(&client).await, "old").await;
    let next = Authority::new();
    exchange(secure.dir.path(), "ca.crl", &next.crl(&[]));
    exchange(secure.dir.path(), "ca.pem", &next.pem());
    assert_ne!(Secure::end_of(open).await, Code::Ok);
    let withdrawn = r#"xds_tls_withdrawn_certificates_total{port="xds",reason="untrusted"}"#;
    assert_eq!(secure.server.metrics().await[withdrawn], 1.0);
}

/// A connection that stayed open would refuse every stream of a client that has renewed its certificate.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_ends_with_the_certificate_that_it_began_with() {
    for (access, code) in [(None, None), (rules(), Some(Code::Unauthenticated))] {
        let secure = Secure::start(access).await;
        let soon = OffsetDateTime::now_utc() + Duration::seconds(3);
        let client = secure.authority.client_until(IDENTITY, soon);
        let channel = secure.connect(&client).await;
        let open = Secure::stream(channel.clone(), "short").await;
        let ended = Secure::end_of(open).await;
        assert!(ended != Code::Ok && code.is_none_or(|code| code == ended), "{ended}");
        let withdrawn = r#"xds_tls_withdrawn_certificates_total{port="xds",reason="expired"}"#;
        secure.server.await_metric(withdrawn, 1.0).await;
        drop(channel);
    }
}
