//! References to missing resources: each kind causes a warning at publish, and a real Envoy shows its effect once.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::{
    Config, Control, Envoy, Mode, Release, Upstream, ads, cluster, endpoints, eventually, expect, http_listener,
    listener, router, routes, stays,
};

const FAULT: &str = "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault";
const TLS: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext";
const WARMING: &str = "listener_manager.total_listeners_warming";

/// An Envoy with a listener, routes, a cluster and an upstream, all valid.
struct Scene {
    control: Control,
    envoy: Envoy,
    config: Config,
    _upstream: Upstream,
}

impl Scene {
    fn new() -> Self {
        let control = Control::start();
        let blue = Upstream::named("blue");
        let config = Config::of([
            cluster("app", &ads()),
            endpoints("app", &[&blue]),
            listener("web", "all", &ads()),
            routes("all", "app"),
        ]);
        publish(&control, &config, None);
        let envoy = Envoy::start(Release::V1_40, "node", Mode::AdsSotw, &control);
        envoy.expect_body("web", "blue");
        Self {
            control,
            envoy,
            config,
            _upstream: blue,
        }
    }

    /// Publishes additional resources, which are accepted with this warning.
    #[track_caller]
    fn publish(&self, more: impl IntoIterator<Item = Value>, warning: &str) {
        publish(&self.control, &self.config.with(more), Some(warning));
    }

    /// The new listener waits for the missing resource, and accepts no connection.
    #[track_caller]
    fn expect_waiting(&self, listener: &str) {
        self.envoy.expect_stat(WARMING, 1);
        stays("the listener waits", &Some(1), || self.envoy.stat(WARMING));
        assert!(self.envoy.get(listener).is_err());
        assert_eq!(
            self.envoy.get("web").unwrap().status,
            StatusCode::OK,
            "nothing else suffers"
        );
    }
}

#[track_caller]
fn publish(control: &Control, config: &Config, warning: Option<&str>) {
    let ran = control.replace(config, &[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let warned = ran.stderr.lines().any(|line| line.contains("warning["));
    assert_eq!(warned, warning.is_some(), "{ran:?}");
    if let Some(code) = warning {
        assert!(ran.stderr.contains(&format!("warning[{code}]")), "{ran:?}");
    }
}

#[test]
fn a_route_to_a_cluster_that_is_not_there_answers_503() {
    let scene = Scene::new();
    scene.publish([routes("all", "gone")], "XDS0101");
    eventually("requests are turned away", || {
        expect(scene.envoy.get("web")?.status, StatusCode::SERVICE_UNAVAILABLE)
    });
}

#[test]
fn a_listener_waits_for_routes_that_are_not_there() {
    let scene = Scene::new();
    scene.publish([listener("late", "gone", &ads())], "XDS0102");
    scene.expect_waiting("late");
}

#[test]
fn a_cluster_without_endpoints_answers_503() {
    let scene = Scene::new();
    scene.publish([cluster("lonely", &ads()), routes("all", "lonely")], "XDS0103");
    eventually("requests find no host", || {
        let reply = scene.envoy.get("web")?;
        expect(
            (reply.status, reply.body.as_str()),
            (StatusCode::SERVICE_UNAVAILABLE, "no healthy upstream"),
        )
    });
}

#[test]
fn a_listener_waits_for_a_certificate_that_is_not_there() {
    let scene = Scene::new();
    let secret = json!({ "name": "gone", "sds_config": ads() });
    let context = json!({ "@type": TLS, "common_tls_context": { "tls_certificate_sds_secret_configs": [secret] } });
    let mut late = listener("late", "all", &ads());
    late["filter_chains"][0]["transport_socket"] = json!({ "name": "tls", "typed_config": context });
    scene.publish([late], "XDS0104");
    scene.expect_waiting("late");
}

#[test]
fn a_listener_waits_for_a_filter_that_is_not_there() {
    let scene = Scene::new();
    let discovery = json!({ "config_source": ads(), "type_urls": [FAULT] });
    let rds = json!({ "route_config_name": "all", "config_source": ads() });
    let filters = json!([{ "name": "gone", "config_discovery": discovery }, router()]);
    let late = http_listener("late", &json!({ "rds": rds, "http_filters": filters }));
    scene.publish([late], "XDS0105");
    scene.expect_waiting("late");
}
