//! Access to the admin port: the right that each RPC needs, and the layer in front of all services that checks it.
//!
//! The layer knows only the path. Services check roles in groups with the [`Caller`] that the layer adds to the
//! request.

use axum::{
    extract::{Request as HttpRequest, State},
    middleware::Next,
    response::Response,
};
use http::{Extensions, HeaderMap, HeaderValue, header, request::Parts};
use tonic::{Code, Request, Status, transport::server::TcpConnectInfo};
use tracing::warn;

use super::watched::Watched;
use crate::{
    access::{AdminReach, Denial, Right, Role},
    audit::Event,
    authority::{Authority, Purpose, Unverified, Visitor},
    connection::Connection,
    metrics::PortLabel,
};

/// The right that each RPC of the port needs.
const RIGHTS: &[(&str, Right)] = &[
    ("/chancery.admin.v1.SnapshotService/ReplaceSnapshot", Right::Publish),
    ("/chancery.admin.v1.SnapshotService/PatchSnapshot", Right::Publish),
    ("/chancery.admin.v1.SnapshotService/DeleteSnapshot", Right::Publish),
    ("/chancery.admin.v1.SnapshotService/RollbackSnapshot", Right::Publish),
    ("/chancery.admin.v1.SnapshotService/GetSnapshot", Right::Read),
    ("/chancery.admin.v1.SnapshotService/ListSnapshots", Right::Read),
    ("/chancery.admin.v1.SnapshotService/ListRevisions", Right::Read),
    ("/chancery.admin.v1.SnapshotService/GetRevision", Right::Read),
    ("/chancery.admin.v1.SnapshotService/DiffSnapshot", Right::Read),
    ("/chancery.admin.v1.SnapshotService/WatchSnapshots", Right::Read),
    ("/chancery.admin.v1.NodeService/ListNodes", Right::Read),
    ("/chancery.admin.v1.NodeService/GetNode", Right::Read),
    ("/chancery.admin.v1.NodeService/WatchNodes", Right::Read),
    ("/chancery.admin.v1.SourceService/ListSources", Right::Read),
    // A backup includes every secret.
    ("/chancery.admin.v1.StoreService/Backup", Right::Administer),
    (
        "/envoy.service.status.v3.ClientStatusDiscoveryService/StreamClientStatus",
        Right::Read,
    ),
    (
        "/envoy.service.status.v3.ClientStatusDiscoveryService/FetchClientStatus",
        Right::Read,
    ),
    ("/grpc.health.v1.Health/Check", Right::Open),
    ("/grpc.health.v1.Health/Watch", Right::Open),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Right::Read),
    (
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        Right::Read,
    ),
];

/// The caller of an RPC, with its roles.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    authority: Authority,
    visitor: Visitor,
    reach: AdminReach,
    action: &'static str,
    right: Right,
}

/// Checks the right of a call; passes it to its service with its [`Caller`], or refuses it.
pub(super) async fn check(State(authority): State<Authority>, request: HttpRequest, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    match caller(authority, &parts).await {
        Ok(caller) => {
            let still = caller.clone();
            parts.extensions.insert(caller);
            let response = next.run(HttpRequest::from_parts(parts, body)).await;
            if still.right.role().is_none() || !still.authority.restricts_admin() {
                return response;
            }
            response.map(|body| Watched::body(body, move || still.check_again()))
        }
        Err(status) => status.into_http(),
    }
}

/// Refuses requests that a web page could send with a certificate of the browser. Such a request has an `Origin`, and a
/// page cannot send gRPC without a CORS preflight, which is never granted.
fn of_program(headers: &HeaderMap) -> Result<(), Status> {
    let content_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let is_grpc = content_type.is_some_and(|given| given.starts_with(b"application/grpc"));
    if is_grpc && !headers.contains_key(header::ORIGIN) {
        return Ok(());
    }
    Err(Status::permission_denied(
        "pages of a browser are not served: calls have the content-type application/grpc and no origin",
    ))
}

async fn caller(authority: Authority, parts: &Parts) -> Result<Caller, Status> {
    let known = RIGHTS.iter().find(|(known, _)| *known == parts.uri.path());
    let (action, right) = *known.ok_or_else(|| Status::unimplemented("no such method on the admin port"))?;
    of_program(&parts.headers)?;
    let extensions = &parts.extensions;
    let authorization = parts.headers.get(header::AUTHORIZATION);
    let authorization = authorization.map(|value| value.to_str().unwrap_or_default());
    let identified = authority
        .identify(
            PortLabel::Admin,
            Purpose::Call,
            &peer(extensions),
            extensions.get::<Connection>(),
            // A call that needs no right needs no credentials.
            authorization.filter(|_| right.role().is_some()),
            action,
        )
        .await;
    let visitor = identified.map_err(|error| of_unverified(&error))?;
    match authority.caller(&visitor, right) {
        Ok(reach) => {
            let caller = Caller {
                authority,
                visitor,
                reach,
                action,
                right,
            };
            if right == Right::Administer {
                caller.audit("", None, "");
            }
            Ok(caller)
        }
        Err(denial) => Err(refuse(&authority, &visitor, action, "", &denial)),
    }
}

fn peer(extensions: &Extensions) -> String {
    let connection = extensions.get::<Connection>().map(|connection| connection.peer);
    let plain = || extensions.get::<TcpConnectInfo>().and_then(TcpConnectInfo::remote_addr);
    connection
        .or_else(plain)
        .map_or_else(|| "unknown".to_owned(), |peer| peer.to_string())
}

fn refuse(authority: &Authority, visitor: &Visitor, action: &str, group: &str, denial: &Denial) -> Status {
    warn!(peer = %visitor.from, action, group, %denial, "call refused");
    let event = Event {
        action,
        group,
        ..Event::default()
    };
    authority.refused(visitor, denial.into(), denial, event);
    let code = if denial.is_of_credentials() {
        Code::Unauthenticated
    } else {
        Code::PermissionDenied
    };
    Status::new(code, denial.to_string())
}

fn of_unverified(error: &Unverified) -> Status {
    let code = match error {
        Unverified::Busy => Code::ResourceExhausted,
        Unverified::Bearer(_) | Unverified::Token | Unverified::Jwt(_) | Unverified::Kind | Unverified::Certificate => {
            Code::Unauthenticated
        }
    };
    Status::new(code, error.to_string())
}

// === impl Caller ===

impl Caller {
    pub(super) fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        // Every service is behind the layer; without it, every call is refused.
        let caller = request.extensions().get::<Self>();
        caller.cloned().ok_or_else(|| Status::internal("the caller is unknown"))
    }

    /// Checks that the caller has a role in a group.
    pub(super) fn check(&self, role: Role, group: &str) -> Result<(), Status> {
        let checked = self.visitor.check(&self.reach, role, group);
        checked.map_err(|denial| refuse(&self.authority, &self.visitor, self.action, group, &denial))
    }

    /// Checks the right again during a call: credentials may have expired, and the rules may have changed.
    fn check_again(&self) -> Result<(), Status> {
        let checked = self.authority.caller(&self.visitor, self.right).map(drop);
        checked.map_err(|denial| refuse(&self.authority, &self.visitor, self.action, "", &denial))
    }

    /// The author of the caller's publishes: the verified identity, followed by the name that the caller gave.
    pub(super) fn author(&self, given: &str) -> String {
        match (self.visitor.name(), given) {
            (verified, "") => verified,
            (verified, given) if verified.is_empty() => given.to_owned(),
            (verified, given) => format!("{verified} (as {given})"),
        }
    }

    /// Audits an allowed call with its outcome.
    pub(super) fn audit(&self, group: &str, revision: Option<u64>, outcome: &str) {
        self.audit_given(group, revision, outcome, "");
    }

    /// Like [`Caller::audit`], with the author that the caller gave.
    pub(super) fn audit_given(&self, group: &str, revision: Option<u64>, outcome: &str, given_author: &str) {
        let event = Event {
            action: self.action,
            group,
            revision,
            given_author,
            allowed: true,
            reason: outcome,
            ..Event::default()
        };
        self.authority.audit(&self.visitor, event);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::proto::descriptors;

    /// The RPCs of the services on the port.
    fn served() -> BTreeSet<String> {
        let pool = descriptors();
        let admin = pool
            .services()
            .filter(|service| service.package_name() == "chancery.admin.v1");
        let csds = pool.get_service_by_name("envoy.service.status.v3.ClientStatusDiscoveryService");
        let ours = admin.chain(csds).flat_map(|service| {
            let name = service.full_name().to_owned();
            service
                .methods()
                .map(|method| format!("/{name}/{}", method.name()))
                .collect::<Vec<_>>()
        });
        let theirs = [
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ];
        let theirs = theirs.into_iter().flat_map(|set| {
            let pool = prost_reflect::DescriptorPool::decode(set).unwrap();
            let paths = |service: prost_reflect::ServiceDescriptor| {
                let name = service.full_name().to_owned();
                service
                    .methods()
                    .map(|method| format!("/{name}/{}", method.name()))
                    .collect::<Vec<_>>()
            };
            pool.services().flat_map(paths).collect::<Vec<_>>()
        });
        ours.chain(theirs).collect()
    }

    #[test]
    fn every_rpc_of_the_port_has_its_right_and_nothing_else_has_one() {
        let listed: BTreeSet<String> = RIGHTS.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(listed.len(), RIGHTS.len(), "no RPC is listed twice");
        assert_eq!(listed, served());
    }

    #[test]
    fn only_health_is_open() {
        for (path, right) in RIGHTS {
            assert_eq!(*right == Right::Open, path.starts_with("/grpc.health."), "{path}");
        }
    }

    #[test]
    fn calls_that_change_state_need_more_than_read() {
        for (path, right) in RIGHTS {
            let method = path.rsplit('/').next().unwrap();
            let reads = ["Get", "List", "Diff", "Watch", "Fetch", "Stream", "Check", "Server"];
            let is_read = reads.iter().any(|verb| method.starts_with(verb));
            assert_eq!(matches!(right, Right::Read | Right::Open), is_read, "{path}");
        }
    }
}
