//! Keys of scopes change owner.
//!
//! Observed with Envoy 1.40 and 1.36: within one response an Envoy applies scopes in their order. A scope that takes a key must
//! come after the one that gives it up, otherwise no scope has the key afterwards, though nothing is refused. So two scopes
//! cannot exchange their keys in one response. Removals are applied first in any case.

use serde_json::{Value, json};

use crate::{
    harness::{Config, Mode, Release, SCOPED_ROUTES, ads, eventually, expect, http_listener, router},
    order::places::{Site, answer, near_and_far, texts},
};

for_every_envoy_on_ads! {
    a_scope_is_renamed_under_its_key,
    a_scope_takes_the_key_of_another_one,
}

fn scoped_listener() -> Value {
    let tenant = json!({ "header_value_extractor": { "name": "x-tenant", "index": 0 } });
    let scopes = json!({
        "name": "scopes",
        "scope_key_builder": { "fragments": [tenant] },
        "rds_config_source": ads(),
        "scoped_rds": { "scoped_rds_config_source": ads() },
    });
    http_listener("web", &json!({ "scoped_routes": scopes, "http_filters": [router()] }))
}

fn scope(name: &str, key: &str, routes: &str) -> Value {
    json!({
        "@type": SCOPED_ROUTES,
        "name": name,
        "route_configuration_name": routes,
        "key": { "fragments": [{ "string_key": key }] },
    })
}

fn a_scope_is_renamed_under_its_key(release: Release, mode: Mode) {
    let named = |name: &str, text: &str| Config::of([scoped_listener(), scope(name, "acme", text), texts(text, text)]);
    near_and_far(|is_far| {
        let site = Site::start(release, mode, is_far, &named("tenant-1", "one"));
        let acme = || answer(site.envoy.address("web")?, &[("x-tenant", "acme")]);
        eventually("the first answers", || expect(acme()?.as_str(), "one"));
        for (name, text) in [("tenant-2", "two"), ("a", "three")] {
            site.arrives(&format!("the name {name}"), &named(name, text), || {
                expect(acme()?.as_str(), text)
            });
        }
        // If the routes are new as well, an Envoy has the scope without them for a moment, and answers 404.
        let traffic = site.traffic("x-tenant", "acme");
        site.arrives("the name b", &named("b", "three"), || {
            let scopes = site
                .envoy
                .admin("/config_dump?resource=dynamic_scoped_route_configs")
                .body;
            expect((scopes.contains("\"b\""), acme()?.as_str()), (true, "three"))
        });
        traffic.expect_no_failure();
        site.end();
    });
}

/// Names sort either way: a scope moves to another key, and another scope takes its key; then the first is removed, and the
/// other one takes that key as well.
fn a_scope_takes_the_key_of_another_one(release: Release, mode: Mode) {
    let base = Config::of([scoped_listener(), texts("one", "one"), texts("two", "two")]);
    near_and_far(|is_far| {
        for (mover, taker) in [("x", "y"), ("y", "x")] {
            let before = base.with([scope(mover, "acme", "one"), scope(taker, "zeta", "two")]);
            let site = Site::start(release, mode, is_far, &before);
            let tenant = |name: &str| answer(site.envoy.address("web")?, &[("x-tenant", name)]);
            eventually("the first answer", || expect(tenant("acme")?.as_str(), "one"));
            let moved = base.with([scope(mover, "late", "one"), scope(taker, "acme", "two")]);
            site.arrives(&format!("{taker} under the key of {mover}"), &moved, || {
                expect([tenant("acme")?, tenant("late")?], ["two".to_owned(), "one".to_owned()])
            });
            let left = base.with([scope(taker, "late", "two")]);
            site.arrives(&format!("{taker} under the last key of {mover}"), &left, || {
                expect(tenant("late")?.as_str(), "two")
            });
            site.end();
        }
    });
}
