//! `replace` and `apply` with `--envoy`: a real Envoy checks the resources before anything is published.

use crate::harness::{Server, clusters, envoy_binary};

/// A listener with a script that only an Envoy can check, and with a route to a cluster.
fn listener(script: &str) -> String {
    format!(
        r#"resources:
- "@type": type.googleapis.com/envoy.config.listener.v3.Listener
  name: web
  address: {{socket_address: {{address: 127.0.0.1, port_value: 8000}}}}
  filter_chains:
  - filters:
    - name: http
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
        stat_prefix: web
        route_config: {{name: r, virtual_hosts: [{{name: v, domains: ["*"], routes: [{{match: {{prefix: /}}, route: {{cluster: app}}}}]}}]}}
        http_filters:
        - name: lua
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua
            default_source_code: {{inline_string: "{script}"}}
        - {{name: router, typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}}}
"#
    )
}

#[test]
fn nothing_is_published_that_a_real_envoy_refuses() {
    let server = Server::start();
    let envoy = envoy_binary();
    let envoy = envoy.to_str().unwrap();
    let app = server.file("app.yaml", clusters(&["app"]));
    let bad = server.file("bad.yaml", listener("this is not lua"));
    let good = server.file("good.yaml", listener("function envoy_on_request(handle) end"));
    let refused = server.expect(3, &["replace", "-g", "demo", "-f", &app, "-f", &bad, "--envoy", envoy]);
    assert!(
        refused
            .stderr
            .starts_with("error[XDS0401] listener \"web\": envoy refuses: script load error"),
        "{refused:?}"
    );
    assert!(
        refused
            .stderr
            .ends_with("error: refused by envoy: 1 finding; nothing was published\n"),
        "{refused:?}"
    );
    server.expect(4, &["get", "-g", "demo"]);
    server.expect(0, &["replace", "-g", "demo", "-f", &app, "-f", &good, "--envoy", envoy]);
    server.expect(3, &["apply", "-g", "demo", "-f", &bad, "--envoy", envoy]);
}

#[test]
fn envoy_is_asked_about_what_a_node_of_the_group_gets() {
    let server = Server::start();
    let envoy = envoy_binary();
    let envoy = envoy.to_str().unwrap();
    let app = server.file("app.yaml", clusters(&["app"]));
    let web = server.file("web.yaml", listener("function envoy_on_request(handle) end"));
    // Envoy refuses a route in a listener to a cluster that does not exist.
    let alone = server.expect(3, &["replace", "-g", "demo", "-f", &web, "--envoy", envoy]);
    assert!(alone.stderr.contains("unknown cluster 'app'"), "{alone:?}");
    // The cluster is in the group `*`.
    server.expect(0, &["replace", "-g", "*", "-f", &app, "--envoy", envoy]);
    server.expect(0, &["replace", "-g", "demo", "-f", &web, "--envoy", envoy]);
    // The cluster is in the listener's group.
    server.expect(0, &["replace", "-g", "other", "-f", &app]);
    server.expect(0, &["apply", "-g", "other", "-f", &web, "--envoy", envoy]);
}

#[test]
fn an_envoy_that_cannot_be_asked_publishes_nothing() {
    let server = Server::start();
    let app = server.file("app.yaml", clusters(&["app"]));
    server.expect(2, &["replace", "-g", "demo", "-f", &app, "--envoy", "/nowhere/envoy"]);
    server.expect(6, &["replace", "-g", "demo", "-f", &app, "--envoy", "/bin/false"]);
    server.expect(4, &["get", "-g", "demo"]);
}
