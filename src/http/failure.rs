//! What a request that cannot be served is answered: a status, and a JSON object that says why.

use axum::{
    extract::rejection::BytesRejection,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value};

use crate::text::escape_json;

/// Why a request was not served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) status: StatusCode,
    message: String,
    /// The field of the request that is wrong, as a path from its root.
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

    /// 400 for one field.
    pub(super) fn of_field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::of(StatusCode::BAD_REQUEST, field, message)
    }

    /// A status for one field.
    pub(super) fn of(status: StatusCode, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            field: Some(field.into()),
        }
    }
}

impl From<BytesRejection> for Failure {
    /// A body that is too large is 413, one that breaks off 400.
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

/// A JSON value as a response.
pub(super) fn json(status: StatusCode, body: &Value) -> Response {
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    (status, [kind], escape_json(&format!("{body}\n")).into_owned()).into_response()
}
