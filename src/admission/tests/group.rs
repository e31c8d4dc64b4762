//! Findings that need all resources of a group.

use super::*;
use crate::snapshot::{TypeResources, Types};

fn types(yaml: &str) -> Types {
    let admitted =
        admit_text("a.yaml", format!("resources:\n{yaml}")).unwrap_or_else(|rejection| panic!("{rejection}"));
    let sets = admitted
        .resources
        .into_iter()
        .map(|(kind, all)| (kind, Arc::new(TypeResources::new(all).unwrap())));
    sets.collect()
}

/// Findings as `CODE severity "name" message`.
fn told(findings: &[Finding]) -> Vec<String> {
    let line = |finding: &Finding| {
        let name = finding.resource.as_deref().unwrap_or("-");
        format!("{} {} {name}", finding.code, finding.severity)
    };
    findings.iter().map(line).collect()
}

fn all_findings(own: &Types, shared: Option<&Types>) -> Vec<Finding> {
    GroupChecks::default().next(own, shared, &Places::default()).1
}

fn whole(own: &Types, shared: Option<&Types>) -> Vec<String> {
    told(&all_findings(own, shared))
}

/// Advances to a state; returns its findings.
fn go_on(checks: &mut GroupChecks, own: &Types, shared: Option<&Types>) -> Vec<String> {
    let (next, findings) = checks.next(own, shared, &Places::default());
    *checks = next;
    checks.settle();
    told(&findings)
}

fn listener(name: &str, address: &str) -> String {
    format!(
        "- '@type': type.googleapis.com/envoy.config.listener.v3.Listener\n  name: {name}\n  address: {address}\n  filter_chains: \
         [{{filters: [{{name: x}}]}}]\n"
    )
}

fn socket(address: &str, port: u16) -> String {
    format!("{{socket_address: {{address: '{address}', port_value: {port}}}}}")
}

fn two(first: &str, second: &str) -> Vec<String> {
    whole(
        &types(&format!("{}{}", listener("a", first), listener("b", second))),
        None,
    )
}

#[test]
fn two_listeners_on_one_address_are_an_error() {
    let clash = ["XDS0301 error b"];
    let here = socket("127.0.0.1", 80);
    assert_eq!(two(&here, &here), clash);
    assert_eq!(two(&socket("::1", 80), &socket("0:0::1", 80)), clash);
    assert_eq!(two("{pipe: {path: /a}}", "{pipe: {path: /a}}"), clash);
    let more = format!(
        "{here}\n  additional_addresses: [{{address: {}}}]",
        socket("10.0.0.1", 80)
    );
    assert_eq!(two(&more, &socket("10.0.0.1", 80)), clash);
    assert_eq!(two(&format!("{here}\n  bind_to_port: false"), &here), clash);
    assert_eq!(two(&format!("{here}\n  enable_reuse_port: true"), &here), clash);
}

#[test]
fn listeners_that_envoy_distinguishes_are_fine() {
    let here = socket("127.0.0.1", 80);
    for other in [
        socket("127.0.0.1", 81),
        socket("0.0.0.0", 80),
        socket("::", 80),
        here.replace("port_value", "protocol: UDP, port_value"),
        here.replace("port_value", "network_namespace_filepath: /n, port_value"),
        "{pipe: {path: /a}}".to_owned(),
    ] {
        let clash = two(&here, &other).into_iter().find(|told| told.starts_with("XDS0301"));
        assert_eq!(clash, None, "{other}");
    }
    assert_eq!(two(&socket("127.0.0.1", 0), &socket("127.0.0.1", 0)), [""; 0]);
    let named = format!(
        "{}{}",
        listener("xdstp://a/l/1", &here),
        listener("xdstp://a/l/2", &here)
    );
    assert_eq!(whole(&types(&named), None), [""; 0]);
}

#[test]
fn a_listener_of_the_shared_group_on_the_same_address_is_a_warning() {
    let here = socket("127.0.0.1", 80);
    let shared = types(&listener("s", &here));
    assert_eq!(
        whole(&types(&listener("a", &here)), Some(&shared)),
        ["XDS0301 warning a"]
    );
    // A listener that replaces the shared one does not clash with it.
    assert_eq!(whole(&types(&listener("s", &here)), Some(&shared)), [""; 0]);
}

#[test]
fn an_address_is_free_again_once_its_listener_left_it() {
    let (here, there) = (socket("127.0.0.1", 80), socket("127.0.0.1", 81));
    let mut checks = GroupChecks::default();
    let mut advance = |yaml: String| go_on(&mut checks, &types(&yaml), None);
    assert_eq!(advance(listener("a", &here)), [""; 0]);
    assert_eq!(
        advance(format!("{}{}", listener("a", &here), listener("b", &here))),
        ["XDS0301 error b"]
    );
    assert_eq!(
        advance(format!("{}{}", listener("a", &there), listener("b", &here))),
        [""; 0]
    );
    assert_eq!(
        advance(format!("{}{}", listener("b", &here), listener("c", &here))),
        ["XDS0301 error c"]
    );
    assert_eq!(advance(listener("c", &here)), [""; 0]);
}

#[test]
fn a_state_that_is_only_looked_at_leaves_no_trace() {
    let here = socket("127.0.0.1", 80);
    let one = types(&listener("a", &here));
    let two = types(&format!("{}{}", listener("a", &here), listener("b", &here)));
    let mut checks = GroupChecks::default();
    assert_eq!(go_on(&mut checks, &one, None), [""; 0]);
    for _ in 0..2 {
        let (_, findings) = checks.next(&two, None, &Places::default());
        assert_eq!(told(&findings), ["XDS0301 error b"]);
        assert!(checks.is_of(&one, None) && !checks.is_of(&two, None) && !checks.is_of(&one, Some(&one)));
    }
    assert_eq!(go_on(&mut checks, &one, None), [""; 0]);
}

fn aggregate(name: &str, of: &str) -> String {
    format!(
        "- '@type': type.googleapis.com/envoy.config.cluster.v3.Cluster\n  name: {name}\n  lb_policy: CLUSTER_PROVIDED\n  \
         cluster_type: {{name: x, typed_config: {{'@type': type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig, \
         clusters: [{of}]}}}}\n"
    )
}

#[test]
fn aggregate_clusters_in_a_circle_are_found_once() {
    let circle = format!(
        "{}{}{}",
        aggregate("a", "b, d"),
        aggregate("b", "c"),
        aggregate("c", "a")
    );
    let plain = "- '@type': type.googleapis.com/envoy.config.cluster.v3.Cluster\n  name: d\n";
    let findings = all_findings(&types(&format!("{circle}{plain}")), None);
    assert_eq!(told(&findings), ["XDS0107 warning a"]);
    assert!(
        findings[0].message.ends_with("\"a\" of \"b\" of \"c\" of \"a\""),
        "{}",
        findings[0]
    );
    assert_eq!(whole(&types(&aggregate("a", "a")), None), ["XDS0107 warning a"]);
    let tree = format!(
        "{}{}{}{plain}",
        aggregate("a", "b, c"),
        aggregate("b", "d"),
        aggregate("c", "d")
    );
    assert_eq!(whole(&types(&tree), None), [""; 0]);
    let mut checks = GroupChecks::default();
    for (yaml, expected) in [(&circle, 1), (&format!("{circle}{plain}"), 1), (&tree, 0)] {
        let told = go_on(&mut checks, &types(yaml), None);
        let circles = told.iter().filter(|told| told.starts_with("XDS0107")).count();
        assert_eq!(circles, expected, "{yaml}");
    }
}

const EDS: &str = "- '@type': type.googleapis.com/envoy.config.cluster.v3.Cluster\n  name: c\n  type: EDS\n  \
                   eds_cluster_config: {service_name: s, eds_config: {ads: {}}}\n";

fn endpoints(name: &str) -> String {
    format!("- '@type': type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment\n  cluster_name: {name}\n")
}

#[test]
fn unreferenced_resources_are_warned_of_where_others_could_name_them() {
    assert_eq!(whole(&types(&endpoints("c")), None), [""; 0]);
    let both = format!("{EDS}{}{}", endpoints("c"), endpoints("s"));
    assert_eq!(whole(&types(&both), None), ["XDS0106 warning c"]);
    let mut checks = GroupChecks::default();
    let mut advance = |yaml: &str, shared: Option<&Types>| go_on(&mut checks, &types(yaml), shared);
    assert_eq!(advance(&both, None), ["XDS0106 warning c"]);
    let other = EDS.replace("service_name: s, ", "");
    let renamed = format!("{other}{}{}", endpoints("c"), endpoints("s"));
    assert_eq!(advance(&renamed, None), ["XDS0106 warning s"]);
    // A cluster of the shared group refers to it, too.
    assert_eq!(
        advance(&renamed, Some(&types(&EDS.replace("name: c", "name: x")))),
        [""; 0]
    );
    assert_eq!(advance(&renamed, None), ["XDS0106 warning s"]);
    assert_eq!(advance(&format!("{other}{}", endpoints("c")), None), [""; 0]);
}

#[test]
fn a_type_beyond_what_grpc_takes_at_once_is_named_with_its_size() {
    let metadata = "x".repeat(1 << 20);
    let large = |name: &str| {
        format!(
            "- '@type': type.googleapis.com/envoy.config.cluster.v3.Cluster\n  name: {name}\n  metadata: {{filter_metadata: {{x: \
             {{v: {metadata}}}}}}}\n"
        )
    };
    let all: Vec<String> = ["a", "b", "c", "d"].map(large).into();
    assert_eq!(whole(&types(&all[..3].concat()), None), [""; 0]);
    let findings = all_findings(&types(&all.concat()), None);
    assert_eq!(told(&findings), ["XDS0340 warning -"]);
    assert!(findings[0].message.contains("4.0 MiB"), "{}", findings[0]);
    // The response also holds resources of the shared group, unless the group replaces them by its own.
    let (own, shared) = (types(&all[..1].concat()), types(&all[1..].concat()));
    assert_eq!(whole(&own, Some(&shared)), ["XDS0340 warning -"]);
    assert_eq!(
        whole(&types(&all[..2].concat()), Some(&types(&all[1..3].concat()))),
        [""; 0]
    );
}
