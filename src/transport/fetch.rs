//! The unary `Fetch*` RPCs: one request is answered with the current state.
//!
//! The answer is complete whatever version the request presents: clients would take any gRPC status for "not modified"
//! as a failure (H-7).

use std::{future::poll_fn, net::SocketAddr, sync::Arc, time::Instant};

use http::{HeaderMap, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use tokio::time::timeout;
use tonic::{Status, body::Body};

use super::{
    answer::{check_headers, refuse, respond},
    error::RequestError,
    frame::Chunks,
    lanes::LARGE,
    peer, request,
    shared::Shared,
    status::trailers,
};
use crate::{
    authority::Visitor,
    protocol::{Delivery, Nonce, Request, Response as Answer, Scope, Session, Variant},
    resource::ResourceType,
};

/// Answers one request.
pub(super) async fn fetch(
    shared: &Arc<Shared>,
    scope: Scope,
    action: &Arc<str>,
    request: http::Request<Body>,
) -> Response<Body> {
    match answer(shared, scope, action, request).await {
        Ok(chunks) => {
            let end: HeaderMap = trailers(&Status::ok(""));
            let frames = chunks.map(Frame::data).chain([Frame::trailers(end)]);
            let body = StreamBody::new(tokio_stream::iter(frames.map(Ok::<_, Status>)));
            respond(Body::new(body.boxed()))
        }
        Err(status) => refuse(&status),
    }
}

async fn answer(
    shared: &Arc<Shared>,
    scope: Scope,
    action: &Arc<str>,
    request: http::Request<Body>,
) -> Result<Chunks, Status> {
    check_headers(request.headers())?;
    let peer = peer::address(request.extensions());
    // Counts the call as an open stream until its end.
    let _permit = shared.admit(peer)?;
    let visitor = shared.visitor(request.extensions(), request.headers(), action).await?;
    let mut messages = shared.messages(request.into_body(), peer, shared.limits.request_bytes);
    let message = timeout(shared.limits.first_request, poll_fn(|cx| messages.poll_next(cx))).await;
    let message = message.map_err(|_| Status::deadline_exceeded("no request came"))?;
    let message = message.ok_or_else(|| Status::invalid_argument("the request is empty"))?;
    let message = message.inspect_err(|broken| shared.note_broken(broken))?;
    let work = || answer_to(shared, scope, action, &visitor, peer, &message);
    if message.len() < LARGE {
        return work();
    }
    shared.lanes.wait().await.run(work)
}

/// The answer to an encoded request.
fn answer_to(
    shared: &Arc<Shared>,
    scope: Scope,
    action: &Arc<str>,
    visitor: &Visitor,
    peer: Option<SocketAddr>,
    message: &[u8],
) -> Result<Chunks, Status> {
    let limits = &shared.policies.common().limits;
    let noted = |error: &RequestError| shared.note_refused(error);
    let incoming = request::read(Variant::Sotw, message, limits).inspect_err(noted)?;
    let (node, group) = shared.identify(incoming.decode_node(limits).inspect_err(noted)?)?;
    let admitted = shared.authority.admit(visitor, &node.id, &group, action)?;
    let request = unary(incoming.request);

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
    let mut account = shared.account(peer);
    let room = account.reserve(&kind, &session, &request).map_err(RequestError::from);
    let room = room.inspect_err(noted)?;
    session.on_request(&request)?;
    drop(room);
    let settled = account.settle(&kind, &session, &request).map_err(RequestError::from);
    settled.inspect_err(noted)?;
    if kind == ResourceType::Secret {
        shared.authority.note_secrets(&admitted, request.names.to_vec(), action);
    }
    let snapshot = shared.cache.get(&group);
    let snapshot = snapshot.map(|snapshot| shared.authority.view(snapshot, &admitted));
    let resources = snapshot.as_ref().and_then(|snapshot| snapshot.get(&kind));
    let (Some(snapshot), Some(resources)) = (&snapshot, resources) else {
        // An error, never an empty answer: an empty answer would delete everything (S-9).
        return Err(Status::unavailable(format!("group \"{group}\" has no snapshot yet")));
    };
    // Without its own group, a node may hold more than the shared group has (S-20).
    if !session.is_complete(&kind, snapshot) {
        return Err(Status::unavailable(format!(
            "group \"{group}\" has no snapshot of its own yet"
        )));
    }
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

/// The request as the first of a stream. Without a stream, an empty list always means "all" (H-6).
fn unary(request: Request<'_>) -> Request<'_> {
    let names = if request.names.is_empty() {
        vec!["*"].into()
    } else {
        request.names
    };
    Request {
        names,
        version: "",
        nonce: "",
        error: None,
        ..request
    }
}
