//! `--wait`: every connected node, whatever it does.

use crate::harness::{Server, clusters};

#[test]
fn nobody_connected_is_said_and_is_no_failure() {
    let server = Server::start();
    let file = server.file("a.yaml", clusters(&["a"]));
    let ran = server.expect(0, &["replace", "-g", "demo", "-f", &file, "--wait"]);
    assert!(ran.stderr.contains("no node of group demo is connected"), "{ran:?}");
}

#[test]
fn the_wait_ends_when_every_node_acked() {
    let server = Server::start();
    let file = server.file("a.yaml", clusters(&["a"]));
    let mut nodes = [server.envoy("one"), server.envoy("two")];
    let acks = server.runtime.spawn(async move {
        for node in &mut nodes {
            let response = node.next().await;
            node.ack(&response).await;
        }
        nodes
    });
    let ran = server.expect(0, &["replace", "-g", "demo", "-f", &file, "--wait"]);
    assert!(ran.stderr.contains("all 2 connected nodes hold revision 1"), "{ran:?}");
    let _nodes = server.runtime.block_on(acks).unwrap();
    // A publish without changes sends nothing, and the nodes already have the revision.
    server.expect(0, &["replace", "-g", "demo", "-f", &file, "--wait"]);
    server.expect(0, &["wait", "-g", "demo"]);
    // A publish to `*` reaches the nodes of this group as well.
    let shared = server.expect(
        6,
        &[
            "replace",
            "-g",
            "*",
            "-f",
            &server.file("s.yaml", clusters(&["s"])),
            "--wait",
            "--timeout",
            "1s",
        ],
    );
    assert!(shared.stderr.contains("still awaited from one, two"), "{shared:?}");
}

#[test]
fn a_refusal_ends_the_wait_with_the_nodes_words() {
    let server = Server::start();
    let file = server.file("a.yaml", clusters(&["a"]));
    let mut node = server.envoy("one");
    let refuse = server.runtime.spawn(async move {
        let response = node.next().await;
        node.nack(&response, "cluster a is not to my taste").await;
        node
    });
    let ran = server.expect(1, &["replace", "-g", "demo", "-f", &file, "--wait"]);
    assert!(ran.stderr.contains("node one refused cluster version"), "{ran:?}");
    assert!(ran.stderr.contains("cluster a is not to my taste"), "{ran:?}");
    let mut node = server.runtime.block_on(refuse).unwrap();
    // The same publish changes nothing, and the refusal stays.
    let again = server.expect(1, &["replace", "-g", "demo", "-f", &file, "--wait"]);
    assert!(
        again.stdout.contains("nothing changed") && again.stderr.contains("not to my taste"),
        "{again:?}"
    );

    let better = server.file("b.yaml", clusters(&["b"]));
    let accept = server.runtime.spawn(async move {
        let response = node.next().await;
        node.ack(&response).await;
        node
    });
    server.expect(0, &["replace", "-g", "demo", "-f", &better, "--wait"]);
    let _node = server.runtime.block_on(accept).unwrap();
}

#[test]
fn the_time_is_up_with_the_names_of_the_awaited() {
    let server = Server::start();
    let file = server.file("a.yaml", clusters(&["a"]));
    let _silent = server.envoy("silent");
    let ran = server.expect(6, &["apply", "-g", "demo", "-f", &file, "--wait", "--timeout", "1s"]);
    assert!(
        ran.stderr.contains("revision 1 is still awaited from silent"),
        "{ran:?}"
    );
}
