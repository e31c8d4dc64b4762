//! `--envoy PATH`: the messages of a real Envoy as findings.

use std::{fs, os::unix::fs::PermissionsExt as _};

use serde_json::Value;

use crate::{
    cases::GOOD,
    confirmed::binary,
    process::{file_of, validate},
};

/// Two listeners and a cluster that pass our own checks.
const SCRIPTS: &str = r#"
resources:
- "@type": type.googleapis.com/envoy.config.cluster.v3.Cluster
  name: a
  type: STATIC
- "@type": type.googleapis.com/envoy.config.listener.v3.Listener
  name: good
  address: {socket_address: {address: 127.0.0.1, port_value: 8000}}
  filter_chains: [{filters: [{name: tcp, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: a, cluster: a}}]}]
- "@type": type.googleapis.com/envoy.config.listener.v3.Listener
  name: script
  address: {socket_address: {address: 127.0.0.1, port_value: 8001}}
  filter_chains:
  - filters:
    - name: http
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
        stat_prefix: a
        route_config: {name: r, virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: a}}]}]}
        http_filters:
        - name: lua
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua
            default_source_code: {inline_string: "this is not lua"}
        - {name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
"#;

fn ask(files: &[&str], envoy: &str) -> (i32, Value) {
    let files = files.iter().flat_map(|file| ["-f", *file]);
    validate(&files.chain(["--envoy", envoy]).collect::<Vec<_>>())
}

#[test]
fn a_good_configuration_passes() {
    let dir = tempfile::tempdir().unwrap();
    let case = GOOD.iter().find(|case| case.name == "good/sds_tutorial").unwrap();
    let (code, said) = ask(&[&file_of(case, &dir)], binary().path.to_str().unwrap());
    assert_eq!((code, &said["valid"]), (0, &Value::Bool(true)), "{said}");
}

#[test]
fn errors_that_only_envoy_finds_name_the_resource_in_its_words() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.yaml");
    fs::write(&path, SCRIPTS).unwrap();
    let (code, said) = validate(&["-f", path.to_str().unwrap()]);
    assert_eq!(code, 0, "our own checks have nothing to say: {said}");
    let (code, said) = ask(&[path.to_str().unwrap()], binary().path.to_str().unwrap());
    assert_eq!(code, 3, "{said}");
    let findings = said["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 1, "{said}");
    assert_eq!(findings[0]["code"], "XDS0401");
    assert_eq!(findings[0]["resource"], "script");
    assert!(findings[0]["type_url"].as_str().unwrap().ends_with("Listener"));
    let message = findings[0]["message"].as_str().unwrap();
    assert!(message.starts_with("envoy refuses: script load error:"), "{message}");
}

#[test]
fn a_binary_that_is_missing_is_a_usage_error() {
    let dir = tempfile::tempdir().unwrap();
    let (code, _) = ask(&[&file_of(&GOOD[0], &dir)], "/nowhere/envoy");
    assert_eq!(code, 2);
}

#[test]
fn a_binary_that_is_no_envoy_or_hangs_has_no_verdict() {
    let dir = tempfile::tempdir().unwrap();
    let file = file_of(&GOOD[0], &dir);
    for (name, script) in [
        ("yes", "exit 0"),
        ("no", "echo wrong >&2; exit 1"),
        ("crash", "kill -SEGV $$"),
    ] {
        let path = dir.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let (code, _) = ask(&[&file], path.to_str().unwrap());
        assert_eq!(code, 6, "{name}");
    }
    let path = dir.path().join("hangs");
    fs::write(&path, "#!/bin/sh\nexec sleep 600\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let (code, _) = validate(&[
        "-f",
        &file,
        "--envoy",
        path.to_str().unwrap(),
        "--envoy-timeout",
        "200ms",
    ]);
    assert_eq!(code, 6);
}
