//! Labels: closed sets of values, each with its text. No value comes from a client or an operator.

use super::table::Label;
use crate::resource::ResourceType;

/// Declares an enum whose variants are the values of one label.
macro_rules! label {
    ($(#[$doc:meta])* $name:ident = $key:literal { $($(#[$variant_doc:meta])* $variant:ident => $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl Label for $name {
            const KEY: &'static str = $key;
            const ALL: &'static [Self] = &[$(Self::$variant,)+];

            fn text(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }

            fn index(self) -> usize {
                self as usize
            }
        }
    };
}

// After the macro, which the module uses.
mod publishing;

pub use self::publishing::{Change, FolderLabel, Operation, PublishOutcome, Severity};

label! {
    /// The protocol of a client.
    Protocol = "protocol" {
        /// A SotW stream.
        Sotw => "sotw",
        /// A delta stream.
        Delta => "delta",
        /// Polls over REST.
        Rest => "rest",
    }
}

label! {
    /// The type of a resource.
    TypeLabel = "type" {
        /// CDS.
        Cluster => "cluster",
        /// EDS.
        Endpoint => "endpoint",
        /// LEDS.
        LbEndpoint => "lb_endpoint",
        /// LDS.
        Listener => "listener",
        /// RDS.
        Route => "route",
        /// SRDS.
        ScopedRoute => "scoped_route",
        /// VHDS.
        VirtualHost => "virtual_host",
        /// SDS.
        Secret => "secret",
        /// RTDS.
        Runtime => "runtime",
        /// ECDS.
        ExtensionConfig => "extension_config",
        /// All other types. Clients name types, so they share one series.
        Other => "other",
    }
}

label! {
    /// The reason why a stream was refused.
    Refusal = "reason" {
        /// Too many streams begin at once.
        Rate => "rate",
        /// Too many streams of one address begin at once.
        PeerRate => "peer_rate",
        /// Too many streams are open.
        Streams => "streams",
        /// The memory in use exceeds the budget.
        Memory => "memory",
        /// The process shuts down.
        Shutdown => "shutdown",
        /// The client sends compressed messages.
        Encoding => "encoding",
        /// The client's credentials are missing or not valid.
        Identity => "identity",
        /// The client's identity has too many open streams.
        IdentityStreams => "identity_streams",
    }
}

label! {
    /// The reason why a request beyond a limit was refused.
    RequestRefusal = "reason" {
        /// The request is too large, or has too many or too long fields.
        Limit => "limit",
        /// Too many bytes of unfinished requests are under way.
        Unfinished => "unfinished",
        /// The subscribed names of all streams use too many bytes.
        Subscribed => "subscribed",
        /// The memory in use exceeds the budget, so polls are refused.
        Memory => "memory",
        /// The request was unfinished for too long.
        Slow => "slow",
    }
}

label! {
    /// The gRPC status with which a stream ended. The index of a variant is its code.
    StatusCode = "code" {
        /// The client ended the stream.
        Ok => "ok",
        /// The stream was cancelled.
        Cancelled => "cancelled",
        /// The error is unknown.
        Unknown => "unknown",
        /// A request was not valid.
        InvalidArgument => "invalid_argument",
        /// A deadline passed.
        DeadlineExceeded => "deadline_exceeded",
        /// Something was not found.
        NotFound => "not_found",
        /// Something exists already.
        AlreadyExists => "already_exists",
        /// The client may not do this.
        PermissionDenied => "permission_denied",
        /// A limit was reached.
        ResourceExhausted => "resource_exhausted",
        /// The state does not allow the call.
        FailedPrecondition => "failed_precondition",
        /// The call was aborted.
        Aborted => "aborted",
        /// A value is out of range.
        OutOfRange => "out_of_range",
        /// The method does not exist.
        Unimplemented => "unimplemented",
        /// The server failed.
        Internal => "internal",
        /// The server is not available.
        Unavailable => "unavailable",
        /// Data was lost.
        DataLoss => "data_loss",
        /// The client is not authenticated.
        Unauthenticated => "unauthenticated",
        /// The connection broke, or the client left without ending the stream.
        Dropped => "dropped",
    }
}

label! {
    /// The HTTP status of a poll over REST.
    PollLabel = "status" {
        /// The poll was answered with resources.
        Answered => "200",
        /// The poll presented the current version.
        NotModified => "304",
        /// The poll is not valid.
        BadRequest => "400",
        /// The client is not authenticated.
        Unauthorized => "401",
        /// The client may not be this node.
        Forbidden => "403",
        /// No requested name exists, or REST is off.
        NotFound => "404",
        /// The poll is too large.
        TooLarge => "413",
        /// A limit was reached.
        TooMany => "429",
        /// The answer could not be rendered.
        Broken => "500",
        /// There is no snapshot yet, or no memory.
        Unavailable => "503",
        /// Any other status.
        Other => "other",
    }
}

label! {
    /// The state of a node.
    NodeLabel = "state" {
        /// The node has an open stream or polls.
        Connected => "connected",
        /// The node left and is still remembered.
        Gone => "gone",
    }
}

label! {
    /// The reason why the guard of the HTTP port refused a request.
    HttpRefusal = "reason" {
        /// A browser sent the request for a page of another site.
        Origin => "origin",
        /// The request's `Host` is not a name of the port.
        Host => "host",
        /// The body is not declared as JSON.
        ContentType => "content_type",
    }
}

label! {
    /// A port of the process.
    PortLabel = "port" {
        /// xDS over gRPC.
        Xds => "xds",
        /// The admin API.
        Admin => "admin",
        /// HTTP.
        Http => "http",
        /// Probes and metrics.
        Probe => "probe",
    }
}

label! {
    /// The part of the process that panicked.
    PanicPart = "part" {
        /// A stream or call of xDS.
        Xds => "xds",
        /// A call of the admin API.
        Admin => "admin",
        /// A request to the HTTP port.
        Http => "http",
        /// A probe.
        Probe => "probe",
        /// A task of the process.
        Task => "task",
    }
}

label! {
    /// The reason why a connection was closed at once.
    ConnectionRefusal = "reason" {
        /// There are too many connections.
        Connections => "connections",
        /// The peer has too many connections.
        Peer => "peer",
    }
}

label! {
    /// The reason why a TLS handshake failed.
    HandshakeFailure = "reason" {
        /// The handshake took too long.
        Timeout => "timeout",
        /// The peer left or did not speak TLS.
        Closed => "closed",
        /// The client sent no certificate.
        NoCertificate => "no_certificate",
        /// The client's certificate has expired.
        Expired => "expired",
        /// No CA of the port signed the client's certificate.
        UnknownCa => "unknown_ca",
        /// The client's CA revoked its certificate.
        Revoked => "revoked",
        /// No list covers the client's certificate, so its revocation is unknown.
        UnknownRevocation => "unknown_revocation",
        /// The client's certificate is not valid for another reason.
        BadCertificate => "bad_certificate",
        /// The client does not trust the server's certificate.
        Distrusted => "distrusted",
        /// The client shares no version or cipher suite with the server.
        Version => "version",
        /// The client violates the protocol.
        Protocol => "protocol",
    }
}

label! {
    /// The reason why a connection was closed for its client's certificate.
    WithdrawnLabel = "reason" {
        /// The certificate has expired.
        Expired => "expired",
        /// The certificate's CA revoked it.
        Revoked => "revoked",
        /// The certificate's CA is no longer a CA of the port.
        Untrusted => "untrusted",
    }
}

label! {
    /// The reason why a connection was closed for the silence of its peer.
    Silence = "reason" {
        /// The peer sent no connection preface in time.
        Opening => "opening",
        /// The peer began with another protocol than the port's.
        Protocol => "protocol",
        /// The peer sent nothing for too long.
        Idle => "idle",
        /// The peer did not read.
        Unread => "unread",
        /// The connection was idle, and another needed its seat.
        Displaced => "displaced",
    }
}

label! {
    /// The reason why a caller was refused.
    DenialLabel = "reason" {
        /// The caller showed no credentials.
        Anonymous => "anonymous",
        /// The credentials are not accepted.
        Credential => "credential",
        /// The credentials have expired.
        Expired => "expired",
        /// No rule matches the caller.
        Stranger => "stranger",
        /// The caller may not be this node.
        Node => "node",
        /// The node may not be in this group.
        Group => "group",
        /// The node may not have this secret.
        Secret => "secret",
        /// The caller's roles do not allow the call.
        Role => "role",
    }
}

label! {
    /// The outcome of a reload of the rules.
    ReloadLabel = "outcome" {
        /// The new rules are in force.
        Loaded => "loaded",
        /// The new rules are not valid, and the old ones stay in force.
        Failed => "failed",
    }
}

// === impl TypeLabel ===

impl From<&ResourceType> for TypeLabel {
    fn from(kind: &ResourceType) -> Self {
        match kind {
            ResourceType::Cluster => Self::Cluster,
            ResourceType::Endpoint => Self::Endpoint,
            ResourceType::LbEndpoint => Self::LbEndpoint,
            ResourceType::Listener => Self::Listener,
            ResourceType::Route => Self::Route,
            ResourceType::ScopedRoute => Self::ScopedRoute,
            ResourceType::VirtualHost => Self::VirtualHost,
            ResourceType::Secret => Self::Secret,
            ResourceType::Runtime => Self::Runtime,
            ResourceType::ExtensionConfig => Self::ExtensionConfig,
            ResourceType::Other(_) => Self::Other,
        }
    }
}

// === impl StatusCode ===

impl From<i32> for StatusCode {
    /// The status of a code; `Unknown` for numbers that gRPC does not define.
    fn from(number: i32) -> Self {
        let grpc = usize::try_from(number)
            .ok()
            .filter(|number| *number < Self::Dropped.index());
        grpc.and_then(|number| Self::ALL.get(number))
            .copied()
            .unwrap_or(Self::Unknown)
    }
}

// === impl PollLabel ===

impl From<u16> for PollLabel {
    fn from(status: u16) -> Self {
        match status {
            200 => Self::Answered,
            304 => Self::NotModified,
            400 => Self::BadRequest,
            401 => Self::Unauthorized,
            403 => Self::Forbidden,
            404 => Self::NotFound,
            413 => Self::TooLarge,
            429 => Self::TooMany,
            500 => Self::Broken,
            503 => Self::Unavailable,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_their_short_names() {
        for kind in ResourceType::KNOWN {
            assert_eq!(TypeLabel::from(&kind).text(), kind.short_name());
        }
        let other: ResourceType = "type.googleapis.com/foo.Bar".parse().unwrap();
        assert_eq!(TypeLabel::from(&other), TypeLabel::Other);
    }

    #[test]
    fn codes_are_found_by_their_number() {
        assert_eq!(StatusCode::from(0), StatusCode::Ok);
        assert_eq!(StatusCode::from(14), StatusCode::Unavailable);
        assert_eq!(StatusCode::from(16), StatusCode::Unauthenticated);
        for unknown in [-1, 2, 17, 99] {
            assert_eq!(StatusCode::from(unknown), StatusCode::Unknown);
        }
    }
}
