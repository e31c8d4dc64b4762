//! Missing is not empty: a node whose group has no snapshot, or only part of one, loses nothing (S-20).

use std::{thread::sleep, time::Duration};

use crate::{
    harness::{
        CLUSTER, Config, Control, Envoy, GROUP, Mode, Publisher, Relay, Release, Requests, Upstream, ads, cluster,
        endpoints, eventually, expect,
    },
    order::stage::base,
    ports::free_address,
};

for_every_envoy_on_ads! {
    a_node_whose_snapshot_was_deleted_loses_nothing,
    a_node_whose_shared_group_is_published_first_loses_nothing,
    a_node_whose_clusters_are_published_first_loses_nothing,
    a_node_that_comes_back_into_a_group_nobody_published_loses_nothing,
}

/// The group whose resources every node receives.
const SHARED: &str = "*";
/// Long enough for a node to apply a response.
const A_WHILE: Duration = Duration::from_secs(2);

fn shared(upstream: &Upstream) -> Config {
    Config::of([cluster("shared", &ads()), endpoints("shared", &[upstream])])
}

/// A node under load, behind a relay that can cut its connection, with its own group and the shared one published.
struct Scene {
    blue: Upstream,
    green: Upstream,
    control: Control,
    relay: Relay,
    envoy: Envoy,
    requests: Requests,
}

impl Scene {
    fn new(release: Release, mode: Mode) -> Self {
        let (blue, green) = (Upstream::named("blue"), Upstream::named("green"));
        let control = Control::process_with(&["--ephemeral"], free_address(), free_address());
        Publisher::to(&control).publish_to(SHARED, &shared(&blue));
        control.publish(&base(&blue));
        let relay = Relay::to(&control);
        let envoy = Envoy::start_behind(&relay, release, "node", mode, &control);
        envoy.expect_body("web", "blue");
        eventually("the node has the shared cluster", || {
            expect(envoy.has_cluster("shared"), true)
        });
        let requests = Requests::through(&envoy, "web");
        Self {
            blue,
            green,
            control,
            relay,
            envoy,
            requests,
        }
    }

    fn cut(&mut self) {
        self.relay.cut();
        eventually("the node is cut off", || {
            expect(self.envoy.stat("control_plane.connected_state"), Some(0))
        });
    }

    /// Restores the connection, and waits long enough for a wrong removal to happen.
    fn restore(&mut self) {
        self.relay.restore();
        eventually("the node has reconnected", || {
            expect(self.envoy.stat("control_plane.connected_state"), Some(1))?;
            self.control.type_status("node", CLUSTER)
        });
        sleep(A_WHILE);
        assert!(self.envoy.has_cluster("app"), "its cluster was removed");
        assert!(self.envoy.address("web").is_ok(), "its listener was removed");
    }

    /// Restarts the control plane without its data, and publishes before the node reconnects.
    fn restart_with(&mut self, flags: &[&str], group: &str, config: &Config) {
        self.cut();
        self.control.restart_with(&[&["--ephemeral"], flags].concat());
        Publisher::to(&self.control).publish_to(group, config);
        self.restore();
    }

    /// Publishes the whole group: the node follows, and no request failed.
    #[track_caller]
    fn end(self, group: &str) {
        self.envoy.expect_body("web", "blue");
        let publisher = Publisher::to(&self.control);
        publisher.publish_to(SHARED, &shared(&self.green));
        publisher.publish_to(group, &base(&self.green));
        self.envoy.expect_body("web", "green");
        let ran = self.control.run(&["wait", "-g", group, "--timeout=20s"]);
        assert_eq!(ran.code, 0, "{ran:?}");
        self.requests.expect_no_failure();
    }
}

fn a_node_whose_snapshot_was_deleted_loses_nothing(release: Release, mode: Mode) {
    let mut scene = Scene::new(release, mode);
    scene.cut();
    let ran = scene.control.run(&["delete-snapshot", "-g", GROUP, "--yes"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    scene.restore();
    scene.end(GROUP);
}

fn a_node_whose_shared_group_is_published_first_loses_nothing(release: Release, mode: Mode) {
    let mut scene = Scene::new(release, mode);
    let shared = shared(&scene.blue);
    scene.restart_with(&[], SHARED, &shared);
    scene.end(GROUP);
}

/// The group's listeners and routes are published separately.
fn a_node_whose_clusters_are_published_first_loses_nothing(release: Release, mode: Mode) {
    let mut scene = Scene::new(release, mode);
    let clusters = Config::of([cluster("app", &ads()), endpoints("app", &[&scene.blue])]);
    scene.restart_with(&[], GROUP, &clusters);
    scene.end(GROUP);
}

/// A rule moves the node to another group when the control plane is restarted.
fn a_node_that_comes_back_into_a_group_nobody_published_loses_nothing(release: Release, mode: Mode) {
    let mut scene = Scene::new(release, mode);
    let dir = tempfile::tempdir().unwrap();
    let settings = dir.path().join("chancery.yaml");
    std::fs::write(&settings, format!("groups:\n- cluster: {GROUP}\n  group: new\n")).unwrap();
    let shared = shared(&scene.blue);
    scene.restart_with(&["--config", settings.to_str().unwrap()], SHARED, &shared);
    scene.end("new");
}
