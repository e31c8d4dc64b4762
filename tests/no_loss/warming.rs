//! The warming times of clusters, from Envoy's configuration dump every few milliseconds.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::{processes::clusters_of, scene::Case};

const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The longest time that one version of one cluster was warming, until `stop`. Excludes clusters that Envoy refused, which
/// keep warming until they are removed.
pub(crate) async fn longest(
    envoy: SocketAddr,
    case: Case,
    stop: CancellationToken,
) -> anyhow::Result<(Duration, String)> {
    let client = reqwest::Client::new();
    let url = format!("http://{envoy}/config_dump?resource=dynamic_warming_clusters");
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut longest = (Duration::ZERO, String::new());
    let mut since: BTreeMap<(String, String), Instant> = BTreeMap::new();
    while !stop.is_cancelled() {
        ticks.tick().await;
        // An upper bound: from before the request to after the answer.
        let asked = Instant::now();
        let dump = client.get(&url).send().await?.text().await?;
        let warming = clusters_of(&dump)?;
        since.retain(|cluster, _| warming.contains(cluster));
        for cluster in warming.into_iter().filter(|(name, _)| !case.refuses_cluster(name)) {
            let name = cluster.0.clone();
            let first = *since.entry(cluster).or_insert(asked);
            longest = longest.max((first.elapsed(), name));
        }
    }
    Ok(longest)
}
