//! Registered endpoints as a `ClusterLoadAssignment`, and back: each carries its id and the length of its lease in its
//! metadata, under a key that Envoy does not look at.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use serde_json::{Map, Value, json};

use super::endpoint::{Endpoint, Locality, Registration};
use crate::resource::ResourceType;

/// The key in `metadata.filter_metadata`.
const METADATA: &str = "chancery.registry";

/// The endpoints of a cluster as Envoy reads them, written out. A cluster without any is one that has none.
pub(super) fn encode<'a>(cluster: &str, endpoints: impl Iterator<Item = &'a Endpoint>) -> Value {
    let mut localities: BTreeMap<&Locality, Vec<Value>> = BTreeMap::new();
    for endpoint in endpoints {
        let registration = &endpoint.registration;
        localities
            .entry(&registration.locality)
            .or_default()
            .push(lb_endpoint(endpoint));
    }
    let localities = localities.into_iter().map(|(locality, endpoints)| {
        let mut group = Map::new();
        if *locality != Locality::default() {
            let Locality { region, zone, sub_zone } = locality;
            group.insert(
                "locality".to_owned(),
                json!({ "region": region, "zone": zone, "sub_zone": sub_zone }),
            );
        }
        group.insert("lb_endpoints".to_owned(), endpoints.into());
        Value::Object(group)
    });
    json!({
        "@type": ResourceType::Endpoint.type_url(),
        "cluster_name": cluster,
        "endpoints": localities.collect::<Vec<_>>(),
    })
}

fn lb_endpoint(endpoint: &Endpoint) -> Value {
    let Endpoint { id, registration } = endpoint;
    let (address, port) = (registration.address.ip().to_string(), registration.address.port());
    let mut ours = json!({ "id": id.to_string() });
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

/// The endpoints of an assignment that [`encode`] wrote; `None` where any of them was not registered.
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
    Some(Endpoint {
        id: ours["id"].as_str()?.parse().ok()?,
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
