//! SDS: a listener's certificate, rotated while it serves.

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use reqwest::{Certificate, Client};
use serde_json::{Value, json};

use crate::harness::{
    Config, Control, Envoy, LISTENER, Mode, Release, SECRET, Traffic, Upstream, ads, cluster, endpoints, eventually,
    listener, routes, send, stays,
};

for_every_envoy_on_ads! {
    a_certificate_is_rotated_under_traffic,
}

const HOST: &str = "chancery.example";
const TLS: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext";

/// A self-signed certificate.
struct Identity {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Identity {
    fn new() -> Self {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed([HOST.to_owned()]).unwrap();
        Self {
            certificate: cert,
            key: signing_key,
        }
    }

    fn secret(&self) -> Value {
        let text = |pem: String| json!({ "inline_string": pem });
        let pair = json!({
            "certificate_chain": text(self.certificate.pem()),
            "private_key": text(self.key.serialize_pem()),
        });
        json!({ "@type": SECRET, "name": "server", "tls_certificate": pair })
    }
}

/// A client that trusts these certificates and no others.
fn client_of(identities: &[&Identity], envoy: &Envoy) -> (Client, String) {
    let address = envoy.address("web").unwrap();
    let mut client = Client::builder()
        .no_proxy()
        .pool_max_idle_per_host(0)
        .tls_built_in_root_certs(false)
        .resolve(HOST, address);
    for identity in identities {
        client = client.add_root_certificate(Certificate::from_der(identity.certificate.der()).unwrap());
    }
    (client.build().unwrap(), format!("https://{HOST}:{}/", address.port()))
}

fn tls_listener() -> Value {
    let secret = json!({ "name": "server", "sds_config": ads() });
    let context = json!({ "@type": TLS, "common_tls_context": { "tls_certificate_sds_secret_configs": [secret] } });
    let mut listener = listener("web", "all", &ads());
    assert_eq!(listener["@type"], LISTENER);
    listener["filter_chains"][0]["transport_socket"] =
        json!({ "name": "envoy.transport_sockets.tls", "typed_config": context });
    listener
}

fn a_certificate_is_rotated_under_traffic(release: Release, mode: Mode) {
    let control = Control::start();
    let blue = Upstream::named("blue");
    let (old, new) = (Identity::new(), Identity::new());
    let mut config = Config::of([
        cluster("app", &ads()),
        endpoints("app", &[&blue]),
        tls_listener(),
        routes("all", "app"),
        old.secret(),
    ]);
    control.publish(&config);
    let envoy = Envoy::start(release, "node", mode, &control);
    envoy.expect_ready();
    let serves = |identity: &Identity| {
        let (client, url) = client_of(&[identity], &envoy);
        send(client.get(url)).map(|reply| reply.body)
    };
    assert_eq!(eventually("the first certificate is served", || serves(&old)), "blue");
    let unknown = serves(&new).unwrap_err();
    assert!(unknown.contains("InvalidCertificate"), "{unknown}");
    let (client, url) = client_of(&[&old, &new], &envoy);
    let traffic = Traffic::start(client, url);

    config.set(new.secret());
    control.deliver(&config);
    assert_eq!(eventually("the second certificate is served", || serves(&new)), "blue");
    stays("the first is served no more", &true, || serves(&old).is_err());
    traffic.expect_no_failure();
    let shown = control.run(&["get", "-g", "demo", "-o", "yaml"]);
    assert!(shown.code == 0 && !shown.stdout.contains("PRIVATE KEY"), "{shown:?}");
}
