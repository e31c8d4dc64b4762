//! Domains of virtual hosts change owner.

use serde_json::json;

use crate::{
    harness::{Config, Mode, ROUTES, Release, VIRTUAL_HOST, ads, eventually, expect, http_listener, router, wrapped},
    order::places::{Site, answer, host, near_and_far},
};

// Older Envoys such as 1.36 accept virtual hosts only from a separate stream.
matrix! {
    a_virtual_host_is_renamed_under_its_domain a_virtual_host_takes_the_domain_of_another_one => {
        v1_40_ads: V1_40 AdsDelta,
    }
}

fn discovered_hosts(hosts: &[(&str, &str, &str)]) -> Config {
    let rds = json!({ "route_config_name": "all", "config_source": ads() });
    let hosts = hosts.iter().map(|(name, domain, text)| {
        let name = format!("all/{name}");
        let mut virtual_host = host(&name, domain, text);
        virtual_host["@type"] = json!(VIRTUAL_HOST);
        wrapped(&name, &virtual_host)
    });
    let parents = Config::of([
        http_listener("web", &json!({ "rds": rds, "http_filters": [router()] })),
        json!({ "@type": ROUTES, "name": "all", "vhds": { "config_source": ads() } }),
    ]);
    parents.with(hosts)
}

fn a_virtual_host_is_renamed_under_its_domain(release: Release, mode: Mode) {
    let named = |name: &str, text: &str| discovered_hosts(&[(name, "a.example", text)]);
    near_and_far(|is_far| {
        let site = Site::start(release, mode, is_far, &named("host-1", "one"));
        let example = || answer(site.envoy.address("web")?, &[("host", "a.example")]);
        eventually("the first answers", || expect(example()?.as_str(), "one"));
        let traffic = site.traffic("host", "a.example");
        for (name, text) in [("host-2", "two"), ("a", "three"), ("b", "four")] {
            site.arrives(&format!("the name {name}"), &named(name, text), || {
                expect(example()?.as_str(), text)
            });
        }
        traffic.expect_no_failure();
        site.end();
    });
}

/// Two virtual hosts exchange their domains; then one is removed, and the other takes its domain.
fn a_virtual_host_takes_the_domain_of_another_one(release: Release, mode: Mode) {
    near_and_far(|is_far| {
        let before = discovered_hosts(&[("x", "a.example", "one"), ("y", "b.example", "two")]);
        let site = Site::start(release, mode, is_far, &before);
        let host = |name: &str| answer(site.envoy.address("web")?, &[("host", name)]);
        let says = |a: &str, b: &str| expect([host("a.example")?, host("b.example")?], [a, b].map(str::to_owned));
        eventually("the first answers", || says("one", "two"));
        let exchanged = discovered_hosts(&[("x", "b.example", "one"), ("y", "a.example", "two")]);
        site.arrives("an exchange", &exchanged, || says("two", "one"));
        let left = discovered_hosts(&[("y", "b.example", "two")]);
        site.arrives("the domain of one that goes", &left, || {
            expect(host("b.example")?.as_str(), "two")
        });
        site.end();
    });
}
