//! What can be there only once, an address, a key, a domain, changes hands in one step (O-17).
//!
//! Seen with Envoy 1.40 and 1.36, whatever the names: within one response an Envoy takes listeners in their order. One that
//! takes an address must come after the one that gives it up, else it is refused ("has duplicate address"); what is removed
//! goes first in any case.

use std::net::SocketAddr;

use reqwest::header::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

use crate::{
    harness::{
        Config, Control, Envoy, LISTENER, Mode, ROUTES, Relay, Release, SCOPED_ROUTES, Traffic, VIRTUAL_HOST, ads,
        eventually, expect, http_listener, router, send, within, wrapped,
    },
    order::stage::SOON,
    ports::free_address,
};

for_every_envoy_on_ads! {
    a_listener_is_renamed_on_its_address,
    a_listener_takes_the_port_that_another_one_gives_up,
    a_port_is_given_up_by_a_listener_that_warms,
    after_listeners_exchanged_their_ports_the_next_publish_arrives,
    a_scope_is_renamed_under_its_key,
}

// Older Envoys, 1.36 among them, take virtual hosts from a stream of their own only.
matrix! {
    a_virtual_host_is_renamed_under_its_domain => {
        v1_40_ads: V1_40 AdsDelta,
    }
}

/// A control plane of its own, and an Envoy beside it or 20 ms away.
struct Site {
    envoy: Envoy,
    _relay: Relay,
    control: Control,
}

/// The story is told twice side by side, each time on other ports: near the control plane, and far from it.
fn near_and_far(story: impl Fn(bool) + Sync) {
    std::thread::scope(|scope| {
        for (name, is_far) in [("near", false), ("far", true)] {
            let builder = std::thread::Builder::new().name(name.to_owned());
            let story = &story;
            builder.spawn_scoped(scope, move || story(is_far)).unwrap();
        }
    });
}

impl Site {
    fn start(release: Release, mode: Mode, is_far: bool, first: &Config) -> Self {
        let control = Control::start();
        control.publish(first);
        let relay = Relay::to(&control);
        let envoy = if is_far {
            Envoy::start_behind(&relay, release, "node", mode, &control)
        } else {
            Envoy::start(release, "node", mode, &control)
        };
        Self {
            envoy,
            _relay: relay,
            control,
        }
    }

    /// Publishes, and sees it come in time; then another publish, which nothing stands in the way of.
    #[track_caller]
    fn arrives(&self, what: &str, config: &Config, shows: impl Fn() -> Result<(), String>) {
        self.control.publish(config);
        within(SOON, what, shows);
        let later = config.with([texts("later", what), listener_on("later", free_address(), "later")]);
        self.control.publish(&later);
        within(SOON, &format!("what follows {what}"), || {
            expect(self.envoy.body("later", "/")?.as_str(), what)
        });
        self.control.deliver(&later);
    }

    /// Nothing was refused, and nothing was waited for in vain.
    #[track_caller]
    fn end(&self) {
        self.envoy.expect_no_refusal();
        self.envoy.expect_no_fetch_timeout();
    }

    /// Requests with this header.
    fn traffic(&self, name: &'static str, value: &'static str) -> Traffic {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_static(value));
        let client = reqwest::Client::builder().no_proxy().default_headers(headers).build();
        Traffic::start(
            client.unwrap(),
            format!("http://{}/", self.envoy.address("web").unwrap()),
        )
    }
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
    near_and_far(|is_far| {
        let address = free_address();
        let named = |name: &str, text: &str| Config::of([listener_on(name, address, text), texts(text, text)]);
        let site = Site::start(release, mode, is_far, &named("web-1", "one"));
        eventually("the first answers", || expect(answer(address, &[])?.as_str(), "one"));
        // The new name sorts behind the old one, and then before it; with other routes, and with the same.
        for (name, text) in [("web-2", "two"), ("a", "three"), ("b", "three")] {
            site.arrives(&format!("the name {name}"), &named(name, text), || {
                expect(site.envoy.address(name)?, address)?;
                expect(answer(address, &[])?.as_str(), text)
            });
        }
        site.end();
    });
}

fn a_listener_takes_the_port_that_another_one_gives_up(release: Release, mode: Mode) {
    near_and_far(|is_far| {
        for (mover, taker) in [("a", "b"), ("b", "a")] {
            let [old, new] = [free_address(), free_address()];
            let before = Config::of([listener_on(mover, old, "mover"), texts("mover", "mover")]);
            let after = before.with([
                listener_on(mover, new, "mover"),
                listener_on(taker, old, "taker"),
                texts("taker", "taker"),
            ]);
            let site = Site::start(release, mode, is_far, &before);
            eventually("the first answers", || expect(answer(old, &[])?.as_str(), "mover"));
            site.arrives(&format!("{taker} in the place of {mover}"), &after, || {
                expect(answer(new, &[])?.as_str(), "mover")?;
                expect(answer(old, &[])?.as_str(), "taker")
            });
            site.end();
        }
    });
}

/// It gives up its port only once it is warm, so it may be that the other one is refused: the next publish brings it.
fn a_port_is_given_up_by_a_listener_that_warms(release: Release, mode: Mode) {
    near_and_far(|is_far| {
        let [old, new] = [free_address(), free_address()];
        let before = Config::of([listener_on("a", old, "one"), texts("one", "one")]);
        let moved = |taker: &str| {
            let listeners = [listener_on("a", new, "two"), listener_on("b", old, taker)];
            Config::of(listeners).with([texts("two", "two"), texts(taker, taker)])
        };
        let site = Site::start(release, mode, is_far, &before);
        eventually("the first answers", || expect(answer(old, &[])?.as_str(), "one"));
        site.control.publish(&moved("taker"));
        within(SOON, "it moves", || expect(answer(new, &[])?.as_str(), "two"));
        site.arrives("what takes its place", &moved("three"), || {
            expect(answer(old, &[])?.as_str(), "three")
        });
    });
}

/// No Envoy can do it in one step; whatever comes of it, what is published next gets through.
fn after_listeners_exchanged_their_ports_the_next_publish_arrives(release: Release, mode: Mode) {
    near_and_far(|is_far| {
        let [one, two, three] = [free_address(), free_address(), free_address()];
        let with = |a: SocketAddr, b: SocketAddr, text: &str| {
            let listeners = [listener_on("a", a, "a"), listener_on("b", b, "b")];
            Config::of(listeners).with([texts("a", &format!("a {text}")), texts("b", &format!("b {text}"))])
        };
        let site = Site::start(release, mode, is_far, &with(one, two, "first"));
        eventually("the first answers", || expect(answer(one, &[])?.as_str(), "a first"));
        for (a, b, text) in [(one, two, "back"), (three, one, "elsewhere")] {
            site.control
                .replace(&with(two, one, "exchanged"), &["--wait", "--timeout=2s"]);
            site.arrives(text, &with(a, b, text), || {
                expect(answer(a, &[])?, format!("a {text}"))?;
                expect(answer(b, &[])?, format!("b {text}"))
            });
            site.control.deliver(&with(one, two, "first"));
        }
    });
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
    near_and_far(|is_far| {
        let site = Site::start(release, mode, is_far, &named("tenant-1", "one"));
        let acme = || answer(site.envoy.address("web")?, &[("x-tenant", "acme")]);
        eventually("the first answers", || expect(acme()?.as_str(), "one"));
        for (name, text) in [("tenant-2", "two"), ("a", "three")] {
            site.arrives(&format!("the name {name}"), &named(name, text), || {
                expect(acme()?.as_str(), text)
            });
        }
        // Where the routes are new to it as well, an Envoy has the scope without them for a moment, and answers 404.
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
