//! The unary `Fetch*` RPCs: one request, the current state.
//!
//! They answer in full whatever version the request presents: there is no gRPC status for "not modified" that clients
//! would not take for a failure (H-7).

use std::{sync::Arc, time::Instant};

use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use tokio_stream::StreamExt as _;
use tonic::{Status, Streaming, body::Body, codec::Codec as _};
use tonic_prost::ProstCodec;

use super::{
    answer::{check_headers, refuse, respond},
    frame::Chunks,
    shared::Shared,
    status::trailers,
};
use crate::{
    proto::discovery::DiscoveryRequest,
    protocol::{Delivery, Nonce, Response as Answer, Scope, Session, Variant},
};

/// Answers one request.
pub(super) async fn fetch(shared: &Arc<Shared>, scope: Scope, request: Request<Body>) -> Response<Body> {
    match answer(shared, scope, request).await {
        Ok(chunks) => {
            let end: HeaderMap = trailers(&Status::ok(""));
            let frames = chunks.map(Frame::data).chain([Frame::trailers(end)]);
            let body = StreamBody::new(tokio_stream::iter(frames.map(Ok::<_, Status>)));
            respond(Body::new(body.boxed()))
        }
        Err(status) => refuse(&status),
    }
}

async fn answer(shared: &Arc<Shared>, scope: Scope, request: Request<Body>) -> Result<Chunks, Status> {
    check_headers(request.headers())?;
    let decoder = ProstCodec::<DiscoveryRequest, DiscoveryRequest>::default().decoder();
    let most = Some(shared.limits.request_bytes);
    let mut requests = Streaming::new_request(decoder, request.into_body(), None, most);
    let mut request = requests
        .next()
        .await
        .ok_or_else(|| Status::invalid_argument("the request is empty"))??;
    let (node, group) = shared.identify(request.node.take())?;
    // H-6: without a stream an empty list always means "all".
    if request.resource_names.is_empty() && request.resource_locators.is_empty() {
        request.resource_names.push("*".to_owned());
    }
    request.version_info.clear();
    request.response_nonce.clear();
    request.error_detail = None;

    let Scope::Single(kind) = scope.clone() else {
        return Err(Status::unimplemented("ADS has no unary form"));
    };
    let policy = Arc::clone(shared.policies.common());
    let mut session = Session::new(
        Variant::Sotw,
        scope,
        policy,
        shared.process.as_str().into(),
        node.id.to_string(),
    );
    session.on_request(&(&request).into())?;
    let snapshot = shared.cache.get(&group);
    let resources = snapshot.as_ref().and_then(|snapshot| snapshot.get(&kind));
    let (Some(snapshot), Some(resources)) = (&snapshot, resources) else {
        // Never empty: that would delete everything (S-9).
        return Err(Status::unavailable(format!("group \"{group}\" has no snapshot yet")));
    };
    session.on_snapshot(Arc::clone(snapshot));
    let nothing = || {
        Answer::empty(Delivery {
            resource_type: kind.clone(),
            version: resources.version().clone(),
            nonce: Nonce::from(String::new()),
            revision: snapshot.revision(),
        })
    };
    let answer = session.poll_response(Instant::now()).unwrap_or_else(nothing);
    Ok(shared.frames.encode(Variant::Sotw, &answer))
}
