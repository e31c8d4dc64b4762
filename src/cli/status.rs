//! `chancery status`: the resources of every node, per type: sent, ACKed, and NACKed in the node's own words.

use clap::Args;
use serde_json::Value;

use super::{
    connect::Clients,
    exit::{Exit, Failure},
    findings::short_type,
    output::{Format, Output, Table, proto_json, quoted_of, some_of, time},
    pages, sources,
};
use crate::proto::admin::{
    GetNodeRequest, NodeStatus, OrderStatus, ServerHealth, StreamStatus, TypeStatus, Unanswered,
    order_status::{Awaited, Hold, Wait, awaited::Reason},
    server_health,
    type_status::State,
};

/// Awaited resources named in one line; the rest is counted.
const AWAITED: usize = 16;

/// The note for a node that polls and keeps its earlier version (H-4).
const UNCONFIRMED: &str =
    "rejected or not yet applied: it polls over REST, and asked again with an earlier version; its own log says why";

#[derive(Args, Debug)]
pub(super) struct Status {
    /// Only this node; an unknown one is an error
    #[arg(value_name = "NODE")]
    node: Option<String>,
    /// Only nodes of this group
    #[arg(short, long, value_name = "GROUP", conflicts_with = "node")]
    group: Option<String>,
    /// Show the folders that `serve --files` publishes, instead of nodes
    #[arg(long, conflicts_with_all = ["node", "group"])]
    sources: bool,
}

impl Status {
    pub(super) async fn run(self, clients: &Clients, output: &mut Output) -> Result<Exit, Failure> {
        if self.sources {
            return sources::run(clients, output).await;
        }
        let everything = self.node.is_none() && self.group.is_none();
        let mut health = ServerHealth::default();
        let (nodes, value) = match self.node {
            Some(id) => {
                let mut client = clients.nodes().await?;
                let node = client.get_node(GetNodeRequest { id }).await?.into_inner();
                let value = proto_json(&node, "NodeStatus");
                (vec![node], value)
            }
            None => {
                let group = self.group.unwrap_or_default();
                let nodes;
                (nodes, health) = pages::nodes(clients, &group).await?;
                let value = Value::Array(nodes.iter().map(|node| proto_json(node, "NodeStatus")).collect());
                (nodes, value)
            }
        };
        match output.format {
            Format::Table => {
                output.text(&degraded(&health))?;
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

/// A line if the server is degraded.
fn degraded(health: &ServerHealth) -> String {
    if health.state() != server_health::State::Degraded {
        return String::new();
    }
    format!("server DEGRADED: {}\n", health.reasons.join("; "))
}

/// A row for each type of each node; below a refused type the node's message.
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
        for line in node.streams.iter().filter_map(unread) {
            table.note(&line);
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

/// A note that the client of a stream does not read.
fn unread(stream: &StreamStatus) -> Option<String> {
    let since = stream.unread_since.as_ref()?;
    Some(format!(
        "the client at {} has not read what it was sent since {}",
        stream.peer,
        time(Some(since))
    ))
}

/// The problems of a type, in the node's own words if it sent any.
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
    if row.refused > 0 {
        let names = quoted_of(&row.refused_names, row.refused as usize);
        lines.push(format!("refused: {kind} {names}"));
    }
    // A NACK may explain why a later response is unanswered: Envoy also warms clusters that it refused.
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
            "the last response has {mib:.1} MiB: gRPC clients take 4 MiB by default"
        ));
    }
    lines
}

/// Resources that wait, and removals that are held, on a stream.
fn ordering(order: &OrderStatus) -> Vec<String> {
    let waits = order.waits.iter().map(waits);
    let waiting = order.waiting.saturating_sub(order.waits.len() as u64);
    let more_wait = (waiting > 0).then(|| format!("ordering: and {waiting} more wait"));
    let holds = order.holds.iter().map(holds);
    let held = order.held.saturating_sub(order.holds.len() as u64);
    let more_held = (held > 0).then(|| format!("ordering: holds {held} more"));
    waits.chain(more_wait).chain(holds).chain(more_held).collect()
}

fn waits(wait: &Wait) -> String {
    let who = resource(&wait.type_url, &wait.name);
    if wait.on.is_empty() {
        // An earlier server sends types only.
        let types: Vec<_> = wait.on_type_urls.iter().map(|url| short_type(url)).collect();
        return format!("ordering: {who} waits for the ACK of {}", types.join(", "));
    }
    let on: Vec<_> = wait.on.iter().map(awaited).collect();
    format!("ordering: {who} waits for {}", some_of(&on, AWAITED))
}

fn awaited(on: &Awaited) -> String {
    let reason = match on.reason() {
        Reason::Unspecified => "",
        Reason::Unsent => " (not sent yet)",
        Reason::Unanswered => " (sent, not answered yet)",
        Reason::Refused => " (refused by the node)",
    };
    format!("{}{reason}", resource(&on.type_url, &on.name))
}

fn holds(hold: &Hold) -> String {
    let needed_by = match (hold.needed_by_name.as_str(), hold.needed_by_route.as_str()) {
        ("", "") => String::new(),
        ("", route) => format!(" (route {route:?} still names it)"),
        (name, _) => format!(" ({} still names it)", resource(&hold.needed_by_type_url, name)),
    };
    format!("ordering: holds {}{needed_by}", resource(&hold.type_url, &hold.name))
}

/// `cluster "a"`; the type alone without a name.
fn resource(type_url: &str, name: &str) -> String {
    let kind = short_type(type_url);
    if name.is_empty() {
        kind
    } else {
        format!("{kind} {name:?}")
    }
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

/// The time since when the type has its state.
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
    use crate::proto::admin::Nack;

    fn url(kind: &str) -> String {
        format!("type.googleapis.com/envoy.config.{kind}")
    }

    #[test]
    fn problems_of_a_type_are_shown_below_it() {
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
    fn client_that_does_not_read_is_named() {
        let stream = StreamStatus {
            peer: "10.0.0.1:7".to_owned(),
            unread_since: Some(prost_types::Timestamp { seconds: 0, nanos: 0 }),
            ..StreamStatus::default()
        };
        let line = unread(&stream).unwrap();
        assert!(line.starts_with("the client at 10.0.0.1:7 has not read"), "{line}");
        assert_eq!(unread(&StreamStatus::default()), None);
    }

    #[test]
    fn server_that_is_degraded_says_why() {
        let health = ServerHealth {
            state: server_health::State::Degraded.into(),
            reasons: vec!["memory".to_owned(), "store".to_owned()],
        };
        assert_eq!(degraded(&health), "server DEGRADED: memory; store\n");
        assert_eq!(degraded(&ServerHealth::default()), "");
    }

    #[test]
    fn refused_names_come_before_the_message() {
        let row = TypeStatus {
            type_url: url("cluster.v3.Cluster"),
            state: State::Error.into(),
            nack: Some(Nack::default()),
            refused: 3,
            refused_names: vec!["b".to_owned(), "c".to_owned()],
            ..TypeStatus::default()
        };
        let lines = notes(&row);
        assert_eq!(lines[0], "refused: cluster \"b\", \"c\" and 1 more");
        assert!(lines[1].starts_with("NACK of version"), "{lines:?}");
    }

    #[test]
    fn waiting_and_held_resources_are_shown_with_the_reason() {
        let on = |kind: &str, name: &str, reason: Reason| Awaited {
            type_url: url(kind),
            name: name.to_owned(),
            reason: reason.into(),
        };
        let wait = |name: &str, on: Vec<Awaited>| Wait {
            type_url: url("route.v3.RouteConfiguration"),
            name: name.to_owned(),
            on,
            ..Wait::default()
        };
        let hold = |name: &str, route: &str| Hold {
            type_url: url("cluster.v3.Cluster"),
            name: name.to_owned(),
            needed_by_type_url: url("route.v3.RouteConfiguration"),
            needed_by_name: route.to_owned(),
            ..Hold::default()
        };
        let cluster = "cluster.v3.Cluster";
        let order = OrderStatus {
            waits: vec![
                wait("r", vec![on(cluster, "b", Reason::Unanswered)]),
                wait(
                    "s",
                    vec![on(cluster, "c", Reason::Unsent), on(cluster, "d", Reason::Refused)],
                ),
            ],
            waiting: 9,
            holds: vec![hold("old", "r"), hold("older", "")],
            held: 5,
        };
        assert_eq!(
            ordering(&order),
            [
                "ordering: route \"r\" waits for cluster \"b\" (sent, not answered yet)",
                "ordering: route \"s\" waits for cluster \"c\" (not sent yet), cluster \"d\" (refused by the node)",
                "ordering: and 7 more wait",
                "ordering: holds cluster \"old\" (route \"r\" still names it)",
                "ordering: holds cluster \"older\"",
                "ordering: holds 3 more",
            ]
        );
    }

    #[test]
    fn an_earlier_server_names_no_resources_that_wait() {
        let order = OrderStatus {
            waits: vec![Wait {
                type_url: url("route.v3.RouteConfiguration"),
                on_type_urls: vec![url("cluster.v3.Cluster"), url("listener.v3.Listener")],
                ..Wait::default()
            }],
            holds: vec![Hold {
                type_url: url("cluster.v3.Cluster"),
                name: "old".to_owned(),
                needed_by_route: "r".to_owned(),
                ..Hold::default()
            }],
            held: 1,
            ..OrderStatus::default()
        };
        assert_eq!(
            ordering(&order),
            [
                "ordering: route waits for the ACK of cluster, listener",
                "ordering: holds cluster \"old\" (route \"r\" still names it)",
            ]
        );
    }
}
