//! One poll, from its JSON: proto names and lowerCamelCase alike (H-1), and fields that we do not know are no mistake, since
//! a node may be newer than our protos.

use axum::http::StatusCode;
use prost_reflect::{DeserializeOptions, DynamicMessage};
use serde_json::Value;

use super::Failure;
use crate::{
    proto::{self, discovery::DiscoveryRequest},
    protocol::{ProtocolError, StreamLimits},
    resource::{ResourceName, ResourceType, Version},
};

const WILDCARD: &str = "*";

/// What a node asks for, and what it has.
#[derive(Clone, Debug)]
pub(super) struct Poll {
    pub(super) resource_type: ResourceType,
    /// `None` for all: without a stream an empty list always means that (H-6). Sorted, each once.
    pub(super) names: Option<Vec<ResourceName>>,
    /// The version that it accepted last; empty before the first.
    pub(super) presented: Version,
    /// Code and message of `error_detail`; Envoy never sends one over REST (H-4).
    pub(super) refusal: Option<(i32, String)>,
}

/// Reads the body. A `type_url` must be that of the path (H-2).
pub(super) fn parse(body: &[u8], kind: &ResourceType) -> Result<DiscoveryRequest, Failure> {
    let malformed = |error: &dyn std::fmt::Display| {
        let message = format!("the body is no DiscoveryRequest in JSON: {error}");
        Failure::new(StatusCode::BAD_REQUEST, message)
    };
    let mut json: Value = serde_json::from_slice(body).map_err(|error| malformed(&error))?;
    drop_error_details(&mut json);
    let descriptor = proto::descriptors()
        .get_message_by_name("envoy.service.discovery.v3.DiscoveryRequest")
        .expect("Envoy's protos have a DiscoveryRequest");
    let options = DeserializeOptions::new().deny_unknown_fields(false);
    let message = DynamicMessage::deserialize_with_options(descriptor, json, &options);
    let message = message.map_err(|error| malformed(&error))?;
    let request: DiscoveryRequest = message.transcode_to().map_err(|error| malformed(&error))?;
    if !request.type_url.is_empty() && request.type_url != kind.type_url() {
        let foreign = ProtocolError::ForeignType(request.type_url, kind.clone());
        return Err(Failure::of_field("type_url", foreign.to_string()));
    }
    Ok(request)
}

/// The details of an error are messages of any type, known here or not, and nobody reads them.
fn drop_error_details(json: &mut Value) {
    for field in ["error_detail", "errorDetail"] {
        if let Some(Value::Object(error)) = json.get_mut(field) {
            error.remove("details");
        }
    }
}

/// The names that are asked for, sorted; `None` for all.
pub(super) fn names(mut names: Vec<String>, limits: &StreamLimits) -> Result<Option<Vec<ResourceName>>, Failure> {
    let invalid = |message: String| Failure::of_field("resource_names", message);
    if names.len() > limits.names_per_type {
        return Err(invalid(format!("more than {} names", limits.names_per_type)));
    }
    if let Some(name) = names.iter().find(|name| name.len() > limits.name_bytes) {
        return Err(invalid(
            ProtocolError::NameTooLong(name.len(), limits.name_bytes).to_string(),
        ));
    }
    if names.is_empty() || names.iter().any(|name| name == WILDCARD) {
        return Ok(None);
    }
    names.sort_unstable();
    names.dedup();
    Ok(Some(names.into_iter().map(ResourceName::from).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<DiscoveryRequest, Failure> {
        parse(body.as_bytes(), &ResourceType::Endpoint)
    }

    #[test]
    fn proto_names_and_camel_case_are_read_alike() {
        let url = ResourceType::Endpoint.type_url();
        for body in [
            format!(r#"{{"version_info": "1", "resource_names": ["a"], "type_url": "{url}", "node": {{"id": "n"}}}}"#),
            format!(r#"{{"versionInfo": "1", "resourceNames": ["a"], "typeUrl": "{url}", "node": {{"id": "n"}}}}"#),
        ] {
            let request = read(&body).unwrap();
            assert_eq!(
                (request.version_info.as_str(), request.resource_names),
                ("1", vec!["a".to_owned()])
            );
            assert_eq!(request.node.unwrap().id, "n");
        }
    }

    #[test]
    fn what_is_newer_or_nobodys_business_is_passed_over() {
        let body = r#"{"node": {"id": "n", "some_new_field": {"a": 1}},
            "error_detail": {"code": 13, "message": "no", "details": [{"@type": "type.googleapis.com/no.Such", "x": 1}]}}"#;
        let request = read(body).unwrap();
        assert_eq!(request.error_detail.unwrap().message, "no");
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let foreign = format!(r#"{{"type_url": "{}"}}"#, ResourceType::Cluster.type_url());
        for body in ["", "[]", "{", "null", r#"{"resource_names": "a"}"#, &foreign] {
            assert_eq!(read(body).unwrap_err().status, StatusCode::BAD_REQUEST, "{body}");
        }
    }

    #[test]
    fn an_empty_list_and_a_star_are_everything() {
        let limits = StreamLimits::default();
        let asked = |given: &[&str]| names(given.iter().map(|name| (*name).to_owned()).collect(), &limits).unwrap();
        assert_eq!(asked(&[]), None);
        assert_eq!(asked(&["a", "*"]), None);
        assert_eq!(asked(&["b", "a", "b"]), Some(vec!["a".into(), "b".into()]));
        assert!(names(vec!["x".repeat(limits.name_bytes + 1)], &limits).is_err());
    }
}
