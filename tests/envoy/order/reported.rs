//! A refusal is reported until it is resolved, and a node in sync is reported as in sync.

use serde_json::{Value, json};

use crate::{
    harness::{
        CLUSTER, Config, Control, ENDPOINTS, Envoy, GROUP, LISTENER, Mode, ROUTES, Release, Upstream, ads, cluster,
        endpoints, eventually, expect, listener, routes, stays,
    },
    order::stage::{base, marked, shows_marker},
    ports::free_address,
    refusals::static_cluster,
};

for_every_envoy_on_ads! {
    a_refused_cluster_is_told_until_it_is_mended,
    refused_routes_are_told_until_they_are_mended,
    after_a_restart_a_node_in_sync_reads_as_in_sync,
}

/// `good`, then `bad` in addition, then changes of the same type, which are ACKed, then `mend` in the place of `bad`.
struct Story {
    type_url: &'static str,
    good: Config,
    bad: Value,
    mend: Value,
    words: &'static str,
}

/// The newest revision's outcomes: the numbers of nodes that ACKed, refused, and did neither.
fn outcomes(control: &Control) -> [u64; 3] {
    let ran = control.run(&["history", "-g", GROUP, "-o", "json"]);
    let history: Value = serde_json::from_str(&ran.stdout).unwrap();
    let newest = &history["revisions"][0]["outcomes"];
    ["acked", "nacked", "pending"].map(|count| newest[count].as_u64().unwrap_or_default())
}

/// The type's state, and whether the status has the Envoy's message.
fn reported(control: &Control, type_url: &str, words: &str) -> (String, bool) {
    let row = control.type_status("node", type_url).unwrap();
    let state = row["state"].as_str().unwrap_or_default().to_owned();
    let message = row["nack"]["message"].as_str().unwrap_or_default();
    (state, message.contains(words))
}

fn reported_until_mended(release: Release, mode: Mode, story: &Story) {
    let control = Control::start();
    control.publish(&story.good);
    let envoy = Envoy::start(release, "node", mode, &control);
    envoy.expect_body("web", "blue");
    let traffic = envoy.traffic("web");
    let bad = story.good.with([story.bad.clone()]);
    let ran = control.replace(&bad, &["--wait", "--timeout=20s"]);
    assert_eq!(ran.code, 1, "{ran:?}");

    for marker in ["second", "third"] {
        let beside = bad.with([cluster(marker, &ads()), endpoints(marker, &[]), marked(marker, &[])]);
        let ran = control.replace(&beside, &["--wait", "--timeout=20s"]);
        let status = control.run(&["status"]).stdout;
        assert_eq!(ran.code, 1, "beside what is refused: {ran:?}\n{status}");
        eventually("the good resource is in use", || {
            shows_marker(&envoy, marker)?;
            expect(envoy.has_cluster(marker), true)
        });
        let is_reported = ("STATE_ERROR".to_owned(), true);
        stays("the refusal is reported", &is_reported, || {
            reported(&control, story.type_url, story.words)
        });
        assert_eq!(outcomes(&control), [0, 1, 0], "ACKED, NACKED, PENDING\n{status}");
    }

    control.deliver(&story.good.with([story.mend.clone()]));
    assert_eq!(reported(&control, story.type_url, story.words).0, "STATE_SYNCED");
    eventually("history has it", || expect(outcomes(&control), [1, 0, 0]));
    traffic.expect_no_failure();
}

fn a_refused_cluster_is_told_until_it_is_mended(release: Release, mode: Mode) {
    let blue = Upstream::named("blue");
    let story = Story {
        type_url: CLUSTER,
        good: base(&blue).with([endpoints("bad", &[&blue])]),
        bad: static_cluster("bad", &ads()),
        mend: cluster("bad", &ads()),
        words: "eds_cluster_config set in a non-EDS cluster",
    };
    reported_until_mended(release, mode, &story);
}

/// The routes of one listener are refused; those of the other one are ACKed meanwhile.
fn refused_routes_are_told_until_they_are_mended(release: Release, mode: Mode) {
    let blue = Upstream::named("blue");
    let mut bad = routes("side", "nowhere");
    bad["validate_clusters"] = json!(true);
    let story = Story {
        type_url: ROUTES,
        good: base(&blue).with([listener("side", "side", &ads()), routes("side", "app")]),
        bad,
        mend: routes("side", "app"),
        words: "unknown cluster 'nowhere'",
    };
    reported_until_mended(release, mode, &story);
}

fn after_a_restart_a_node_in_sync_reads_as_in_sync(release: Release, mode: Mode) {
    let data = tempfile::tempdir().unwrap();
    let mut control = Control::process(data.path(), free_address(), free_address());
    let blue = Upstream::named("blue");
    control.publish(&base(&blue));
    let envoy = Envoy::start(release, "node", mode, &control);
    envoy.expect_body("web", "blue");
    let kinds = [CLUSTER, ENDPOINTS, LISTENER, ROUTES];
    let states = |control: &Control| {
        let state = |kind: &str| control.type_status("node", kind).map(|row| row["state"].clone());
        kinds.into_iter().map(state).collect::<Result<Vec<_>, _>>()
    };
    let synced = vec![json!("STATE_SYNCED"); kinds.len()];
    eventually("the node is in sync", || expect(states(&control)?, synced.clone()));
    control.restart(data.path());
    eventually("the node is in sync after the restart", || {
        expect(states(&control)?, synced.clone())
    });
    let ran = control.run(&["wait", "-g", GROUP, "--timeout=20s"]);
    assert_eq!(ran.code, 0, "{ran:?}");
}
