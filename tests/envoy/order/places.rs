//! What can be there only once, an address, a key, a domain, changes hands in one step (O-17).
//!
//! Seen with Envoy 1.40 and 1.36, whatever the names: within one response an Envoy takes listeners in their order. One that takes an address
//! must come after the one that gives it up, else it is refused ("has duplicate address"); what is removed goes first in any case.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::{
    harness::{
        Config, Control, Envoy, LISTENER, Mode, ROUTES, Relay, Release, SCOPED_ROUTES, VIRTUAL_HOST, ads, eventually,
        expect, http_listener, router, send, within, wrapped,
    },
    order::stage::SOON,
    ports::free_address,
};

for_every_envoy_on_ads! {
    a_listener_is_renamed_on_its_address,
    a_listener_takes_the_port_that_another_one_gives_up,
    a_scope_is_renamed_under_its_key,
}

// Older Envoys, 1.36 among them, take virtual hosts from a stream of their own only.
matrix! {
    a_virtual_host_is_renamed_under_its_domain => {
        v1_40_ads: V1_40 AdsDelta,
    }
}

/// One Envoy at a time, for two on one machine cannot have the same port: first beside the control plane, then 20 ms away.
fn near_and_far(release: Release, mode: Mode, first: &Config, story: impl Fn(&Control, &Envoy)) {
    for is_far in [false, true] {
        let control = Control::start();
        control.publish(first);
        let relay = Relay::to(&control);
        let envoy = if is_far {
            Envoy::start_behind(&relay, release, "far", mode, &control)
        } else {
            Envoy::start(release, "near", mode, &control)
        };
        story(&control, &envoy);
        envoy.expect_no_refusal();
        envoy.expect_no_fetch_timeout();
    }
}

/// Publishes, and sees it come in time; then another publish, which nothing stands in the way of.
#[track_caller]
fn arrives(control: &Control, envoy: &Envoy, config: &Config, shows: impl Fn(&Envoy) -> Result<(), String>) {
    control.publish(config);
    within(SOON, &format!("it reaches {}", envoy.node), || shows(envoy));
    let mut later = config.clone();
    later.set(texts("later", "later"));
    later.set(listener_on("later", free_address(), "later"));
    control.publish(&later);
    within(SOON, &format!("what follows reaches {}", envoy.node), || {
        expect(envoy.body("later", "/")?.as_str(), "later")
    });
    control.deliver(&later);
}

/// Routes that answer everything with a text.
fn texts(name: &str, text: &str) -> Value {
    json!({ "@type": ROUTES, "name": name, "virtual_hosts": [host("all", "*", text)] })
}

fn host(name: &str, domain: &str, text: &str) -> Value {
    let answer = json!({ "status": 200, "body": { "inline_string": text } });
    let all = json!({ "match": { "prefix": "/" }, "direct_response": answer });
    json!({ "name": name, "domains": [domain], "routes": [all] })
}

fn listener_on(name: &str, address: SocketAddr, routes: &str) -> Value {
    let rds = json!({ "route_config_name": routes, "config_source": ads() });
    let mut listener = http_listener(name, &json!({ "rds": rds, "http_filters": [router()] }));
    listener["address"]["socket_address"]["port_value"] = json!(address.port());
    assert_eq!(listener["@type"], LISTENER);
    listener
}

/// The answer to a request to this very address, by whichever listener.
fn answer(address: SocketAddr, headers: &[(&str, &str)]) -> Result<String, String> {
    let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0);
    let mut request = client.build().unwrap().get(format!("http://{address}/"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let reply = send(request)?;
    expect(reply.status.as_u16(), 200)?;
    Ok(reply.body)
}

fn a_listener_is_renamed_on_its_address(release: Release, mode: Mode) {
    let address = free_address();
    let named = |name: &str, text: &str| Config::of([listener_on(name, address, text), texts(text, text)]);
    near_and_far(release, mode, &named("web-1", "one"), |control, envoy| {
        eventually("the first answers", || expect(answer(address, &[])?.as_str(), "one"));
        // The new name sorts behind the old one, and then before it; with other routes, and with the same.
        for (name, text) in [("web-2", "two"), ("a", "three"), ("b", "three")] {
            arrives(control, envoy, &named(name, text), |envoy| {
                expect(envoy.address(name)?, address)?;
                expect(answer(address, &[])?.as_str(), text)
            });
        }
    });
}

fn a_listener_takes_the_port_that_another_one_gives_up(release: Release, mode: Mode) {
    for (mover, taker) in [("a", "b"), ("b", "a")] {
        let [old, new] = [free_address(), free_address()];
        let routes = [texts("mover", "mover"), texts("taker", "taker")];
        let before = Config::of([listener_on(mover, old, "mover"), texts("mover", "mover")]);
        let after = Config::of([listener_on(mover, new, "mover"), listener_on(taker, old, "taker")]).with(routes);
        near_and_far(release, mode, &before, |control, envoy| {
            eventually("the first answers", || expect(answer(old, &[])?.as_str(), "mover"));
            arrives(control, envoy, &after, |_| {
                expect(answer(new, &[])?.as_str(), "mover")?;
                expect(answer(old, &[])?.as_str(), "taker")
            });
        });
    }
}

fn a_scope_is_renamed_under_its_key(release: Release, mode: Mode) {
    let tenant = json!({ "header_value_extractor": { "name": "x-tenant", "index": 0 } });
    let scopes = json!({
        "name": "scopes",
        "scope_key_builder": { "fragments": [tenant] },
        "rds_config_source": ads(),
        "scoped_rds": { "scoped_rds_config_source": ads() },
    });
    let listener = http_listener("web", &json!({ "scoped_routes": scopes, "http_filters": [router()] }));
    let named = |name: &str, text: &str| {
        let scope = json!({
            "@type": SCOPED_ROUTES,
            "name": name,
            "route_configuration_name": text,
            "key": { "fragments": [{ "string_key": "acme" }] },
        });
        Config::of([listener.clone(), scope, texts(text, text)])
    };
    near_and_far(release, mode, &named("tenant-1", "one"), |control, envoy| {
        let acme = |envoy: &Envoy| answer(envoy.address("web")?, &[("x-tenant", "acme")]);
        eventually("the first answers", || expect(acme(envoy)?.as_str(), "one"));
        for (name, text) in [("tenant-2", "two"), ("a", "three"), ("b", "three")] {
            arrives(control, envoy, &named(name, text), |envoy| {
                expect(acme(envoy)?.as_str(), text)
            });
        }
    });
}

fn a_virtual_host_is_renamed_under_its_domain(release: Release, mode: Mode) {
    let rds = json!({ "route_config_name": "all", "config_source": ads() });
    let named = |name: &str, text: &str| {
        let name = format!("all/{name}");
        let mut virtual_host = host(&name, "a.example", text);
        virtual_host["@type"] = json!(VIRTUAL_HOST);
        Config::of([
            http_listener("web", &json!({ "rds": rds, "http_filters": [router()] })),
            json!({ "@type": ROUTES, "name": "all", "vhds": { "config_source": ads() } }),
            wrapped(&name, &virtual_host),
        ])
    };
    near_and_far(release, mode, &named("host-1", "one"), |control, envoy| {
        let example = |envoy: &Envoy| answer(envoy.address("web")?, &[("host", "a.example")]);
        eventually("the first answers", || expect(example(envoy)?.as_str(), "one"));
        for (name, text) in [("host-2", "two"), ("a", "three"), ("b", "four")] {
            arrives(control, envoy, &named(name, text), |envoy| {
                expect(example(envoy)?.as_str(), text)
            });
        }
    });
}
