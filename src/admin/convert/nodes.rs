//! Converts the fleet's records of nodes into messages of the admin API.

use std::time::Duration;

use prost_types::Timestamp;

use super::{count, timestamp};
use crate::{
    connection::Pace,
    fleet::{self, DeliveryStatus, NackStatus},
    node::NodeId,
    proto::admin as api,
    protocol::{Awaited, Awaiting, Hold, Standing, Variant, Wait},
    resource::ResourceType,
};

pub(in crate::admin) fn node_status(node: &fleet::NodeStatus) -> api::NodeStatus {
    api::NodeStatus {
        id: node.id.to_string(),
        cluster: node.cluster.clone(),
        group: node.group.to_string(),
        user_agent: node.user_agent.clone(),
        connected: node.connected(),
        last_seen: timestamp(node.last_seen),
        streams: node.streams.iter().map(stream_status).collect(),
        types: node.types.iter().map(type_status).collect(),
        load: node.load.as_deref().map(load_report),
    }
}

fn load_report(report: &fleet::LoadReport) -> api::LoadReport {
    api::LoadReport {
        time: timestamp(report.time),
        clusters: report.clusters.iter().map(cluster_load).collect(),
        omitted_clusters: count(report.omitted),
        reports_total: report.total,
    }
}

fn cluster_load(load: &fleet::ClusterLoad) -> api::ClusterLoad {
    api::ClusterLoad {
        cluster: load.cluster.clone(),
        service: load.service.clone(),
        interval: prost_types::Duration::try_from(load.interval).ok(),
        issued_requests: load.issued,
        successful_requests: load.successful,
        failed_requests: load.failed,
        requests_in_progress: load.in_progress,
        dropped_requests: load.dropped,
    }
}

pub(in crate::admin) fn node_event(change: &fleet::FleetChange) -> api::WatchNodesResponse {
    use api::watch_nodes_response::Event;

    let event = match change {
        fleet::FleetChange::Node(node) => Event::Node(node_status(node)),
        fleet::FleetChange::Forgotten(id) => Event::Forgotten(NodeId::to_string(id)),
    };
    api::WatchNodesResponse { event: Some(event) }
}

fn order_status(standing: &Standing) -> Option<api::OrderStatus> {
    (*standing != Standing::default()).then(|| api::OrderStatus {
        waits: standing.waits.iter().map(wait).collect(),
        holds: standing.holds.iter().map(hold).collect(),
        held: standing.held as u64,
        waiting: standing.waiting as u64,
    })
}

fn wait(wait: &Wait) -> api::order_status::Wait {
    let mut types: Vec<&ResourceType> = wait.on.iter().map(|on| &on.resource_type).collect();
    types.sort_unstable();
    types.dedup();
    api::order_status::Wait {
        type_url: type_url(&wait.resource_type),
        on_type_urls: types.into_iter().map(type_url).collect(),
        name: wait.name.to_string(),
        on: wait.on.iter().map(awaited).collect(),
    }
}

fn awaited(on: &Awaited) -> api::order_status::Awaited {
    use api::order_status::awaited::Reason;

    api::order_status::Awaited {
        type_url: type_url(&on.resource_type),
        name: on.name.to_string(),
        reason: match on.reason {
            Awaiting::Unsent => Reason::Unsent.into(),
            Awaiting::Unanswered => Reason::Unanswered.into(),
            Awaiting::Refused => Reason::Refused.into(),
        },
    }
}

fn hold(hold: &Hold) -> api::order_status::Hold {
    let (kind, name) = hold
        .needed_by
        .as_ref()
        .map_or_else(Default::default, |(kind, name)| (type_url(kind), name.to_string()));
    let is_route = kind == ResourceType::Route.type_url();
    api::order_status::Hold {
        type_url: type_url(&hold.resource_type),
        name: hold.name.to_string(),
        needed_by_route: if is_route { name.clone() } else { String::new() },
        needed_by_type_url: kind,
        needed_by_name: name,
    }
}

fn type_url(kind: &ResourceType) -> String {
    kind.type_url().to_owned()
}

fn stream_status(stream: &fleet::StreamStatus) -> api::StreamStatus {
    use api::stream_status::Protocol;

    api::StreamStatus {
        id: stream.id,
        protocol: match stream.info.protocol {
            fleet::Protocol::Grpc(Variant::Sotw) => Protocol::Sotw.into(),
            fleet::Protocol::Grpc(Variant::Delta) => Protocol::Delta.into(),
            fleet::Protocol::Rest => Protocol::Rest.into(),
        },
        aggregated: stream.info.aggregated,
        peer: stream.info.peer.clone(),
        opened: timestamp(stream.opened),
        types: stream.types.iter().map(type_status).collect(),
        synced_revision: stream.synced.map_or(0, |revision| revision.0),
        order: order_status(&stream.standing),
        blocked_revision: stream.blocked.map_or(0, |revision| revision.0),
        unread_since: stream.info.pace.as_ref().and_then(|pace| unread_since(pace)),
    }
}

/// The time since which a response is unread; short waits for the network are not reported.
fn unread_since(pace: &Pace) -> Option<Timestamp> {
    const TOLD_AFTER: Duration = Duration::from_secs(5);
    let is_stuck = pace.unread_for().is_some_and(|unread| unread >= TOLD_AFTER);
    pace.unread_since().filter(|_| is_stuck).and_then(timestamp)
}

fn type_status(row: &fleet::TypeStatus) -> api::TypeStatus {
    use api::type_status::State;

    api::TypeStatus {
        type_url: row.resource_type.type_url().to_owned(),
        state: match row.state() {
            fleet::TypeState::NotSent => State::NotSent.into(),
            fleet::TypeState::Stale => State::Stale.into(),
            fleet::TypeState::Synced => State::Synced.into(),
            fleet::TypeState::Unconfirmed => State::Unconfirmed.into(),
            fleet::TypeState::Error => State::Error.into(),
        },
        wildcard: row.wildcard,
        names: count(row.names),
        sample_names: row.sample.iter().map(ToString::to_string).collect(),
        sent: row.sent.as_ref().map(delivery),
        acked: row.acked.as_ref().map(delivery),
        nack: row.nack.as_ref().map(nack),
        unanswered: row.unanswered.as_ref().map(unanswered),
        missing: count(row.missing),
        missing_names: row.missing_sample.iter().map(ToString::to_string).collect(),
        large_response_bytes: row.large.map_or(0, |bytes| bytes as u64),
        sent_total: row.sent_total,
        nack_total: row.nack_total,
        refused: count(row.refused),
        refused_names: row.refused_sample.iter().map(ToString::to_string).collect(),
    }
}

fn delivery(delivery: &DeliveryStatus) -> api::Delivery {
    api::Delivery {
        version: delivery.version.to_string(),
        nonce: delivery.nonce.to_string(),
        time: timestamp(delivery.time),
        revision: delivery.revision.0,
    }
}

fn unanswered(late: &fleet::Unanswered) -> api::Unanswered {
    api::Unanswered {
        version: late.delivery.version.to_string(),
        nonce: late.delivery.nonce.to_string(),
        time: timestamp(late.delivery.time),
        age: prost_types::Duration::try_from(late.age).ok(),
        revision: late.delivery.revision.0,
    }
}

pub(in crate::admin) fn nack(nack: &NackStatus) -> api::Nack {
    api::Nack {
        version: nack.delivery.version.to_string(),
        nonce: nack.delivery.nonce.to_string(),
        time: timestamp(nack.delivery.time),
        revision: nack.delivery.revision.0,
        code: nack.code,
        message: nack.message.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::{
        protocol::{Nonce, Subscription},
        resource::{ResourceName, Version},
        snapshot::Revision,
    };

    fn on(resource_type: ResourceType, name: &str, reason: Awaiting) -> Awaited {
        Awaited {
            resource_type,
            name: name.into(),
            reason,
        }
    }

    #[test]
    fn waiting_changes_are_reported_by_resource_and_by_type() {
        use api::order_status::awaited::Reason;

        let standing = Standing {
            waits: vec![Wait {
                resource_type: ResourceType::Route,
                name: "r".into(),
                on: vec![
                    on(ResourceType::Cluster, "b", Awaiting::Unanswered),
                    on(ResourceType::Endpoint, "e", Awaiting::Unsent),
                    on(ResourceType::Cluster, "c", Awaiting::Refused),
                ],
            }],
            waiting: 40,
            ..Standing::default()
        };
        let order = order_status(&standing).unwrap();
        let wait = &order.waits[0];
        assert_eq!((wait.name.as_str(), order.waiting), ("r", 40));
        let on: Vec<_> = wait.on.iter().map(|on| (on.name.as_str(), on.reason())).collect();
        assert_eq!(
            on,
            [("b", Reason::Unanswered), ("e", Reason::Unsent), ("c", Reason::Refused)]
        );
        let types = [ResourceType::Cluster, ResourceType::Endpoint].map(|kind| type_url(&kind));
        assert_eq!(wait.on_type_urls, types, "each once");
        assert_eq!(order_status(&Standing::default()), None);
    }

    #[test]
    fn held_removals_are_reported_with_the_resource_that_names_them() {
        let held = |needed_by: Option<(ResourceType, ResourceName)>| {
            hold(&Hold {
                resource_type: ResourceType::Cluster,
                name: "old".into(),
                needed_by,
            })
        };
        let by_route = held(Some((ResourceType::Route, "r".into())));
        assert_eq!(
            (by_route.needed_by_name.as_str(), by_route.needed_by_route.as_str()),
            ("r", "r")
        );
        let by_listener = held(Some((ResourceType::Listener, "l".into())));
        assert_eq!(by_listener.needed_by_type_url, ResourceType::Listener.type_url());
        assert_eq!(
            (
                by_listener.needed_by_name.as_str(),
                by_listener.needed_by_route.as_str()
            ),
            ("l", ""),
            "it is no route"
        );
        let by_nobody = held(None);
        assert_eq!(
            (by_nobody.needed_by_type_url.as_str(), by_nobody.needed_by_name.as_str()),
            ("", "")
        );
    }

    #[test]
    fn what_is_refused_is_an_error_with_its_names() {
        let delivery = DeliveryStatus {
            version: Version::from("v"),
            nonce: Nonce::from("2".to_owned()),
            revision: Revision(8),
            time: SystemTime::UNIX_EPOCH,
        };
        let row = fleet::TypeStatus {
            resource_type: ResourceType::Cluster,
            wildcard: true,
            names: 0,
            sample: Vec::new(),
            subscription: Subscription::default(),
            sent: Some(delivery.clone()),
            acked: Some(delivery),
            unconfirmed: None,
            nack: None,
            refused: 17,
            refused_sample: vec!["b".into()],
            mended: false,
            unanswered: None,
            missing: 0,
            missing_sample: Vec::new(),
            large: None,
            sent_total: 2,
            nack_total: 1,
        };
        let told = type_status(&row);
        assert_eq!(told.state(), api::type_status::State::Error);
        assert_eq!((told.refused, told.refused_names), (17, vec!["b".to_owned()]));
    }
}
