//! gRPC's own xDS clients over mTLS, in Go and on C-core: served clients, refused clients with the reason, and certificates that
//! are exchanged during calls.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use crate::{
    authority::{Authority, Issued},
    grpc::{GROUP, TYPES, service, write_bootstrap},
    harness::{Backend, Caller, Chancery, source, tool},
};

/// The identity of the nodes of the group.
const IDENTITY: &str = "spiffe://prod/ns/services/sa/client";

/// The start of a client program.
type Client = fn() -> Command;

fn core() -> Command {
    let mut client = Command::new(tool("venv/bin/python"));
    client.arg(source("python/client.py"));
    client
}

fn core_secret() -> Command {
    let mut client = Command::new(tool("venv/bin/python"));
    client.arg(source("python/secret.py"));
    client
}

fn go() -> Command {
    Command::new(tool("clients/go/client"))
}

fn go_secret() -> Command {
    let mut client = go();
    client.arg("secret");
    client
}

/// A control plane with mTLS, and rules that map identities to nodes.
struct Secure {
    chancery: Chancery,
    authority: Authority,
    dir: tempfile::TempDir,
}

impl Secure {
    fn start() -> Self {
        let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
        authority.server().write(dir.path(), "server");
        fs::write(dir.path().join("ca.pem"), authority.pem()).unwrap();
        fs::write(dir.path().join("ca.crl"), authority.crl(&[])).unwrap();
        let rules = json!({ "access": { "nodes": [{
            "identity": "spiffe://prod/ns/{ns}/sa/{sa}",
            "node_id": "{ns}-*",
            "groups": ["{ns}"],
            "secrets": ["{ns}/*"],
        }] } });
        fs::write(dir.path().join("config.yaml"), rules.to_string()).unwrap();
        let flag = |flag: &str, name: &str| format!("--{flag}={}", dir.path().join(name).display());
        let chancery = Chancery::with(vec![
            flag("xds-tls-cert", "server.pem"),
            flag("xds-tls-key", "server.key"),
            flag("xds-client-ca", "ca.pem"),
            flag("xds-crl", "ca.crl"),
            flag("config", "config.yaml"),
        ]);
        Self {
            chancery,
            authority,
            dir,
        }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    /// A client with this node id and group, and with the certificate in `NAME.pem`.
    fn client(&self, client: Client, node: &str, group: &str, certificate: &Issued) -> Caller {
        certificate.write(self.dir.path(), node);
        self.start_client(client, node, group, "ca.pem")
    }

    fn start_client(&self, client: Client, node: &str, group: &str, ca: &str) -> Caller {
        let credentials = json!({ "type": "tls", "config": {
            "ca_certificate_file": self.path(ca),
            "certificate_file": self.path(&format!("{node}.pem")),
            "private_key_file": self.path(&format!("{node}.key")),
            "refresh_interval": "1s",
        } });
        let bootstrap = self.path(&format!("{node}.json"));
        let server = self.chancery.xds.to_string();
        write_bootstrap(Path::new(&bootstrap), &server, &credentials, node, group);
        let mut command = client();
        command.arg("xds:///backend.example");
        command.env("GRPC_XDS_BOOTSTRAP", bootstrap);
        Caller::start(&mut command)
    }

    /// Asserts that no call of this client succeeds, that the reason is counted, and that its node is unknown.
    #[track_caller]
    fn is_refused(&self, mut client: Caller, node: &str, series: &str) {
        self.chancery.wait_counted(series);
        client.fails();
        assert!(self.chancery.status(node).is_none(), "{node} is known");
    }
}

fn handshake(reason: &str) -> String {
    format!("xds_tls_handshake_failures_total{{port=\"xds\",reason=\"{reason}\"}}")
}

fn denied(reason: &str) -> String {
    format!("xds_access_denied_total{{port=\"xds\",reason=\"{reason}\"}}")
}

#[test]
fn python_on_c_core_is_served_by_its_certificate_and_no_other() {
    // C-core closes the connection to a server that it does not trust, without an alert.
    is_served_by_its_certificate_and_no_other(core, ["unknown_ca", "closed"]);
}

#[test]
fn grpc_go_is_served_by_its_certificate_and_no_other() {
    // Go sends no certificate that none of the server's CAs signed.
    is_served_by_its_certificate_and_no_other(go, ["no_certificate", "distrusted"]);
}

/// The reasons are those of a client with a certificate of another CA, and of one that trusts another CA.
fn is_served_by_its_certificate_and_no_other(client: Client, [strange_reason, distrusting_reason]: [&str; 2]) {
    let secure = Secure::start();
    let one = Backend::start("one");
    secure.chancery.replace(GROUP, &service(&one));
    secure.chancery.replace("other", &service(&one));
    let own = secure.authority.client(IDENTITY);
    let mut served = secure.client(client, "services-1", GROUP, &own);
    served.first_answer("one");
    secure.chancery.wait_synced("services-1", TYPES);

    let stranger = Authority::new();
    let strange = secure.client(client, "services-2", GROUP, &stranger.client(IDENTITY));
    secure.is_refused(strange, "services-2", &handshake(strange_reason));
    let expired = secure.authority.expired_client(IDENTITY);
    let late = secure.client(client, "services-3", GROUP, &expired);
    secure.is_refused(late, "services-3", &handshake("expired"));
    let lost = secure.authority.client(IDENTITY);
    fs::write(secure.path("ca.crl"), secure.authority.crl(&[&lost])).unwrap();
    secure.chancery.wait_counted("xds_tls_renewals_total{port=\"xds\"}");
    let stolen = secure.client(client, "services-4", GROUP, &lost);
    secure.is_refused(stolen, "services-4", &handshake("revoked"));
    // A client that trusts another CA does not talk to this server.
    fs::write(secure.path("stranger.pem"), stranger.pem()).unwrap();
    own.write(secure.dir.path(), "services-5");
    let distrusting = secure.start_client(client, "services-5", GROUP, "stranger.pem");
    secure.is_refused(distrusting, "services-5", &handshake(distrusting_reason));

    let other_node = secure.client(client, "other-1", GROUP, &own);
    secure.is_refused(other_node, "other-1", &denied("node"));
    let other_group = secure.client(client, "services-6", "other", &own);
    secure.is_refused(other_group, "services-6", &denied("group"));
    served.stays_with("one", 5);
}

#[test]
fn python_on_c_core_loses_no_call_while_certificates_are_exchanged() {
    loses_no_call_while_certificates_are_exchanged(core);
}

#[test]
fn grpc_go_loses_no_call_while_certificates_are_exchanged() {
    loses_no_call_while_certificates_are_exchanged(go);
}

fn loses_no_call_while_certificates_are_exchanged(client: Client) {
    let secure = Secure::start();
    let (one, two) = (Backend::start("one"), Backend::start("two"));
    secure.chancery.replace(GROUP, &service(&one));
    let soon = OffsetDateTime::now_utc() + Duration::seconds(10);
    let first = secure.authority.client_until(IDENTITY, soon);
    let mut caller = secure.client(client, "services-1", GROUP, &first);
    caller.first_answer("one");
    secure.chancery.wait_synced("services-1", TYPES);

    // Both sides get new certificates before the old ones expire.
    secure.authority.client(IDENTITY).write(secure.dir.path(), "services-1");
    secure.authority.server().write(secure.dir.path(), "server");
    secure.chancery.wait_counted("xds_tls_renewals_total{port=\"xds\"}");
    secure.chancery.replace(GROUP, &service(&two));
    caller.answers_of("two");
    // The connection with the old certificate is closed, and the client reconnects with the new one.
    let ended = "xds_tls_withdrawn_certificates_total{port=\"xds\",reason=\"expired\"}";
    secure.chancery.wait_counted(ended);
    secure.chancery.replace(GROUP, &service(&one));
    caller.answers_of("one");
    secure.chancery.wait_synced("services-1", TYPES);
    caller.stays_with("one", 10);
}

#[test]
fn python_on_c_core_is_given_the_secrets_of_its_group_and_no_others() {
    is_given_the_secrets_of_its_group_and_no_others(core_secret);
}

#[test]
fn grpc_go_is_given_the_secrets_of_its_group_and_no_others() {
    is_given_the_secrets_of_its_group_and_no_others(go_secret);
}

fn is_given_the_secrets_of_its_group_and_no_others(client: Client) {
    let secure = Secure::start();
    let secret = |name: &str| -> Value {
        json!({
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
            "name": name,
            "generic_secret": { "secret": { "inline_string": "s" } },
        })
    };
    let both = json!([secret("services/own"), secret("other/theirs")]);
    secure.chancery.replace(GROUP, &both);
    secure.authority.client(IDENTITY).write(secure.dir.path(), "client");
    let stranger = Authority::new();
    stranger.client(IDENTITY).write(secure.dir.path(), "stranger");
    let asked = |who: &str, node: &str, group: &str, name: &str| {
        let mut command = client();
        command.args([
            secure.chancery.xds.to_string(),
            secure.path("ca.pem"),
            secure.path(&format!("{who}.pem")),
            secure.path(&format!("{who}.key")),
            node.to_owned(),
            group.to_owned(),
            name.to_owned(),
        ]);
        Caller::start(&mut command).next()
    };
    for (node, group, name, answer) in [
        ("services-1", GROUP, "services/own", "given services/own"),
        ("services-1", GROUP, "*", "given services/own"),
        ("services-1", GROUP, "other/theirs", "removed other/theirs"),
        ("services-1", GROUP, "other/nothing", "removed other/nothing"),
        ("services-1", GROUP, "services/nothing", "removed services/nothing"),
        ("other-1", GROUP, "services/own", "error PERMISSION_DENIED"),
        ("services-1", "other", "services/own", "error PERMISSION_DENIED"),
    ] {
        assert_eq!(
            asked("client", node, group, name),
            answer,
            "{node} of {group} asks for {name}"
        );
    }
    assert_eq!(
        asked("stranger", "services-1", GROUP, "services/own"),
        "error UNAVAILABLE"
    );
    secure.chancery.wait_counted(&denied("secret"));
}
