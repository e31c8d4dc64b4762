//! The JSON of a poll. Reads proto names and lowerCamelCase (H-1), and ignores fields that our protos do not know.

use axum::http::StatusCode;
use prost_reflect::{DeserializeOptions, DynamicMessage};
use serde_json::Value;

use super::Failure;
use crate::{
    proto::{self, discovery::DiscoveryRequest},
    protocol::{ProtocolError, StreamLimits},
    resource::{ResourceName, ResourceType, Version},
    text::{head, without_secrets},
};

const WILDCARD: &str = "*";

/// The names that a node asks for, and the version that it has.
#[derive(Clone, Debug)]
pub(super) struct Poll {
    pub(super) resource_type: ResourceType,
    /// `None` for all resources: without a stream, an empty list always means all (H-6). Sorted, without duplicates.
    pub(super) names: Option<Vec<ResourceName>>,
    /// The last version that the node accepted; empty before the first.
    pub(super) presented: Version,
    /// Code and message of `error_detail`; Envoy never sends one over REST (H-4).
    pub(super) refusal: Option<(i32, String)>,
}

/// The fields of a node that are used, in both spellings.
const USED: [&str; 12] = [
    "id",
    "cluster",
    "metadata",
    "locality",
    "user_agent_name",
    "userAgentName",
    "user_agent_version",
    "userAgentVersion",
    "user_agent_build_version",
    "userAgentBuildVersion",
    "client_features",
    "clientFeatures",
];

/// Parses the body. A `type_url` must match the path (H-2).
pub(super) fn parse(body: &[u8], kind: &ResourceType, limits: &StreamLimits) -> Result<DiscoveryRequest, Failure> {
    let malformed = |error: &dyn std::fmt::Display| {
        let message = format!("the body is not a DiscoveryRequest in JSON: {error}");
        Failure::new(StatusCode::BAD_REQUEST, message)
    };
    let mut json: Value = serde_json::from_slice(body).map_err(|error| malformed(&error))?;
    drop_error_details(&mut json);
    drop_unused(&mut json, limits.node_bytes)?;
    let descriptor = proto::descriptors()
        .get_message_by_name("envoy.service.discovery.v3.DiscoveryRequest")
        .expect("Envoy's protos have a DiscoveryRequest");
    let options = DeserializeOptions::new().deny_unknown_fields(false);
    let message = DynamicMessage::deserialize_with_options(descriptor, json, &options);
    let message = message.map_err(|error| malformed(&error))?;
    let mut request: DiscoveryRequest = message.transcode_to().map_err(|error| malformed(&error))?;
    if let Some(error) = &mut request.error_detail {
        // Up to one more character, so that a later cut can see that text is missing.
        let message = head(&error.message, limits.error_bytes.saturating_add(4));
        error.message = without_secrets(message).into_owned();
    }
    if !request.type_url.is_empty() && request.type_url != kind.type_url() {
        let foreign = ProtocolError::ForeignType(request.type_url, kind.clone());
        return Err(Failure::of_field("type_url", foreign.to_string()));
    }
    Ok(request)
}

/// Drops the details of an error: messages of any type, which nobody reads.
fn drop_error_details(json: &mut Value) {
    for field in ["error_detail", "errorDetail"] {
        if let Some(Value::Object(error)) = json.get_mut(field) {
            error.remove("details");
        }
    }
}

/// Drops the node's unused fields: its extensions are many times the rest.
fn drop_unused(json: &mut Value, most: usize) -> Result<(), Failure> {
    let Some(Value::Object(node)) = json.get_mut("node") else {
        return Ok(());
    };
    node.retain(|field, _| USED.contains(&field.as_str()));
    let len = node.values().map(written).fold(0, usize::saturating_add);
    if len > most {
        let message = format!("the used part is {len} bytes long, more than {most}");
        return Err(Failure::of(StatusCode::PAYLOAD_TOO_LARGE, "node", message));
    }
    Ok(())
}

/// The approximate size of a value in bytes. The parser limits the recursion.
fn written(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
        Value::String(text) => text.len() + 8,
        Value::Array(values) => values.iter().map(written).sum::<usize>() + 8,
        Value::Object(fields) => {
            fields
                .iter()
                .map(|(name, value)| name.len() + 8 + written(value))
                .sum::<usize>()
                + 8
        }
    }
}

/// The requested names, sorted; `None` for all.
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
        parse(body.as_bytes(), &ResourceType::Endpoint, &StreamLimits::default())
    }

    #[test]
    fn nodes_that_hold_too_much_are_refused_except_in_unused_fields() {
        let empty = "{},".repeat(30_000);
        let extensions = format!(r#"{{"node": {{"id": "n", "extensions": [{empty}{{}}]}}}}"#);
        assert!(read(&extensions).unwrap().node.unwrap().extensions.is_empty());
        for field in ["metadata", "client_features"] {
            let list = "\"\",".repeat(10_000);
            let value = match field {
                "metadata" => format!(r#"{{"a": [{list}""]}}"#),
                _ => format!(r#"[{list}""]"#),
            };
            let failure = read(&format!(r#"{{"node": {{"id": "n", "{field}": {value}}}}}"#)).unwrap_err();
            assert_eq!(failure.status, StatusCode::PAYLOAD_TOO_LARGE, "{failure:?}");
        }
    }

    #[test]
    fn long_messages_of_a_nack_are_cut() {
        let body = format!(r#"{{"error_detail": {{"message": "{}"}}}}"#, "é".repeat(200_000));
        let message = read(&body).unwrap().error_detail.unwrap().message;
        assert_eq!(message.len(), StreamLimits::default().error_bytes + 4);
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
    fn unknown_fields_and_error_details_are_ignored() {
        let body = r#"{"node": {"id": "n", "some_new_field": {"a": 1}},
            "error_detail": {"code": 13, "message": "no", "details": [{"@type": "type.googleapis.com/no.Such", "x": 1}]}}"#;
        let request = read(body).unwrap();
        assert_eq!(request.error_detail.unwrap().message, "no");
    }

    #[test]
    fn a_body_that_is_not_a_request_is_refused() {
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
