//! Two Envoys of one group under load, one without delay and one 20 ms away, and the group's initial configuration.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::harness::{
    Config, Control, Envoy, Mode, PATIENCE, Publisher, ROUTES, Relay, Release, Requests, Upstream, ads, cluster,
    endpoints, eventually, expect, listener,
};

/// Much shorter than any timeout of an unanswered wait, and long enough for a loaded machine.
pub(crate) const SOON: Duration = Duration::from_secs(5);

/// The Envoys, under load through the listener `web`.
pub(crate) struct Stage {
    pub(crate) near: Envoy,
    pub(crate) far: Envoy,
    load: [Requests; 2],
    publisher: Publisher,
    _relay: Relay,
    _control: Control,
}

/// Durations of all changes, which are printed together if one took too long.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    late: Vec<String>,
}

// === impl Stage ===

impl Stage {
    /// Starts with `config`, in which the listener `web` answers `/` with `blue`.
    pub(crate) fn start(release: Release, mode: Mode, config: &Config) -> Self {
        let control = Control::start();
        control.publish(config);
        let relay = Relay::to(&control);
        let near = Envoy::start(release, "near", mode, &control);
        let far = Envoy::start_behind(&relay, release, "far", mode, &control);
        for envoy in [&near, &far] {
            envoy.expect_body("web", "blue");
        }
        Self {
            load: [&near, &far].map(|envoy| Requests::through(envoy, "web")),
            near,
            far,
            publisher: Publisher::to(&control),
            _relay: relay,
            _control: control,
        }
    }

    #[track_caller]
    pub(crate) fn publish(&self, config: &Config) {
        self.load.iter().for_each(Requests::note_publish);
        self.publisher.publish(config);
    }

    pub(crate) const fn envoys(&self) -> [&Envoy; 2] {
        [&self.near, &self.far]
    }

    /// Publishes, and measures the time until each Envoy shows the change.
    #[track_caller]
    pub(crate) fn change(
        &self,
        arrivals: &mut Arrivals,
        what: &str,
        config: &Config,
        shows: impl Fn(&Envoy) -> Result<(), String>,
    ) {
        let begun = Instant::now();
        self.publish(config);
        let mut waits = self.envoys().to_vec();
        let mut reason = String::new();
        while !waits.is_empty() {
            waits.retain(|envoy| match shows(envoy) {
                Ok(()) => {
                    arrivals.note(&format!("{what} ({})", envoy.node), begun.elapsed());
                    false
                }
                Err(said) => {
                    reason = said;
                    true
                }
            });
            assert!(begun.elapsed() < PATIENCE, "{what}: {reason}");
            sleep(Duration::from_millis(5));
        }
    }

    /// Asserts that no request failed, nothing was refused, and no subscription timed out.
    #[track_caller]
    pub(crate) fn end(self) {
        self.envoys().into_iter().for_each(Envoy::expect_no_refusal);
        self.expect_no_loss();
    }

    /// Asserts that no request failed, and that no subscription timed out.
    #[track_caller]
    pub(crate) fn expect_no_loss(self) {
        self.envoys().into_iter().for_each(Envoy::expect_no_fetch_timeout);
        self.load.into_iter().for_each(Requests::expect_no_failure);
    }
}

// === impl Arrivals ===

impl Arrivals {
    fn note(&mut self, what: &str, took: Duration) {
        println!("{what}: after {took:?}");
        if took >= SOON {
            self.late.push(format!("{what}: after {took:?}"));
        }
    }

    #[track_caller]
    pub(crate) fn expect_soon(&self) {
        assert!(self.late.is_empty(), "late: {:#?}", self.late);
    }
}

/// Waits until the probe succeeds, within a bound; otherwise returns the reason.
pub(crate) fn soon(what: &str, mut probe: impl FnMut() -> Result<(), String>) -> Result<(), String> {
    let begun = Instant::now();
    loop {
        match probe() {
            Ok(()) => return Ok(()),
            Err(reason) if begun.elapsed() > SOON => return Err(format!("{what}: not within {SOON:?}: {reason}")),
            Err(_) => sleep(Duration::from_millis(20)),
        }
    }
}

// === what is published ===

/// The listener `web`, whose requests reach the cluster `app`, and a text under `/marker`.
pub(crate) fn base(upstream: &Upstream) -> Config {
    Config::of([
        cluster("app", &ads()),
        endpoints("app", &[upstream]),
        listener("web", "all", &ads()),
        marked("first", &[]),
    ])
}

/// The routes `all`: a text under `/marker`, these paths to their clusters, and everything else to `app`.
pub(crate) fn marked(marker: &str, paths: &[(&str, &str)]) -> Value {
    let text = json!({ "status": 200, "body": { "inline_string": marker } });
    let mut routes = vec![json!({ "match": { "path": "/marker" }, "direct_response": text })];
    for (path, cluster) in paths.iter().chain([&("/", "app")]) {
        routes.push(json!({ "match": { "prefix": path }, "route": { "cluster": cluster } }));
    }
    let all = json!({ "name": "all", "domains": ["*"], "routes": routes });
    json!({ "@type": ROUTES, "name": "all", "virtual_hosts": [all] })
}

/// Checks the text under `/marker`.
pub(crate) fn shows_marker(envoy: &Envoy, marker: &str) -> Result<(), String> {
    expect(envoy.body("web", "/marker")?.as_str(), marker)
}

/// A cluster that is warm once the first health check of its endpoint was answered.
pub(crate) fn checked_cluster(name: &str) -> Value {
    let check = json!({
        "timeout": "60s", "interval": "60s", "healthy_threshold": 1, "unhealthy_threshold": 1,
        "http_health_check": { "path": "/health" },
    });
    let mut checked = cluster(name, &ads());
    checked["health_checks"] = json!([check]);
    checked
}

/// Asserts that each Envoy has the cluster, still without traffic.
#[track_caller]
pub(crate) fn expect_warming(envoys: &[&Envoy], cluster: &str) {
    for envoy in envoys {
        eventually(&format!("{cluster} warms"), || {
            expect(envoy.warming_clusters(), vec![cluster.to_owned()])
        });
    }
}
