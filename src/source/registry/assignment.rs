//! Registered endpoints as a `ClusterLoadAssignment`, and back: the metadata of each has the digest of its id and the length
//! of its lease, under a key that Envoy ignores.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use bytes::Bytes;
use prost::Message as _;
use prost_reflect::DynamicMessage;
use prost_types::Any;
use serde_json::{Value, json};

use super::endpoint::{Endpoint, EndpointId, Lease, Locality, Registration};
use crate::{
    proto::{self, envoy::config::core::v3 as core},
    resource::ResourceType,
};

/// Fields of a `ClusterLoadAssignment`.
const CLUSTER_NAME: u32 = 1;
const ENDPOINTS: u32 = 2;
/// Fields of a `LocalityLbEndpoints`.
const LOCALITY: u32 = 1;
const LB_ENDPOINTS: u32 = 2;

/// The key in `metadata.filter_metadata`.
const METADATA: &str = "chancery.registry";

/// Encodes the endpoints of a cluster; without endpoints, an assignment that says that the cluster has none.
///
/// Each registration publishes its whole cluster, so endpoints are encoded once, and only the rest is encoded here.
pub(super) fn encode<'a>(cluster: &str, leases: impl Iterator<Item = &'a Lease>) -> Any {
    let mut localities: BTreeMap<&Locality, Vec<u8>> = BTreeMap::new();
    for lease in leases {
        let locality = &lease.endpoint.registration.locality;
        let group = localities.entry(locality).or_insert_with(|| head_of(locality));
        prost::encoding::bytes::encode(LB_ENDPOINTS, &lease.encoded, group);
    }
    let mut value = Vec::new();
    prost::encoding::string::encode(CLUSTER_NAME, &cluster.to_owned(), &mut value);
    for group in localities.values() {
        prost::encoding::bytes::encode(ENDPOINTS, group, &mut value);
    }
    Any {
        type_url: ResourceType::Endpoint.type_url().to_owned(),
        value,
    }
}

/// The beginning of a `LocalityLbEndpoints`: its locality, if there is one.
fn head_of(locality: &Locality) -> Vec<u8> {
    let mut group = Vec::new();
    if *locality != Locality::default() {
        let Locality { region, zone, sub_zone } = locality.clone();
        let locality = core::Locality { region, zone, sub_zone };
        prost::encoding::message::encode(LOCALITY, &locality, &mut group);
    }
    group
}

/// One endpoint, encoded as an `LbEndpoint`.
pub(super) fn encode_endpoint(endpoint: &Endpoint) -> Bytes {
    let descriptor = proto::descriptors().get_message_by_name("envoy.config.endpoint.v3.LbEndpoint");
    let descriptor = descriptor.expect("Envoy's protos have an LbEndpoint");
    let message = DynamicMessage::deserialize(descriptor, lb_endpoint(endpoint));
    message
        .expect("a registration fits an LbEndpoint")
        .encode_to_vec()
        .into()
}

fn lb_endpoint(endpoint: &Endpoint) -> Value {
    let Endpoint { digest, registration } = endpoint;
    let (address, port) = (registration.address.ip().to_string(), registration.address.port());
    let mut ours = json!({ "digest": digest.to_string() });
    if let Some(ttl) = registration.ttl {
        ours["ttl_ms"] = (ttl.as_millis() as u64).into();
    }
    let mut lb_endpoint = json!({
        "endpoint": { "address": { "socket_address": { "address": address, "port_value": port } } },
        "health_status": registration.health.as_str(),
        "metadata": { "filter_metadata": { METADATA: ours } },
    });
    if let Some(weight) = registration.weight {
        lb_endpoint["load_balancing_weight"] = weight.into();
    }
    lb_endpoint
}

/// Decodes an assignment that [`encode`] wrote; `None` where an endpoint in it was not registered.
pub(super) fn decode(assignment: &Value) -> Option<Vec<Endpoint>> {
    let cluster = assignment["cluster_name"].as_str()?;
    let mut endpoints = Vec::new();
    for group in list(&assignment["endpoints"]) {
        let text = |field: &str| group["locality"][field].as_str().unwrap_or_default().to_owned();
        let locality = Locality {
            region: text("region"),
            zone: text("zone"),
            sub_zone: text("sub_zone"),
        };
        for lb_endpoint in list(&group["lb_endpoints"]) {
            endpoints.push(registered(cluster, &locality, lb_endpoint)?);
        }
    }
    Some(endpoints)
}

fn registered(cluster: &str, locality: &Locality, lb_endpoint: &Value) -> Option<Endpoint> {
    let ours = &lb_endpoint["metadata"]["filter_metadata"][METADATA];
    let socket = &lb_endpoint["endpoint"]["address"]["socket_address"];
    let port = u16::try_from(socket["port_value"].as_u64()?).ok()?;
    let health = lb_endpoint["health_status"].as_str().map(str::parse).transpose().ok()?;
    // A number in a `Struct` is a double.
    let ttl = ours["ttl_ms"].as_f64().map(|ttl| Duration::from_millis(ttl as u64));
    let text = |key: &str| ours[key].as_str();
    // Earlier releases stored the id instead of the digest.
    let digest = text("digest")
        .and_then(|digest| digest.parse().ok())
        .or_else(|| text("id")?.parse().ok().map(EndpointId::digest))?;
    Some(Endpoint {
        digest,
        registration: Registration {
            cluster_name: cluster.to_owned(),
            address: SocketAddr::new(socket["address"].as_str()?.parse().ok()?, port),
            weight: lb_endpoint["load_balancing_weight"]
                .as_u64()
                .and_then(|weight| u32::try_from(weight).ok()),
            health: health.unwrap_or_default(),
            locality: locality.clone(),
            ttl,
        },
    })
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::{
        admission::{self, Secrets},
        source::registry::{Action, Endpoints},
    };

    #[test]
    fn encoded_endpoints_decode_to_the_same() {
        let mut endpoints = Endpoints::default();
        let zone = |zone: &str| Locality {
            zone: zone.to_owned(),
            ..Locality::default()
        };
        for (port, locality) in [(1, Locality::default()), (2, zone("a")), (3, zone("b")), (4, zone("a"))] {
            let registration = Registration {
                locality,
                weight: Some(u32::from(port)),
                ttl: Some(Duration::from_secs(5)),
                ..Registration::new("c", [10, 0, 0, 1].into(), port)
            };
            endpoints
                .apply(Action::Register(registration, None), Instant::now())
                .unwrap();
        }
        let json = admission::to_json(&encode("c", endpoints.of_cluster("c")), Secrets::Show);
        let mut found = decode(&json).unwrap();
        found.sort_by_key(|endpoint| endpoint.registration.address);
        let expected: Vec<Endpoint> = endpoints
            .of_cluster("c")
            .map(|lease| (*lease.endpoint).clone())
            .collect();
        assert_eq!(found, expected);
        assert_eq!(json["endpoints"].as_array().unwrap().len(), 3);

        let none = admission::to_json(&encode("d", endpoints.of_cluster("d")), Secrets::Show);
        assert_eq!(
            (none["cluster_name"].as_str(), none.get("endpoints")),
            (Some("d"), None)
        );
    }
}
