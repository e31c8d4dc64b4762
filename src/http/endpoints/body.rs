//! The JSON of endpoints. It is parsed strictly, and each error names its field.

use std::{net::IpAddr, time::Duration};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Failure;
use crate::source::{Change, DEFAULT_CLUSTER, EndpointId, Health, Lease, Locality, MAX_WEIGHT, Registration};

use axum::http::StatusCode;

/// Bytes of a cluster's name, and of each field of a locality.
const NAME_BYTES: usize = 1024;
/// A shorter lease could expire before its renewal arrives.
const SHORTEST_TTL: Duration = Duration::from_secs(1);
/// A longer lease is taken for a mistake.
const LONGEST_TTL: Duration = Duration::from_secs(366 * 24 * 60 * 60);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenEndpoint {
    id: Option<String>,
    address: String,
    port_value: u64,
    cluster_name: Option<String>,
    weight: Option<u64>,
    health: Option<String>,
    locality: Option<GivenLocality>,
    ttl: Option<GivenTtl>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenLocality {
    #[serde(default)]
    region: String,
    #[serde(default)]
    zone: String,
    #[serde(default)]
    sub_zone: String,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenChange {
    address: Option<String>,
    port_value: Option<u64>,
    cluster_name: Option<String>,
    weight: Option<u64>,
    health: Option<String>,
    ttl: Option<GivenTtl>,
}

/// A duration: seconds, or text like `"1m 30s"`.
#[derive(Deserialize)]
#[serde(untagged)]
enum GivenTtl {
    Seconds(u64),
    Text(String),
}

/// The content of a renewal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Renewal {
    pub(super) change: Change,
    /// The endpoint's place, which a client repeats if it renews with the body of its registration.
    address: Option<String>,
    port_value: Option<u64>,
    cluster_name: Option<String>,
}

// === impl Renewal ===

impl Renewal {
    /// Refuses a renewal whose place differs from the registered one.
    pub(super) fn check(&self, registered: &Registration) -> Result<(), Failure> {
        let elsewhere = |field: &str| {
            Err(Failure::of_field(
                field,
                "differs from the registered value, which cannot change",
            ))
        };
        let place = registered.address;
        if let Some(address) = &self.address
            && address.parse::<IpAddr>().ok() != Some(place.ip())
        {
            return elsewhere("address");
        }
        if self.port_value.is_some_and(|port| port != u64::from(place.port())) {
            return elsewhere("port_value");
        }
        if self
            .cluster_name
            .as_ref()
            .is_some_and(|name| *name != registered.cluster_name)
        {
            return elsewhere("cluster_name");
        }
        Ok(())
    }
}

/// The registration in a body, and the id of the existing endpoint if the body has one.
pub(super) fn registration(body: &[u8]) -> Result<(Registration, Option<EndpointId>), Failure> {
    let given: GivenEndpoint = read(body)?;
    let address: IpAddr = given.address.parse().map_err(|_| {
        let message = format!(
            "{:?} is not an IP address; names of endpoints are not resolved",
            given.address
        );
        Failure::of_field("address", message)
    })?;
    let port = u16::try_from(given.port_value)
        .ok()
        .filter(|port| *port > 0)
        .ok_or_else(|| Failure::of_field("port_value", format!("{} is not between 1 and 65535", given.port_value)))?;
    let cluster_name = given.cluster_name.unwrap_or_else(|| DEFAULT_CLUSTER.to_owned());
    check_name("cluster_name", &cluster_name)?;
    if cluster_name.is_empty() {
        return Err(Failure::of_field("cluster_name", "is empty"));
    }
    let id = given.id.map(|id| {
        id.parse()
            .map_err(|_| Failure::of_field("id", "is not the id of a registration"))
    });
    let registration = Registration {
        weight: given.weight.map(weight).transpose()?,
        health: given.health.as_deref().map(health).transpose()?.unwrap_or_default(),
        locality: given.locality.map(locality).transpose()?.unwrap_or_default(),
        ttl: given.ttl.map(ttl).transpose()?,
        ..Registration::new(cluster_name, address, port)
    };
    Ok((registration, id.transpose()?))
}

/// The renewal in a body; without changes if the body is empty.
pub(super) fn renewal(body: &[u8]) -> Result<Renewal, Failure> {
    let given: GivenChange = if body.trim_ascii().is_empty() {
        GivenChange::default()
    } else {
        read(body)?
    };
    let change = Change {
        weight: given.weight.map(weight).transpose()?,
        health: given.health.as_deref().map(health).transpose()?,
        ttl: given.ttl.map(ttl).transpose()?,
    };
    Ok(Renewal {
        change,
        address: given.address,
        port_value: given.port_value,
        cluster_name: given.cluster_name,
    })
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let read = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let (path, message) = (error.path().to_string(), error.inner().to_string());
        if path == "." {
            Failure::new(StatusCode::BAD_REQUEST, message)
        } else {
            Failure::of_field(path, message)
        }
    })?;
    let end = deserializer.end();
    end.map_err(|error| Failure::new(StatusCode::BAD_REQUEST, error.to_string()))?;
    Ok(read)
}

fn weight(given: u64) -> Result<u32, Failure> {
    let fits = u32::try_from(given)
        .ok()
        .filter(|weight| (1..=MAX_WEIGHT).contains(weight));
    fits.ok_or_else(|| Failure::of_field("weight", format!("{given} is not between 1 and {MAX_WEIGHT}")))
}

fn health(given: &str) -> Result<Health, Failure> {
    let known = given.parse::<Health>();
    known.map_err(|error| Failure::of_field("health", error.to_string()))
}

fn locality(given: GivenLocality) -> Result<Locality, Failure> {
    let GivenLocality { region, zone, sub_zone } = given;
    check_name("locality.region", &region)?;
    check_name("locality.zone", &zone)?;
    check_name("locality.sub_zone", &sub_zone)?;
    Ok(Locality { region, zone, sub_zone })
}

fn ttl(given: GivenTtl) -> Result<Duration, Failure> {
    let ttl = match given {
        GivenTtl::Seconds(seconds) => Duration::from_secs(seconds),
        GivenTtl::Text(text) => humantime::parse_duration(&text).map_err(|error| {
            Failure::of_field("ttl", format!("{text:?}: {error}; expected seconds, or as in \"30s\""))
        })?,
    };
    if !(SHORTEST_TTL..=LONGEST_TTL).contains(&ttl) {
        return Err(Failure::of_field("ttl", "is not between 1 second and 366 days"));
    }
    Ok(ttl)
}

fn check_name(field: &str, name: &str) -> Result<(), Failure> {
    if name.len() > NAME_BYTES || name.chars().any(char::is_control) {
        let message = format!("expected at most {NAME_BYTES} bytes without control characters");
        return Err(Failure::of_field(field, message));
    }
    Ok(())
}

/// The JSON of an endpoint.
pub(super) fn shown(lease: &Lease, now: Instant) -> Value {
    let registration = &lease.endpoint.registration;
    let mut shown = json!({
        "digest": lease.endpoint.digest.to_string(),
        "cluster_name": registration.cluster_name,
        "address": registration.address.ip().to_string(),
        "port_value": registration.address.port(),
        "health": registration.health.as_str(),
    });
    if let Some(weight) = registration.weight {
        shown["weight"] = weight.into();
    }
    if registration.locality != Locality::default() {
        let Locality { region, zone, sub_zone } = &registration.locality;
        shown["locality"] = json!({ "region": region, "zone": zone, "sub_zone": sub_zone });
    }
    if let (Some(ttl), Some(expires)) = (registration.ttl, lease.expires) {
        let left = Duration::from_secs(expires.saturating_duration_since(now).as_secs());
        shown["ttl"] = humantime::format_duration(ttl).to_string().into();
        shown["expires_in"] = humantime::format_duration(left).to_string().into();
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field_of(failure: &Failure) -> String {
        format!("{failure:?}")
    }

    #[test]
    fn the_tutorials_registration_has_defaults_for_the_rest() {
        let read = registration(br#"{"address": "127.0.0.1", "port_value": 8081}"#).unwrap();
        assert_eq!(
            read,
            (Registration::new("myservice", [127, 0, 0, 1].into(), 8081), None)
        );
    }

    #[test]
    fn every_field_is_read() {
        let (read, _) = registration(
            br#"{"address": "::1", "port_value": 1, "cluster_name": "a", "weight": 3, "health": "degraded",
                 "locality": {"zone": "z"}, "ttl": "1m 30s"}"#,
        )
        .unwrap();
        assert_eq!(
            (read.weight, read.health, read.locality.zone.as_str()),
            (Some(3), Health::Degraded, "z")
        );
        assert_eq!(read.ttl, Some(Duration::from_secs(90)));
        assert_eq!(renewal(b"").unwrap(), Renewal::default());
        let renewed = renewal(br#"{"ttl": 5}"#).unwrap();
        assert_eq!(renewed.change.ttl, Some(Duration::from_secs(5)));
    }

    #[test]
    fn a_renewal_may_repeat_the_registered_place_but_not_change_it() {
        let registered = Registration::new("a", [127, 0, 0, 1].into(), 8081);
        let check = |body: &str| renewal(body.as_bytes()).unwrap().check(&registered);
        assert!(check(r#"{"address": "127.0.0.1", "port_value": 8081, "cluster_name": "a", "weight": 2}"#).is_ok());
        for (body, field) in [
            (r#"{"address": "127.0.0.2"}"#, "address"),
            (r#"{"address": "localhost"}"#, "address"),
            (r#"{"port_value": 1}"#, "port_value"),
            (r#"{"cluster_name": "b"}"#, "cluster_name"),
        ] {
            assert!(field_of(&check(body).unwrap_err()).contains(field), "{body}");
        }
    }

    #[test]
    fn every_mistake_names_its_field() {
        for (body, field) in [
            (r#"{"address": "example.com", "port_value": 1}"#, "address"),
            (r#"{"address": "127.0.0.1", "port_value": 70000}"#, "port_value"),
            (r#"{"address": "127.0.0.1", "port_value": 0}"#, "port_value"),
            (r#"{"address": "127.0.0.1", "port_value": "x"}"#, "port_value"),
            (r#"{"address": "127.0.0.1"}"#, "port_value"),
            (r#"{"address": "127.0.0.1", "port_value": 1, "id": "1"}"#, "id"),
            (r#"{"address": "127.0.0.1", "port_value": 1, "wieght": 1}"#, "wieght"),
            (r#"{"address": "127.0.0.1", "port_value": 1, "weight": 0}"#, "weight"),
            (
                r#"{"address": "127.0.0.1", "port_value": 1, "health": "fine"}"#,
                "health",
            ),
            (r#"{"address": "127.0.0.1", "port_value": 1, "ttl": "soon"}"#, "ttl"),
            (r#"{"address": "127.0.0.1", "port_value": 1, "ttl": 0}"#, "ttl"),
            (
                r#"{"address": "127.0.0.1", "port_value": 1, "cluster_name": ""}"#,
                "cluster_name",
            ),
            (
                r#"{"address": "127.0.0.1", "port_value": 1, "locality": {"zone": 1}}"#,
                "locality.zone",
            ),
        ] {
            let failure = registration(body.as_bytes()).unwrap_err();
            assert_eq!(failure.status, StatusCode::BAD_REQUEST);
            assert!(field_of(&failure).contains(field), "{body}: {failure:?}");
        }
        for body in ["", "[]", "{", "address=127.0.0.1"] {
            assert!(registration(body.as_bytes()).is_err(), "{body}");
        }
        assert!(field_of(&renewal(br#"{"id": 1}"#).unwrap_err()).contains("id"));
    }
}
