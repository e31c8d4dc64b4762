//! Envoys over mTLS.

use std::path::Path;

use chancery::{
    access::AccessConfig,
    settings::{Layer, XdsLayer},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    authority::{Authority, Issued},
    harness::{
        Config, Control, Envoy, Mode, RUNTIME, Release, Upstream, cluster, endpoints, eventually, expect, listener,
        routes,
    },
};

for_every_envoy_on_ads! {
    an_envoy_is_served_over_mtls_while_certificates_change,
}
for_both_releases! {
    an_identity_is_the_nodes_that_its_rule_lets_it_be,
    clients_without_a_valid_certificate_are_not_served,
}

const IDENTITY: &str = "spiffe://prod/ns/demo/sa/envoy";

fn config(mode: Mode, upstream: &Upstream) -> Config {
    let source = mode.source();
    Config::of([
        cluster("app", &source),
        endpoints("app", &[upstream]),
        listener("web", "all", &source),
        routes("all", "app"),
    ])
}

/// A control plane with TLS files from the directory.
fn start(dir: &Path, authority: &Authority) -> Control {
    start_with(dir, authority, None)
}

/// A control plane with TLS files from the directory, and with rules.
fn start_with(dir: &Path, authority: &Authority, access: Option<AccessConfig>) -> Control {
    authority.server().write(dir, "server");
    std::fs::write(dir.join("ca.pem"), authority.pem()).unwrap();
    if !dir.join("ca.crl").exists() {
        std::fs::write(dir.join("ca.crl"), authority.crl(&[])).unwrap();
    }
    Control::with(Layer {
        xds: XdsLayer {
            tls_cert: Some(dir.join("server.pem")),
            tls_key: Some(dir.join("server.key")),
            client_ca: Some(dir.join("ca.pem")),
            crl: Some(dir.join("ca.crl")),
            ..XdsLayer::default()
        },
        access,
        ..Layer::default()
    })
}

fn bootstrap(control: &Control, node: &str, mode: Mode, dir: &Path, client: Option<&Issued>) -> Value {
    let path = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let mut flags = vec!["--xds-ca".to_owned(), path("ca.pem")];
    if let Some(client) = client {
        client.write(dir, node);
        flags.extend(["--xds-cert".to_owned(), path(&format!("{node}.pem"))]);
        flags.extend(["--xds-key".to_owned(), path(&format!("{node}.key"))]);
    }
    let flags: Vec<&str> = mode
        .flags()
        .iter()
        .copied()
        .chain(flags.iter().map(String::as_str))
        .collect();
    control.bootstrap(node, &flags)
}

fn metric(control: &Control, series: &str) -> Option<u64> {
    let url = format!("http://{}/metrics", control.http);
    let text = RUNTIME.block_on(async { reqwest::get(url).await.unwrap().text().await.unwrap() });
    let line = text.lines().find(|line| line.starts_with(series))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

fn an_envoy_is_served_over_mtls_while_certificates_change(release: Release, mode: Mode) {
    let dir = TempDir::new().unwrap();
    let authority = Authority::new();
    let control = start(dir.path(), &authority);
    let (blue, green) = (Upstream::named("blue"), Upstream::named("green"));
    control.publish(&config(mode, &blue));
    let old = authority.client(IDENTITY);
    let first = Envoy::boot(
        release,
        "first",
        &bootstrap(&control, "first", mode, dir.path(), Some(&old)),
    );
    first.expect_body("web", "blue");
    let traffic = first.traffic("web");

    authority.server().write(dir.path(), "server");
    eventually("the new certificate is used", || {
        let renewals = metric(&control, "xds_tls_renewals_total{port=\"xds\"}");
        expect(renewals.is_some_and(|renewals| renewals > 0), true)
    });
    let new = authority.client(IDENTITY);
    let second = Envoy::boot(
        release,
        "second",
        &bootstrap(&control, "second", mode, dir.path(), Some(&new)),
    );
    second.expect_body("web", "blue");
    control.deliver(&config(mode, &green));
    first.expect_body("web", "green");
    second.expect_body("web", "green");
    traffic.expect_no_failure();
}

fn clients_without_a_valid_certificate_are_not_served(release: Release) {
    let dir = TempDir::new().unwrap();
    let authority = Authority::new();
    let revoked = authority.client(IDENTITY);
    std::fs::write(dir.path().join("ca.crl"), authority.crl(&[&revoked])).unwrap();
    let control = start(dir.path(), &authority);
    let upstream = Upstream::named("blue");
    control.publish(&config(Mode::AdsDelta, &upstream));
    let stranger = Authority::new();
    for (node, client, reason) in [
        ("none", None, "no_certificate"),
        ("stranger", Some(stranger.client(IDENTITY)), "unknown_ca"),
        ("revoked", Some(revoked), "revoked"),
        ("late", Some(authority.expired_client(IDENTITY)), "expired"),
    ] {
        let asked = bootstrap(&control, node, Mode::AdsDelta, dir.path(), client.as_ref());
        let envoy = Envoy::boot(release, node, &asked);
        eventually(reason, || {
            let series = format!("xds_tls_handshake_failures_total{{port=\"xds\",reason=\"{reason}\"}}");
            expect(metric(&control, &series).is_some_and(|failures| failures > 0), true)
        });
        envoy.expect_stat("control_plane.connected_state", 0);
        assert!(control.status(node).is_err(), "{node} is known");
    }
}

fn an_identity_is_the_nodes_that_its_rule_lets_it_be(release: Release) {
    let dir = TempDir::new().unwrap();
    let authority = Authority::new();
    let rules = json!({ "nodes": [
        { "identity": "spiffe://prod/ns/{ns}/sa/{sa}", "node_id": "{ns}-*", "groups": ["{ns}"] },
    ] });
    let control = start_with(dir.path(), &authority, Some(serde_json::from_value(rules).unwrap()));
    let mode = Mode::AdsDelta;
    let upstream = Upstream::named("blue");
    control.publish(&config(mode, &upstream));
    let own = authority.client(IDENTITY);
    let known = Envoy::boot(
        release,
        "demo-1",
        &bootstrap(&control, "demo-1", mode, dir.path(), Some(&own)),
    );
    known.expect_body("web", "blue");

    let denied = || metric(&control, "xds_access_denied_total{port=\"xds\",reason=\"node\"}").unwrap_or_default();
    let strange = bootstrap(&control, "shop-1", mode, dir.path(), Some(&own));
    let stranger = Envoy::boot(release, "shop-1", &strange);
    eventually("another node id is refused", || expect(denied() > 0, true));
    stranger.expect_stat("control_plane.connected_state", 0);
    assert!(control.status("shop-1").is_err(), "the refused node is known");
    // The group is that of the node's cluster, which the rule does not grant.
    let elsewhere = authority.client("spiffe://prod/ns/shop/sa/envoy");
    let elsewhere = bootstrap(&control, "shop-2", mode, dir.path(), Some(&elsewhere));
    let _other = Envoy::boot(release, "shop-2", &elsewhere);
    eventually("another group is refused", || {
        let denied = metric(&control, "xds_access_denied_total{port=\"xds\",reason=\"group\"}");
        expect(denied.unwrap_or_default() > 0, true)
    });
    assert!(control.status("shop-2").is_err(), "the refused node is known");
    known.expect_body("web", "blue");
}
