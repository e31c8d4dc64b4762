//! The places that resources claim, as a real Envoy 1.40 compares them (O-17).

use super::*;

fn claimed(yaml: &str) -> Vec<String> {
    let places = &one(yaml).places;
    places.iter().map(ToString::to_string).collect()
}

fn listener(fields: &str) -> Vec<String> {
    claimed(&format!(
        "resources:\n- '@type': type.googleapis.com/envoy.config.listener.v3.Listener\n  name: l\n{fields}"
    ))
}

fn bound_to(address: &str) -> Vec<String> {
    listener(&format!("  address: {{socket_address: {address}}}\n"))
}

#[test]
fn listener_claims_its_address_with_the_protocol() {
    assert_eq!(bound_to("{address: 0.0.0.0, port_value: 80}"), ["tcp 0.0.0.0:80"]);
    assert_eq!(
        bound_to("{address: 0.0.0.0, port_value: 80, protocol: UDP}"),
        ["udp 0.0.0.0:80"]
    );
    assert_eq!(
        listener("  address: {pipe: {path: /run/a.sock, mode: 420}}\n"),
        ["pipe /run/a.sock"]
    );
    assert_eq!(listener("  internal_listener: {}\n"), ["internal l"]);
}

#[test]
fn one_address_is_one_place_however_it_is_written() {
    let short = bound_to("{address: '::1', port_value: 80}");
    assert_eq!(short, ["tcp [::1]:80"]);
    assert_eq!(bound_to("{address: '0:0:0:0:0:0:0:1', port_value: 80}"), short);
    // Envoy treats these as other addresses.
    assert_eq!(
        bound_to("{address: '::', port_value: 80, ipv4_compat: true}"),
        ["tcp [::]:80"]
    );
    assert_eq!(
        bound_to("{address: '::ffff:127.0.0.1', port_value: 80}"),
        ["tcp [::ffff:127.0.0.1]:80"]
    );
    assert_eq!(
        bound_to("{address: 127.0.0.1, port_value: 80, network_namespace_filepath: /run/netns/a}"),
        ["tcp 127.0.0.1:80 in /run/netns/a"]
    );
}

#[test]
fn additional_addresses_are_claimed_too_once_each_and_sorted() {
    let more = "  address: {socket_address: {address: 127.0.0.2, port_value: 80}}\n  additional_addresses:\n  \
                - address: {socket_address: {address: 127.0.0.1, port_value: 80}}\n  \
                - address: {socket_address: {address: 127.0.0.2, port_value: 80}}\n";
    assert_eq!(listener(more), ["tcp 127.0.0.1:80", "tcp 127.0.0.2:80"]);
}

#[test]
fn port_that_the_system_chooses_is_no_place() {
    assert_eq!(bound_to("{address: 127.0.0.1, port_value: 0}"), [""; 0]);
    let api = "  api_listener: {api_listener: {'@type': type.googleapis.com/google.protobuf.Empty}}\n  \
               address: {socket_address: {address: 127.0.0.1, port_value: 80}}\n";
    assert_eq!(listener(api), [""; 0]);
}

#[test]
fn listener_that_does_not_bind_claims_its_address_as_it_is() {
    let unbound = |port: u16, field: &str| {
        listener(&format!(
            "  address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}\n  {field}\n"
        ))
    };
    assert_eq!(unbound(80, "bind_to_port: false"), ["tcp 127.0.0.1:80"]);
    assert_eq!(unbound(0, "bind_to_port: false"), ["tcp 127.0.0.1:0"]);
    assert_eq!(unbound(0, "bind_to_port: true"), [""; 0]);
    assert_eq!(unbound(0, "deprecated_v1: {bind_to_port: false}"), ["tcp 127.0.0.1:0"]);
    // A shared port is claimed as well.
    assert_eq!(unbound(80, "enable_reuse_port: false"), ["tcp 127.0.0.1:80"]);
}

fn scope(fragments: &str) -> Vec<String> {
    claimed(&format!(
        "resources:\n- '@type': type.googleapis.com/envoy.config.route.v3.ScopedRouteConfiguration\n  name: s\n  \
         route_configuration_name: r\n  key: {{fragments: [{fragments}]}}\n"
    ))
}

#[test]
fn scope_claims_its_key_in_the_order_of_its_fragments() {
    assert_eq!(scope("{string_key: acme}"), ["key \"acme\""]);
    assert_eq!(scope("{string_key: b}, {string_key: a}"), ["key \"b\" \"a\""]);
    let quoted = scope("{string_key: 'a\" \"b'}");
    assert_ne!(quoted, scope("{string_key: a}, {string_key: b}"));
}

fn virtual_host(name: &str, domains: &str) -> Vec<String> {
    claimed(&format!(
        "resources:\n- '@type': type.googleapis.com/envoy.service.discovery.v3.Resource\n  name: '{name}'\n  \
         resource:\n    '@type': type.googleapis.com/envoy.config.route.v3.VirtualHost\n    name: v\n    \
         domains: [{domains}]\n"
    ))
}

#[test]
fn virtual_host_claims_its_domains_within_its_route_configuration() {
    assert_eq!(
        virtual_host("r/v", "b.example, A.Example, '*'"),
        ["r domain *", "r domain a.example", "r domain b.example"]
    );
    assert_eq!(virtual_host("a/b/v", "'*.x'"), ["a/b domain *.x"]);
}

#[test]
fn nothing_else_claims_a_place() {
    assert_eq!(claimed(&cluster("  name: a\n")), [""; 0]);
    let route = "resources:\n- '@type': type.googleapis.com/envoy.config.route.v3.RouteConfiguration\n  name: r\n  \
                 virtual_hosts: [{name: v, domains: ['*']}]\n";
    assert_eq!(claimed(route), [""; 0]);
}

#[test]
fn encoded_resource_claims_what_the_written_one_does() {
    let written = one(
        "resources:\n- '@type': type.googleapis.com/envoy.config.listener.v3.Listener\n  name: l\n  \
         address: {socket_address: {address: 127.0.0.1, port_value: 80}}\n",
    );
    let encoded = only(admit_any(any_of(&written)).unwrap());
    assert_eq!(encoded.places, written.places);
}
