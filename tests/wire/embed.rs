//! The example of the library's front page: what it publishes from within its process is served.

use chancery::resource::ResourceType::Cluster;
use tonic::transport::Endpoint;

use crate::client::{Client, Form};

#[allow(dead_code)]
#[path = "../../examples/embed.rs"]
mod example;

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_that_are_published_from_within_the_process_are_served() {
    let running = example::start().await.unwrap();
    let published = example::publish(&running).await.unwrap();
    assert_eq!((published.revision.0, published.changed), (1, true));

    let address = format!("http://{}", running.addresses.xds);
    let channel = Endpoint::from_shared(address).unwrap().connect().await.unwrap();
    let mut client = Client::open_on(channel, Form::DeltaAds, &Cluster, "n").await;
    client.subscribe(&Cluster, &["users"]);
    assert_eq!(client.next().await.names(), ["users"]);

    drop(client);
    assert!(running.shutdown().await);
}
