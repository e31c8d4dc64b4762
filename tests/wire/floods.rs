//! Floods of HTTP/2 frames (T05, T06): the connection of the attacker ends or waits, and the streams of others go on.

use chancery::resource::ResourceType::Cluster;

use crate::{
    client::{Client, Form},
    config::clusters,
    frames::{
        CONTINUATION, DATA, END_HEADERS, ENHANCE_YOUR_CALM, Frames, HEADERS, PING, RST_STREAM, SETTINGS, Taken, frame,
        headers,
    },
    server::Server,
};

const MANY: usize = 200_000;

/// A server with another client's stream, which must receive a publish after the flood.
struct Scene {
    server: Server,
    healthy: Client,
}

impl Scene {
    async fn new() -> Self {
        let server = Server::serving(&clusters(&[("a", 1)])).await;
        let mut healthy = Client::open(&server, Form::SotwAds, &Cluster, "healthy").await;
        healthy.subscribe(&Cluster, &[]);
        healthy.accept(&Cluster, &["a"]).await;
        Self { server, healthy }
    }

    async fn attacker(&self) -> Frames {
        Frames::connect(self.server.xds()).await
    }

    /// Asserts that the other stream still receives publishes.
    async fn goes_on(&mut self, version: u16) {
        self.server.publish(&clusters(&[("a", version)])).await;
        self.healthy.accept(&Cluster, &["a"]).await;
    }

    /// Asserts that the server keeps no state of the attacker.
    async fn nothing_is_left(self, attacker: Frames) {
        drop(attacker);
        self.server.await_metric("xds_connections{port=\"xds\"}", 1.0).await;
        self.server.await_metric("xds_streams{protocol=\"sotw\"}", 1.0).await;
    }
}

fn streams() -> impl Iterator<Item = u32> {
    (0..).map(|number| 2 * number + 1)
}

fn call(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &headers(&Form::SotwAds.path(&Cluster)))
}

#[tokio::test]
async fn streams_that_are_reset_at_once_end_the_connection() {
    let mut scene = Scene::new().await;
    let mut attacker = scene.attacker().await;
    let resets = streams().take(MANY).map(|stream| {
        let cancel = frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
        [call(stream), cancel].concat()
    });
    let taken = attacker.flood(resets).await;
    assert_eq!(taken, Taken::Closed);
    scene.goes_on(2).await;
    scene.nothing_is_left(attacker).await;
}

#[tokio::test]
async fn few_streams_that_are_reset_at_once_end_the_connection_by_name() {
    let mut scene = Scene::new().await;
    let mut attacker = scene.attacker().await;
    let resets = streams().take(200).map(|stream| {
        let cancel = frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
        [call(stream), cancel].concat()
    });
    attacker.flood(resets).await;
    assert_eq!(attacker.goaway().await, Some(ENHANCE_YOUR_CALM));
    scene.goes_on(2).await;
    scene.nothing_is_left(attacker).await;
}

#[tokio::test]
async fn pings_that_nobody_reads_the_answers_of_are_not_taken_in_for_ever() {
    let mut scene = Scene::new().await;
    let mut attacker = scene.attacker().await;
    let ping = frame(PING, 0, 0, &[7; 8]);
    // The answers take 340 MB, more than any buffer.
    let taken = attacker.flood(std::iter::repeat_n(ping, 20_000_000)).await;
    assert_ne!(taken, Taken::All);
    scene.goes_on(2).await;
    scene.nothing_is_left(attacker).await;
}

#[tokio::test]
async fn settings_that_nobody_reads_the_answers_of_are_not_taken_in_for_ever() {
    let mut scene = Scene::new().await;
    let mut attacker = scene.attacker().await;
    let settings = frame(SETTINGS, 0, 0, &[]);
    let taken = attacker.flood(std::iter::repeat_n(settings, 20_000_000)).await;
    assert_ne!(taken, Taken::All);
    scene.goes_on(2).await;
    scene.nothing_is_left(attacker).await;
}

#[tokio::test]
async fn headers_that_never_end_end_the_connection() {
    for fragment in [&b""[..], &[0, 1, b'x', 1, b'y'].repeat(1000)] {
        let mut scene = Scene::new().await;
        let mut attacker = scene.attacker().await;
        let begun = frame(HEADERS, 0, 1, &headers(&Form::SotwAds.path(&Cluster)));
        let more = frame(CONTINUATION, 0, 1, fragment);
        attacker
            .flood(std::iter::once(begun).chain(std::iter::repeat_n(more, MANY)))
            .await;
        // With or without a code: the close may discard the frame with the code while the attacker's bytes are in flight.
        attacker.goaway().await;
        scene.goes_on(2).await;
        scene.nothing_is_left(attacker).await;
    }
}

#[tokio::test]
async fn data_without_bytes_ends_the_connection() {
    let mut scene = Scene::new().await;
    let mut attacker = scene.attacker().await;
    let nothing = frame(DATA, 0, 1, &[]);
    let taken = attacker
        .flood(std::iter::once(call(1)).chain(std::iter::repeat_n(nothing, 10 * MANY)))
        .await;
    assert_ne!(taken, Taken::All);
    scene.goes_on(2).await;
    scene.nothing_is_left(attacker).await;
}
