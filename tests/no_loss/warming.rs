//! How long clusters warm: asked of Envoy every few milliseconds.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::{processes::clusters_of, scene::Case};

const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The longest that one version of one cluster was seen warming, until `stop`. Without clusters that Envoy refused: it
/// leaves them warming until they are removed.
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
        // From before the question to after the answer: a cluster may have warmed so long at most.
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
