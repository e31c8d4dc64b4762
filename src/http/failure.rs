//! The answer to a request that cannot be served: a status, and a JSON object with the error.

use axum::{
    extract::rejection::BytesRejection,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value};

use crate::text::escape_json;

/// The reason why a request was not served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) status: StatusCode,
    message: String,
    /// The path of the wrong field, from the root of the request.
    field: Option<String>,
}

// === impl Failure ===

impl Failure {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            field: None,
        }
    }

    /// An error 400 about one field.
    pub(super) fn of_field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::of(StatusCode::BAD_REQUEST, field, message)
    }

    /// An error about one field.
    pub(super) fn of(status: StatusCode, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            field: Some(field.into()),
        }
    }
}

impl From<BytesRejection> for Failure {
    /// Status 413 for a body that is too large, 400 for an incomplete one.
    fn from(rejection: BytesRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut body = Map::new();
        if let Some(field) = self.field {
            body.insert("error".to_owned(), format!("{field}: {}", self.message).into());
            body.insert("field".to_owned(), field.into());
        } else {
            body.insert("error".to_owned(), self.message.into());
        }
        json(self.status, &Value::Object(body))
    }
}

pub(super) fn json(status: StatusCode, body: &Value) -> Response {
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    (status, [kind], escape_json(&format!("{body}\n")).into_owned()).into_response()
}
