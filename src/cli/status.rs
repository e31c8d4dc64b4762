//! `chancery status`: what every node has, per type: sent, ACKed, and NACKed in the node's own words.

use clap::Args;
use serde_json::Value;

use super::{
    connect::Clients,
    exit::{Exit, Failure},
    findings::short_type,
    output::{Format, Output, Table, proto_json, time},
    sources,
};
use crate::proto::admin::{
    GetNodeRequest, ListNodesRequest, ListNodesResponse, NodeStatus, OrderStatus, TypeStatus, Unanswered,
    type_status::State,
};

/// What can be said of a node that polls and keeps its earlier version (H-4).
const UNCONFIRMED: &str =
    "rejected or not yet applied: it polls over REST, and asked again with an earlier version; its own log says why";

#[derive(Args, Debug)]
pub(super) struct Status {
    /// Only this node; one that is not known is an error
    #[arg(value_name = "NODE")]
    node: Option<String>,
    /// Only nodes of this group
    #[arg(short, long, value_name = "GROUP", conflicts_with = "node")]
    group: Option<String>,
    /// Instead of nodes, the folders that `serve --files` publishes
    #[arg(long, conflicts_with_all = ["node", "group"])]
    sources: bool,
}

impl Status {
    pub(super) async fn run(self, clients: &Clients, output: &mut Output) -> Result<Exit, Failure> {
        if self.sources {
            return sources::run(clients, output).await;
        }
        let everything = self.node.is_none() && self.group.is_none();
        let mut client = clients.nodes().await?;
        let (nodes, value) = match self.node {
            Some(id) => {
                let node = client.get_node(GetNodeRequest { id }).await?.into_inner();
                let value = proto_json(&node, "NodeStatus");
                (vec![node], value)
            }
            None => {
                let group = self.group.unwrap_or_default();
                let ListNodesResponse { nodes } = client.list_nodes(ListNodesRequest { group }).await?.into_inner();
                let value = Value::Array(nodes.iter().map(|node| proto_json(node, "NodeStatus")).collect());
                (nodes, value)
            }
        };
        match output.format {
            Format::Table => {
                output.text(&table(&nodes))?;
                if everything {
                    output.text(&sources::troubled(clients).await?)?;
                }
            }
            Format::Json | Format::Yaml => output.value(&value)?,
        }
        Ok(Exit::Ok)
    }
}

/// A row for each type of each node; below a refused one the node's own words.
pub(super) fn table(nodes: &[NodeStatus]) -> String {
    let mut table = Table::new([
        "NODE",
        "GROUP",
        "CONNECTED",
        "TYPE",
        "STATE",
        "VERSION",
        "ACKED",
        "TIME",
    ]);
    for node in nodes {
        let who = [node.id.clone(), node.group.clone(), connected(node)];
        if node.types.is_empty() {
            let [id, group, streams] = who.clone();
            let seen = time(node.last_seen.as_ref());
            table.row(&[
                id,
                group,
                streams,
                String::new(),
                String::new(),
                String::new(),
                String::new(),
                seen,
            ]);
        }
        for row in &node.types {
            let [id, group, streams] = who.clone();
            let version = |delivery: &Option<crate::proto::admin::Delivery>| {
                delivery
                    .as_ref()
                    .map_or_else(String::new, |delivery| delivery.version.clone())
            };
            table.row(&[
                id,
                group,
                streams,
                short_type(&row.type_url),
                state(row).to_owned(),
                version(&row.sent),
                version(&row.acked),
                since(row),
            ]);
            for line in notes(row) {
                table.note(&line);
            }
            if row.state() == State::Unconfirmed {
                table.note(UNCONFIRMED);
            }
        }
        for line in node
            .streams
            .iter()
            .filter_map(|stream| stream.order.as_ref())
            .flat_map(ordering)
        {
            table.note(&line);
        }
    }
    table.render()
}

/// What is wrong with a type, in the node's own words where it has some.
fn notes(row: &TypeStatus) -> Vec<String> {
    let mut lines = Vec::new();
    let kind = short_type(&row.type_url);
    if let Some(late) = &row.unanswered {
        let age = late.age.as_ref().map_or(0, |age| age.seconds);
        let Unanswered { version, nonce, .. } = late;
        lines.push(format!(
            "no answer to {kind} version {version} (nonce {nonce}) for {age}s"
        ));
    }
    // What was refused may be why a later response is not answered: Envoy warms the clusters it refused, too.
    if let Some(nack) = &row.nack
        && (row.state() == State::Error || row.unanswered.is_some())
    {
        let at = time(nack.time.as_ref());
        lines.push(format!(
            "NACK of version {} (nonce {}) at {at}: {}",
            nack.version,
            nack.nonce,
            nack.message.trim_end()
        ));
    }
    if row.missing > 0 {
        let more = (row.missing as usize).saturating_sub(row.missing_names.len());
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        let names = row.missing_names.join(", ");
        lines.push(format!("asked for and not there: {kind} {names}{more}"));
    }
    if row.large_response_bytes > 0 {
        #[allow(clippy::cast_precision_loss)] // for people
        let mib = row.large_response_bytes as f64 / f64::from(1 << 20);
        lines.push(format!(
            "the last response has {mib:.1} MiB: gRPC clients take 4 MiB unless told otherwise"
        ));
    }
    lines
}

/// What waits and what is held on a stream.
fn ordering(order: &OrderStatus) -> Vec<String> {
    let waits = order.waits.iter().map(|wait| {
        let on: Vec<_> = wait.on_type_urls.iter().map(|url| short_type(url)).collect();
        let kind = short_type(&wait.type_url);
        format!("ordering: {kind} waits for the ACK of {}", on.join(", "))
    });
    let holds = order.holds.iter().map(|hold| {
        let why = match hold.needed_by_route.as_str() {
            "" => String::new(),
            route => format!(" (route {route} still subscribed)"),
        };
        format!("ordering: holds {} {}{why}", short_type(&hold.type_url), hold.name)
    });
    let more = order.held.saturating_sub(order.holds.len() as u64);
    let more = (more > 0).then(|| format!("ordering: holds {more} more"));
    waits.chain(holds).chain(more).collect()
}

fn connected(node: &NodeStatus) -> String {
    match (node.connected, node.streams.len()) {
        (false, _) => "no".to_owned(),
        (true, 1) => "yes (1 stream)".to_owned(),
        (true, streams) => format!("yes ({streams} streams)"),
    }
}

pub(super) fn state(row: &TypeStatus) -> &'static str {
    match row.state() {
        State::Unspecified => "UNKNOWN",
        State::NotSent => "NOT_SENT",
        State::Stale => "STALE",
        State::Synced => "SYNCED",
        State::Error => "ERROR",
        State::Unconfirmed => "UNCONFIRMED",
    }
}

/// When the type came to the state it is in.
fn since(row: &TypeStatus) -> String {
    let sent = row.sent.as_ref().and_then(|sent| sent.time.as_ref());
    match row.state() {
        State::Synced => time(row.acked.as_ref().and_then(|acked| acked.time.as_ref())),
        State::Error => time(row.nack.as_ref().and_then(|nack| nack.time.as_ref())),
        State::Stale | State::Unconfirmed | State::NotSent | State::Unspecified => time(sent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::admin::{
        Nack,
        order_status::{Hold, Wait},
    };

    #[test]
    fn what_is_wrong_with_a_type_is_said_below_it() {
        let row = TypeStatus {
            type_url: "type.googleapis.com/envoy.config.cluster.v3.Cluster".to_owned(),
            state: State::Stale.into(),
            unanswered: Some(Unanswered {
                version: "v2".to_owned(),
                nonce: "n-2".to_owned(),
                age: Some(prost_types::Duration { seconds: 42, nanos: 1 }),
                ..Unanswered::default()
            }),
            nack: Some(Nack {
                version: "v1".to_owned(),
                nonce: "n-1".to_owned(),
                message: "bad cluster\n".to_owned(),
                ..Nack::default()
            }),
            missing: 3,
            missing_names: vec!["x".to_owned(), "y".to_owned()],
            large_response_bytes: 5 << 20,
            ..TypeStatus::default()
        };
        let lines = notes(&row);
        assert_eq!(lines[0], "no answer to cluster version v2 (nonce n-2) for 42s");
        assert!(lines[1].starts_with("NACK of version v1 (nonce n-1) at ") && lines[1].ends_with(": bad cluster"));
        assert_eq!(lines[2], "asked for and not there: cluster x, y and 1 more");
        assert!(lines[3].starts_with("the last response has 5.0 MiB"), "{}", lines[3]);
        assert_eq!(lines.len(), 4);
        assert!(notes(&TypeStatus::default()).is_empty());
    }

    #[test]
    fn what_waits_and_what_is_held_is_said_with_its_reason() {
        let url = |kind: &str| format!("type.googleapis.com/envoy.config.{kind}");
        let hold = |name: &str, route: &str| Hold {
            type_url: url("cluster.v3.Cluster"),
            name: name.to_owned(),
            needed_by_route: route.to_owned(),
            ..Hold::default()
        };
        let order = OrderStatus {
            waits: vec![Wait {
                type_url: url("route.v3.RouteConfiguration"),
                on_type_urls: vec![url("cluster.v3.Cluster"), url("listener.v3.Listener")],
                ..Wait::default()
            }],
            holds: vec![hold("old", "r"), hold("older", "")],
            held: 5,
            ..OrderStatus::default()
        };
        assert_eq!(
            ordering(&order),
            [
                "ordering: route waits for the ACK of cluster, listener",
                "ordering: holds cluster old (route r still subscribed)",
                "ordering: holds cluster older",
                "ordering: holds 3 more",
            ]
        );
    }
}
