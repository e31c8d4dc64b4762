//! TLS of the admin API, and ports that other machines cannot reach without TLS.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, Stdio},
};

use crate::{
    authority::Authority,
    harness::{Ran, chancery},
};

/// `chancery serve` with these flags, on free ports of the loopback unless the flags name ports.
struct Serving {
    child: Child,
    admin: String,
    lines: Vec<String>,
}

impl Serving {
    fn start(flags: &[&str]) -> Self {
        let mut child = chancery(&["serve", "--ephemeral", "--http-addr=127.0.0.1:0"])
            .args(flags)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let printed = BufReader::new(child.stdout.take().unwrap()).lines().take(3);
        let lines: Vec<String> = printed.map(Result::unwrap).collect();
        let admin = lines.iter().find_map(|line| line.strip_prefix("admin listening on "));
        Self {
            admin: admin.expect("an address").to_owned(),
            child,
            lines,
        }
    }

    /// Stops the server, and returns its log.
    fn log(mut self) -> String {
        self.child.kill().unwrap();
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        log
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn run(args: &[&str]) -> Ran {
    chancery(args).output().unwrap().into()
}

#[test]
fn the_admin_api_is_reached_with_a_certificate_of_its_ca() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (authority, stranger) = (Authority::new(), Authority::new());
    authority.server().write(dir.path(), "server");
    authority.client("spiffe://prod/ns/ops/sa/ci").write(dir.path(), "ci");
    stranger
        .client("spiffe://prod/ns/ops/sa/ci")
        .write(dir.path(), "stranger");
    std::fs::write(path("ca.pem"), authority.pem()).unwrap();
    std::fs::write(path("other.pem"), stranger.pem()).unwrap();
    let (cert, key, ca) = (path("server.pem"), path("server.key"), path("ca.pem"));
    let revoked = authority.client("spiffe://prod/ns/ops/sa/gone");
    revoked.write(dir.path(), "gone");
    let crl = path("ca.crl");
    std::fs::write(&crl, authority.crl(&[&revoked])).unwrap();
    let serving = Serving::start(&[
        "--xds-addr=127.0.0.1:0",
        "--admin-addr=127.0.0.1:0",
        "--admin-tls-cert",
        &cert,
        "--admin-tls-key",
        &key,
        "--admin-client-ca",
        &ca,
        "--admin-crl",
        &crl,
    ]);
    let url = format!("https://{}", serving.admin);
    let ask = |flags: &[&str]| {
        let flags: Vec<&str> = ["status", "--admin", &url].iter().chain(flags).copied().collect();
        run(&flags)
    };
    let (ci, ci_key) = (path("ci.pem"), path("ci.key"));
    let known = ask(&["--ca", &ca, "--cert", &ci, "--key", &ci_key]);
    assert_eq!(known.code, 0, "{known:?}");
    let by_environment = chancery(&["status"])
        .envs([
            ("CHANCERY_ADMIN", &url),
            ("CHANCERY_CA", &ca),
            ("CHANCERY_CERT", &ci),
            ("CHANCERY_KEY", &ci_key),
        ])
        .output()
        .unwrap();
    assert!(by_environment.status.success(), "{by_environment:?}");

    let unknown = ask(&[
        "--ca",
        &ca,
        "--cert",
        &path("stranger.pem"),
        "--key",
        &path("stranger.key"),
    ]);
    assert_eq!(unknown.code, 6, "{unknown:?}");
    authority
        .expired_client("spiffe://prod/ns/ops/sa/ci")
        .write(dir.path(), "late");
    let late = ask(&["--ca", &ca, "--cert", &path("late.pem"), "--key", &path("late.key")]);
    assert_eq!(late.code, 6, "{late:?}");
    let gone = ask(&["--ca", &ca, "--cert", &path("gone.pem"), "--key", &path("gone.key")]);
    assert_eq!(gone.code, 6, "{gone:?}");
    let nobody = ask(&["--ca", &ca]);
    assert_eq!(nobody.code, 6, "{nobody:?}");
    let distrusting = ask(&["--ca", &path("other.pem"), "--cert", &ci, "--key", &ci_key]);
    assert_eq!(distrusting.code, 6, "{distrusting:?}");
    let in_the_clear = run(&["status", "--admin", &format!("http://{}", serving.admin)]);
    assert_eq!(in_the_clear.code, 6, "{in_the_clear:?}");

    let without_ca = ask(&[]);
    assert_eq!(without_ca.code, 2, "{without_ca:?}");
    assert!(without_ca.stderr.contains("--ca"), "{without_ca:?}");
    let missing = ask(&["--ca", "missing.pem"]);
    assert_eq!(missing.code, 2, "{missing:?}");
    assert!(missing.stderr.contains("missing.pem"), "{missing:?}");
}

#[test]
fn a_port_that_others_reach_needs_tls_or_leave_to_do_without() {
    for port in ["xds", "admin", "http"] {
        let address = format!("--{port}-addr=0.0.0.0:0");
        let refused = run(&["serve", "--ephemeral", &address]);
        assert_eq!(refused.code, 2, "{refused:?}");
        for part in [
            format!("{port}.tls_cert"),
            format!("--insecure {port}"),
            "0.0.0.0:0".to_owned(),
        ] {
            assert!(refused.stderr.contains(&part), "{refused:?}");
        }
    }
    let serving = Serving::start(&["--xds-addr=0.0.0.0:0", "--admin-addr=127.0.0.1:0", "--insecure=xds"]);
    let log = serving.log();
    assert!(log.contains("xds is open to other machines"), "{log}");
}

#[test]
fn demo_certificates_work_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let certs = dir.path().join("certs");
    let path = |name: &str| certs.join(name).to_str().unwrap().to_owned();
    let made = run(&["certs", "demo", "--dir", certs.to_str().unwrap()]);
    assert_eq!(made.code, 0, "{made:?}");
    let again = run(&["certs", "demo", "--dir", certs.to_str().unwrap()]);
    assert_eq!(again.code, 2, "{again:?}");
    let (cert, key, ca) = (path("server.pem"), path("server.key"), path("ca.pem"));
    let flags = |port: &str| {
        let of = |name: &str, file: &str| format!("--{port}-{name}={file}");
        [of("tls-cert", &cert), of("tls-key", &key), of("client-ca", &ca)]
    };
    let flags = [flags("xds"), flags("admin"), flags("http")].concat();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let free = [
        "--xds-addr=127.0.0.1:0",
        "--admin-addr=127.0.0.1:0",
        "--probe-addr=127.0.0.1:0",
    ];
    let serving = Serving::start(&[&free[..], &flags[..]].concat());
    assert_eq!(serving.lines.len(), 3);
    let known = run(&[
        "status",
        "--admin",
        &serving.admin,
        "--ca",
        &ca,
        "--cert",
        &path("admin.pem"),
        "--key",
        &path("admin.key"),
    ]);
    assert_eq!(known.code, 0, "{known:?}");
    for key in ["server.key", "client.key", "admin.key"] {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = certs.join(key).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{key}");
    }
}
