//! Several nodes and several streams: all receive the same, none disturbs another, and none leaves any state behind.

use crate::harness::{
    CLUSTER, Client, Config, Control, ENDPOINTS, Envoy, LISTENER, Mode, ROUTES, Release, Upstream, Variant, ads,
    cluster, endpoints, eventually, expect, listener, routes,
};

const NODES: usize = 20;

fn config(names: &[&str], upstream: &Upstream) -> Config {
    let source = ads();
    let mut config = Config::of([listener("web", "all", &source), routes("all", names[0])]);
    for name in names {
        config.set(cluster(name, &source));
        config.set(endpoints(name, &[upstream]));
    }
    config
}

/// Takes responses until the client has these clusters, and endpoints of each.
#[track_caller]
fn converge(client: &mut Client, names: &[&str]) {
    let has = |client: &Client, kind: &str| {
        let held = client.held(kind);
        names.iter().all(|name| held.contents().contains_key(name))
    };
    while client.held(CLUSTER).contents().len() != names.len() || !has(client, CLUSTER) || !has(client, ENDPOINTS) {
        client.take();
    }
}

fn subscribe(client: &mut Client, names: &[&str]) {
    client.subscribe(CLUSTER, &[]);
    client.subscribe(ENDPOINTS, names);
    client.subscribe(LISTENER, &[]);
    client.subscribe(ROUTES, &["all"]);
}

#[test]
fn two_envoys_of_one_group_are_given_the_same() {
    let control = Control::start();
    let (blue, green) = (Upstream::named("blue"), Upstream::named("green"));
    control.publish(&config(&["app"], &blue));
    let one = Envoy::start(Release::V1_40, "one", Mode::AdsDelta, &control);
    let two = Envoy::start(Release::V1_36, "two", Mode::AdsSotw, &control);
    for envoy in [&one, &two] {
        envoy.expect_body("web", "blue");
    }
    control.deliver(&config(&["app"], &green));
    for envoy in [&one, &two] {
        envoy.expect_body("web", "green");
        let row = control.type_status(&envoy.node, ENDPOINTS).unwrap();
        assert_eq!(
            (row["state"].as_str(), row["sent_total"].as_u64()),
            (Some("STATE_SYNCED"), Some(2))
        );
    }
    drop(one);
    eventually("the gone one's stream is forgotten", || {
        expect(control.streams("one"), 0)
    });
    assert_eq!(control.streams("two"), 1);
    control.deliver(&config(&["app"], &blue));
    two.expect_body("web", "blue");
}

#[test]
fn twenty_nodes_see_one_state_and_leave_nothing_behind() {
    let control = Control::start();
    let (blue, green) = (Upstream::named("blue"), Upstream::named("green"));
    let variant = |index: usize| {
        if index.is_multiple_of(2) {
            Variant::Sotw
        } else {
            Variant::Delta
        }
    };
    let node = |index: usize| format!("node-{index}");
    let mut clients: Vec<Client> = (0..NODES)
        .map(|index| Client::open(&control, &node(index), variant(index)))
        .collect();
    let names = ["app", "next"];
    clients.iter_mut().for_each(|client| subscribe(client, &names));

    let publishes = [
        config(&["app"], &blue),
        config(&names, &blue),
        config(&names, &green),
        config(&["next"], &green),
    ];
    for (publish, clusters) in publishes.iter().zip([&["app"][..], &names, &names, &["next"]]) {
        control.publish(publish);
        let ran = std::thread::scope(|scope| {
            let waiting = scope.spawn(|| control.run(&["wait", "-g", "demo", "--timeout=30s"]));
            while !waiting.is_finished() {
                clients.iter_mut().for_each(Client::take_what_came);
            }
            waiting.join().unwrap()
        });
        assert_eq!(ran.code, 0, "{ran:?}");
        clients.iter_mut().for_each(|client| converge(client, clusters));
        for kind in [CLUSTER, LISTENER, ROUTES] {
            let all: Vec<_> = clients.iter().map(|client| client.held(kind).contents()).collect();
            assert!(
                !all[0].is_empty() && all.iter().all(|held| *held == all[0]),
                "{kind}: {all:?}"
            );
        }
        for name in clusters {
            let all: Vec<_> = clients
                .iter()
                .map(|client| client.held(ENDPOINTS).contents()[name])
                .collect();
            assert!(all.iter().all(|held| *held == all[0]), "{name}: {all:?}");
        }
    }

    let open = || (0..NODES).map(|index| control.streams(&node(index))).sum::<usize>();
    assert_eq!(open(), NODES);
    drop(clients);
    eventually("no stream is left", || expect(open(), 0));
    let ran = control.run(&["wait", "-g", "demo", "--timeout=5s"]);
    assert!(ran.code == 0 && ran.stderr.contains("nobody to wait for"), "{ran:?}");
}

#[test]
fn a_node_on_two_streams_is_served_on_each() {
    let control = Control::start();
    let (blue, green) = (Upstream::named("blue"), Upstream::named("green"));
    let names = ["app", "next"];
    for (old, new) in [(Variant::Sotw, Variant::Delta), (Variant::Delta, Variant::Sotw)] {
        control.publish(&config(&["app"], &blue));
        let node = format!("{old:?}-then-{new:?}");
        let mut first = Client::open(&control, &node, old);
        subscribe(&mut first, &names);
        converge(&mut first, &["app"]);
        let mut second = Client::open(&control, &node, new);
        subscribe(&mut second, &names);
        converge(&mut second, &["app"]);
        assert_eq!(control.streams(&node), 2);
        assert_eq!(first.held(CLUSTER).contents(), second.held(CLUSTER).contents());

        control.publish(&config(&names, &blue));
        converge(&mut first, &names);
        converge(&mut second, &names);

        // The end of the old stream does not end the new one (L-9).
        drop(first);
        eventually("one stream is left", || expect(control.streams(&node), 1));
        control.publish(&config(&["next"], &green));
        while second.held(CLUSTER).contents().len() != 1 {
            second.take();
        }
        drop(second);
        eventually("no stream is left", || expect(control.streams(&node), 0));
        let status = control.status(&node).unwrap();
        assert_eq!(status["connected"], false, "{status}");
    }
}
