//! Addresses, keys and domains, each of which one resource owns, change owner in one step (O-17).

mod listeners;
mod scopes;
mod virtual_hosts;

use std::net::SocketAddr;

use reqwest::header::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

use crate::{
    harness::{
        Config, Control, Envoy, LISTENER, Mode, ROUTES, Relay, Release, Traffic, ads, expect, http_listener, router,
        send, within,
    },
    order::stage::SOON,
    ports::free_address,
};

/// A control plane, and an Envoy without delay or 20 ms away.
pub(crate) struct Site {
    pub(crate) envoy: Envoy,
    _relay: Relay,
    pub(crate) control: Control,
}

/// Runs the test twice side by side, on different ports: without delay, and 20 ms away.
pub(crate) fn near_and_far(story: impl Fn(bool) + Sync) {
    std::thread::scope(|scope| {
        for (name, is_far) in [("near", false), ("far", true)] {
            let builder = std::thread::Builder::new().name(name.to_owned());
            let story = &story;
            builder.spawn_scoped(scope, move || story(is_far)).unwrap();
        }
    });
}

impl Site {
    pub(crate) fn start(release: Release, mode: Mode, is_far: bool, first: &Config) -> Self {
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

    /// Publishes and waits for the effect; then makes another publish, which must arrive as well.
    #[track_caller]
    pub(crate) fn arrives(&self, what: &str, config: &Config, shows: impl Fn() -> Result<(), String>) {
        self.control.publish(config);
        within(SOON, what, shows);
        let later = config.with([texts("later", what), listener_on("later", free_address(), "later")]);
        self.control.publish(&later);
        within(SOON, &format!("the publish after {what}"), || {
            expect(self.envoy.body("later", "/")?.as_str(), what)
        });
        self.control.deliver(&later);
    }

    /// Asserts that nothing was refused, and that no subscription timed out.
    #[track_caller]
    pub(crate) fn end(&self) {
        self.envoy.expect_no_refusal();
        self.envoy.expect_no_fetch_timeout();
    }

    /// Sends requests with this header.
    pub(crate) fn traffic(&self, name: &'static str, value: &'static str) -> Traffic {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_static(value));
        let client = reqwest::Client::builder().no_proxy().default_headers(headers).build();
        Traffic::start(
            client.unwrap(),
            format!("http://{}/", self.envoy.address("web").unwrap()),
        )
    }
}

/// Routes that answer every request with a text.
pub(crate) fn texts(name: &str, text: &str) -> Value {
    json!({ "@type": ROUTES, "name": name, "virtual_hosts": [host("all", "*", text)] })
}

pub(crate) fn host(name: &str, domain: &str, text: &str) -> Value {
    let answer = json!({ "status": 200, "body": { "inline_string": text } });
    let all = json!({ "match": { "prefix": "/" }, "direct_response": answer });
    json!({ "name": name, "domains": [domain], "routes": [all] })
}

pub(crate) fn listener_on(name: &str, address: SocketAddr, routes: &str) -> Value {
    let rds = json!({ "route_config_name": routes, "config_source": ads() });
    let mut listener = http_listener(name, &json!({ "rds": rds, "http_filters": [router()] }));
    listener["address"]["socket_address"]["port_value"] = json!(address.port());
    assert_eq!(listener["@type"], LISTENER);
    listener
}

/// The answer to a request to this address, whichever listener owns it.
pub(crate) fn answer(address: SocketAddr, headers: &[(&str, &str)]) -> Result<String, String> {
    let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0);
    let mut request = client.build().unwrap().get(format!("http://{address}/"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let reply = send(request)?;
    expect(reply.status.as_u16(), 200)?;
    Ok(reply.body)
}
