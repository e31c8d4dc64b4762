//! Waits until every connected node of a group has a revision: `chancery wait`, and `--wait` of every publish.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    time::{Duration, Instant},
};

use clap::Args;

use super::{
    connect::Clients,
    exit::{Exit, Failure},
    findings::short_type,
    group::Group,
    output::{note, progress, quoted_of, some_of},
    pages,
};
use crate::{
    node::NodeGroup,
    proto::admin::{
        NodeStatus, StreamStatus, TypeStatus, WatchNodesRequest, WatchNodesResponse, type_status::State,
        watch_nodes_response::Event,
    },
    settings::Span,
};

/// Nodes named in one line; the rest is counted.
const NAMED: usize = 10;

#[derive(Args, Debug)]
pub(super) struct Wait {
    #[command(flatten)]
    group: Group,
    /// The revision to wait for; by default the current one
    #[arg(long, value_name = "REVISION")]
    revision: Option<u64>,
    /// Time limit
    #[arg(long, default_value = "60s", value_name = "DURATION")]
    timeout: Span,
}

/// The nodes of a group on their way to a revision.
#[derive(Debug)]
struct Rollout {
    revision: u64,
    /// Type URL → the group's current version: a NACK of this version counts, whatever revision it belongs to.
    current: BTreeMap<String, String>,
    connected: BTreeMap<String, NodeStatus>,
    /// The server has listed every node that it knew at the start.
    synced: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// Nodes that do not have the revision yet.
    Awaiting(Vec<String>),
    /// The number of nodes, which all have the revision.
    Done(usize),
    /// Refusals, one a line.
    Refused(Vec<String>),
}

// === impl Wait ===

impl Wait {
    pub(super) async fn run(self, clients: &Clients) -> Result<Exit, Failure> {
        let group = self.group.group;
        let revision = match self.revision {
            Some(revision) => revision,
            None => current(clients, &group).await?.0,
        };
        for_nodes(clients, &group, revision, self.timeout.0).await
    }
}

/// Waits until every connected node of the group has the revision. Exit 1 if one refuses it, 6 at the time limit.
pub(super) async fn for_nodes(
    clients: &Clients,
    group: &str,
    revision: u64,
    timeout: Duration,
) -> Result<Exit, Failure> {
    let started = Instant::now();
    let (_, versions) = current(clients, group).await?;
    let mut rollout = Rollout::new(revision, versions);
    let followed = tokio::time::timeout(timeout, follow(clients, group, &mut rollout)).await;
    match followed {
        Ok(outcome) => match outcome? {
            Outcome::Done(0) => note(&format!("no node of group {group} is connected: nobody to wait for")),
            Outcome::Done(1) => note(&format!(
                "the 1 connected node holds revision {revision} ({})",
                took(started)
            )),
            Outcome::Done(nodes) => {
                note(&format!(
                    "all {nodes} connected nodes hold revision {revision} ({})",
                    took(started)
                ));
            }
            Outcome::Refused(refusals) => {
                refusals.iter().for_each(|refusal| note(refusal));
                return Err(Failure::new(
                    Exit::Difference,
                    format!("revision {revision} was refused by a node"),
                ));
            }
            Outcome::Awaiting(nodes) => return Err(late(&rollout, timeout, &nodes)),
        },
        Err(_) => {
            let nodes = rollout
                .connected
                .keys()
                .filter(|id| !rollout.holds(id))
                .cloned()
                .collect::<Vec<_>>();
            return Err(late(&rollout, timeout, &nodes));
        }
    }
    Ok(Exit::Ok)
}

/// The group's current revision, and the version of each of its types.
async fn current(clients: &Clients, group: &str) -> Result<(u64, BTreeMap<String, String>), Failure> {
    let listed = pages::snapshots(clients).await?;
    let snapshot = listed
        .into_iter()
        .find(|snapshot| snapshot.group == group)
        .ok_or_else(|| Failure::new(Exit::NotFound, format!("group {group} was never published")))?;
    let versions = snapshot
        .types
        .into_iter()
        .map(|row| (row.type_url, row.version))
        .collect();
    Ok((snapshot.revision, versions))
}

/// Follows the nodes until all have the revision or one refuses it.
async fn follow(clients: &Clients, group: &str, rollout: &mut Rollout) -> Result<Outcome, Failure> {
    // A publish to the shared group reaches every group.
    let group = if group == NodeGroup::SHARED {
        String::new()
    } else {
        group.to_owned()
    };
    let request = WatchNodesRequest { group };
    let mut events = clients.nodes().await?.watch_nodes(request).await?.into_inner();
    let mut said = Vec::new();
    while let Some(event) = events.message().await? {
        rollout.on_event(event);
        match rollout.outcome() {
            None => {}
            Some(Outcome::Awaiting(nodes)) if nodes == said => {}
            Some(Outcome::Awaiting(nodes)) => {
                let (awaited, all) = (nodes.len(), rollout.connected.len());
                progress(&format!(
                    "waiting for {awaited} of {all} nodes: {}",
                    some_of(&nodes, NAMED)
                ));
                said = nodes;
            }
            Some(outcome) => return Ok(outcome),
        }
    }
    Err(Failure::new(
        Exit::Unavailable,
        "the server ended the watch while nodes were awaited",
    ))
}

/// The error at the time limit: the awaited nodes, and refusals that may be the reason.
fn late(rollout: &Rollout, timeout: Duration, nodes: &[String]) -> Failure {
    let mut message = format!(
        "after {} revision {} is still awaited from {}",
        humantime::format_duration(timeout),
        rollout.revision,
        if nodes.is_empty() {
            "the server's list of nodes".to_owned()
        } else {
            some_of(nodes, NAMED)
        }
    );
    let refusals = rollout.refusals(|_, _| true);
    if !refusals.is_empty() {
        write!(message, "; earlier refusals: {}", some_of(&refusals, NAMED)).ok();
    }
    Failure::new(Exit::Unavailable, super::output::escape(&message))
}

fn took(started: Instant) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_millis(started.elapsed().as_millis() as u64))
}

// === impl Rollout ===

impl Rollout {
    fn new(revision: u64, current: BTreeMap<String, String>) -> Self {
        Self {
            revision,
            current,
            connected: BTreeMap::new(),
            synced: false,
        }
    }

    fn on_event(&mut self, event: WatchNodesResponse) {
        match event.event {
            Some(Event::Node(node)) if node.connected => {
                self.connected.insert(node.id.clone(), node);
            }
            Some(Event::Node(gone)) => {
                self.connected.remove(&gone.id);
            }
            Some(Event::Forgotten(id)) => {
                self.connected.remove(&id);
            }
            Some(Event::Synced(_)) => self.synced = true,
            // An event of a newer server.
            None => {}
        }
    }

    /// The state of the wait; `None` until the server has listed every node that it knew at the start.
    fn outcome(&self) -> Option<Outcome> {
        if !self.synced {
            return None;
        }
        let refusals = self.refusals(|stream, row| self.refuses(stream, row));
        if !refusals.is_empty() {
            return Some(Outcome::Refused(refusals));
        }
        let awaited: Vec<String> = self.connected.keys().filter(|id| !self.holds(id)).cloned().collect();
        Some(if awaited.is_empty() {
            Outcome::Done(self.connected.len())
        } else {
            Outcome::Awaiting(awaited)
        })
    }

    /// Returns true if every stream of the node has the revision.
    fn holds(&self, id: &str) -> bool {
        let streams = self.connected.get(id).map(|node| node.streams.as_slice());
        streams.is_some_and(|streams| streams.iter().all(|stream| stream.synced_revision >= self.revision))
    }

    /// Returns true if the stream refuses something of this revision: a response of it, a response with the current version, or
    /// something from before, although everything else of the revision was accepted.
    fn refuses(&self, stream: &StreamStatus, row: &TypeStatus) -> bool {
        stream.blocked_revision >= self.revision
            || row.nack.as_ref().is_some_and(|nack| {
                nack.revision >= self.revision || self.current.get(&row.type_url) == Some(&nack.version)
            })
    }

    fn refusals(&self, counts: impl Fn(&StreamStatus, &TypeStatus) -> bool) -> Vec<String> {
        let mut refusals = Vec::new();
        for (id, node) in &self.connected {
            let rows = node.streams.iter().flat_map(|stream| {
                let refused = stream.types.iter().filter(|row| row.state() == State::Error);
                refused.filter(|row| counts(stream, row))
            });
            refusals.extend(rows.flat_map(|row| refusal(id, row)));
        }
        refusals
    }
}

/// The refusals of a type by a node: its message, and the names.
fn refusal(id: &str, row: &TypeStatus) -> Vec<String> {
    let kind = short_type(&row.type_url);
    let words = row.nack.as_ref().map(|nack| {
        let (version, words) = (&nack.version, nack.message.trim_end());
        format!("node {id} refused {kind} version {version}: {words}")
    });
    let names = (row.refused > 0).then(|| {
        let names = quoted_of(&row.refused_names, row.refused as usize);
        format!("node {id} still refuses {kind} {names}")
    });
    words.into_iter().chain(names).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::admin::{Nack, watch_nodes_response::Synced};

    const CDS: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";

    fn node(id: &str, synced: &[u64], nack: Option<(u64, &str)>) -> WatchNodesResponse {
        let row = TypeStatus {
            type_url: CDS.to_owned(),
            state: if nack.is_some() {
                State::Error.into()
            } else {
                State::Synced.into()
            },
            nack: nack.map(|(revision, version)| Nack {
                revision,
                version: version.to_owned(),
                message: "no".to_owned(),
                ..Nack::default()
            }),
            ..TypeStatus::default()
        };
        let stream = |revision: &u64| StreamStatus {
            synced_revision: *revision,
            types: vec![row.clone()],
            ..StreamStatus::default()
        };
        let node = NodeStatus {
            id: id.to_owned(),
            connected: !synced.is_empty(),
            streams: synced.iter().map(stream).collect(),
            ..NodeStatus::default()
        };
        WatchNodesResponse {
            event: Some(Event::Node(node)),
        }
    }

    fn rollout(events: impl IntoIterator<Item = WatchNodesResponse>) -> Rollout {
        let mut rollout = Rollout::new(7, BTreeMap::from([(CDS.to_owned(), "v7".to_owned())]));
        events.into_iter().for_each(|event| rollout.on_event(event));
        rollout.on_event(WatchNodesResponse {
            event: Some(Event::Synced(Synced {})),
        });
        rollout
    }

    #[test]
    fn there_is_no_verdict_before_every_node_was_seen() {
        let rollout = Rollout::new(7, BTreeMap::new());
        assert_eq!(rollout.outcome(), None);
    }

    #[test]
    fn nobody_connected_is_done() {
        assert_eq!(rollout([]).outcome(), Some(Outcome::Done(0)));
        assert_eq!(rollout([node("gone", &[], None)]).outcome(), Some(Outcome::Done(0)));
    }

    #[test]
    fn every_stream_of_a_node_counts() {
        let behind = rollout([node("a", &[7], None), node("b", &[7, 6], None)]);
        assert_eq!(behind.outcome(), Some(Outcome::Awaiting(vec!["b".to_owned()])));
        let there = rollout([node("a", &[7], None), node("b", &[8, 7], None)]);
        assert_eq!(there.outcome(), Some(Outcome::Done(2)));
    }

    #[test]
    fn a_refusal_of_the_revision_or_of_the_current_content_ends_the_wait() {
        for nack in [(7, "x"), (8, "x"), (3, "v7")] {
            let outcome = rollout([node("a", &[6], Some(nack))]).outcome();
            assert!(matches!(outcome, Some(Outcome::Refused(_))), "{nack:?}: {outcome:?}");
        }
    }

    #[test]
    fn a_refusal_of_something_older_does_not() {
        let older = rollout([node("a", &[6], Some((6, "v6")))]);
        assert_eq!(older.outcome(), Some(Outcome::Awaiting(vec!["a".to_owned()])));
        assert!(
            late(&older, Duration::from_secs(1), &[])
                .to_string()
                .contains("earlier refusals: node a refused")
        );
    }

    /// The clusters of a node that refused one of revision 5 and accepted others since.
    fn refusing(blocked: u64) -> WatchNodesResponse {
        let mut event = node("a", &[4], Some((5, "v5")));
        if let Some(Event::Node(node)) = &mut event.event {
            let stream = &mut node.streams[0];
            stream.blocked_revision = blocked;
            stream.types[0].refused = 2;
            stream.types[0].refused_names = vec!["b".to_owned()];
        }
        event
    }

    #[test]
    fn an_earlier_refusal_ends_the_wait_once_the_rest_is_done() {
        let on_its_way = rollout([refusing(6)]);
        assert_eq!(on_its_way.outcome(), Some(Outcome::Awaiting(vec!["a".to_owned()])));
        let texts = [
            "node a refused cluster version v5: no",
            "node a still refuses cluster \"b\" and 1 more",
        ];
        let expected = Outcome::Refused(texts.map(str::to_owned).to_vec());
        assert_eq!(rollout([refusing(7)]).outcome(), Some(expected));
    }
}
