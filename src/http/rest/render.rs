//! Renders answers as proto3-JSON from the admitted bytes, once per snapshot. All polls share the result.
//!
//! Fields that our protos do not know cannot be written as JSON and are left out. Admission warns about them.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use axum::body::Bytes;
use prost::Message as _;
use serde_json::{Value, json};

use super::answer::{Answer, Key};
use crate::admission::{self, Secrets};

/// The number of bodies kept, for the types and names that a fleet polls.
const KEPT: usize = 256;
/// Bytes of bodies kept.
const KEPT_BYTES: usize = 64 * 1024 * 1024;

/// The rendered bodies of answers.
#[derive(Debug)]
pub(super) struct Renderings {
    /// `control_plane.identifier` (L-10).
    identifier: String,
    /// Newest last.
    kept: Mutex<VecDeque<(Key, Bytes)>>,
}

/// The error for a resource that cannot be written as JSON.
#[derive(Debug, thiserror::Error)]
pub(super) enum RenderError {
    /// The body is not the admitted message.
    #[error("{0} cannot be decoded: {1}")]
    Decode(String, prost::DecodeError),
    /// The message has no JSON form.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

// === impl Renderings ===

impl Renderings {
    pub(super) fn new(identifier: String) -> Self {
        Self {
            identifier,
            kept: Mutex::default(),
        }
    }

    /// The body, if it was rendered before.
    pub(super) fn find(&self, answer: &Answer) -> Option<Bytes> {
        let key = answer.key();
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.iter().rev().find(|(known, _)| *known == key);
        found.map(|(_, body)| body.clone())
    }

    /// Renders the body and keeps it. Takes some ten microseconds per resource.
    pub(super) fn render(&self, answer: &Answer) -> Result<Bytes, RenderError> {
        let body = Bytes::from(self.body(answer)?);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_back((answer.key(), body.clone()));
        let mut bytes: usize = kept.iter().map(|(_, body)| body.len()).sum();
        while kept.len() > 1 && (kept.len() > KEPT || bytes > KEPT_BYTES) {
            bytes -= kept.pop_front().map_or(0, |(_, body)| body.len());
        }
        Ok(body)
    }

    /// Writes resources one by one: a JSON tree of all of them would be many times their text.
    fn body(&self, answer: &Answer) -> Result<Vec<u8>, RenderError> {
        let head = json!({
            "version_info": answer.version.as_str(),
            "type_url": answer.resource_type.type_url(),
            "control_plane": { "identifier": self.identifier },
        });
        let mut body = serde_json::to_vec(&head)?;
        body.pop();
        body.extend_from_slice(b",\"resources\":[");
        for (index, resource) in answer.resources().iter().enumerate() {
            if index > 0 {
                body.push(b',');
            }
            let any = prost_types::Any::decode(resource.body.clone());
            let any = any.map_err(|error| RenderError::Decode(resource.name.to_string(), error))?;
            let value: Value = admission::to_json(&any, Secrets::Show);
            serde_json::to_writer(&mut body, &value)?;
        }
        body.extend_from_slice(b"]}");
        Ok(body)
    }
}
