//! `GET /metrics`: the metrics in Prometheus formats.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use tracing::error;

use super::{Failure, Port};
use crate::metrics::Format;

/// OpenMetrics if the reader accepts it, else the classic text. On a blocking thread, since many nodes take time.
pub(super) async fn show(State(port): State<Port>, headers: HeaderMap) -> Result<Response, Failure> {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let format = Format::accepted(accept.unwrap_or_default());
    let metrics = Arc::clone(&port.metrics);
    let rendered = port.tracker.spawn_blocking(move || metrics.render(format)).await;
    match rendered {
        Ok(Ok(text)) => {
            let kind = (header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
            Ok(([kind], text).into_response())
        }
        broken => {
            error!(?broken, "metrics could not be written");
            Err(Failure::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "metrics could not be written",
            ))
        }
    }
}
