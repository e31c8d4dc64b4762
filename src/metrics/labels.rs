//! Labels: closed sets, each value with its text. Nothing that a client or an operator chooses becomes one.

use super::table::Label;
use crate::resource::ResourceType;

/// An enum whose values are those of one label.
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

// Behind the macro, which it uses.
mod publishing;

pub use self::publishing::{Change, FolderLabel, Operation, PublishOutcome, Severity};

label! {
    /// How a client is served.
    Protocol = "protocol" {
        /// A SotW stream.
        Sotw => "sotw",
        /// A delta stream.
        Delta => "delta",
        /// Polls.
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
        /// Any other: clients name types, so they are not told apart.
        Other => "other",
    }
}

label! {
    /// Why a stream was not let in.
    Refusal = "reason" {
        /// Too many begin at once.
        Rate => "rate",
        /// Too many begin at once from one address.
        PeerRate => "peer_rate",
        /// Too many are open.
        Streams => "streams",
        /// The process has more memory in use than its budget.
        Memory => "memory",
        /// The process is to end.
        Shutdown => "shutdown",
        /// Its messages are compressed.
        Encoding => "encoding",
        /// What its client shows of who it is is not taken.
        Identity => "identity",
        /// Too many of its client's identity are open.
        IdentityStreams => "identity_streams",
    }
}

label! {
    /// Why a request was refused that is more than is taken of a stranger.
    RequestRefusal = "reason" {
        /// It is too large, or holds too much.
        Limit => "limit",
        /// Too many bytes of unfinished requests are under way.
        Unfinished => "unfinished",
        /// The names of all streams take too many bytes.
        Subscribed => "subscribed",
        /// The process has more memory in use than its budget: polls are refused.
        Memory => "memory",
        /// It was unfinished for too long.
        Slow => "slow",
    }
}

label! {
    /// How a stream ended: the codes of gRPC, each at its number.
    StatusCode = "code" {
        /// The client was done.
        Ok => "ok",
        /// 1.
        Cancelled => "cancelled",
        /// 2.
        Unknown => "unknown",
        /// 3.
        InvalidArgument => "invalid_argument",
        /// 4.
        DeadlineExceeded => "deadline_exceeded",
        /// 5.
        NotFound => "not_found",
        /// 6.
        AlreadyExists => "already_exists",
        /// 7.
        PermissionDenied => "permission_denied",
        /// 8.
        ResourceExhausted => "resource_exhausted",
        /// 9.
        FailedPrecondition => "failed_precondition",
        /// 10.
        Aborted => "aborted",
        /// 11.
        OutOfRange => "out_of_range",
        /// 12.
        Unimplemented => "unimplemented",
        /// 13.
        Internal => "internal",
        /// 14.
        Unavailable => "unavailable",
        /// 15.
        DataLoss => "data_loss",
        /// 16.
        Unauthenticated => "unauthenticated",
        /// The connection broke, or the client went without a word.
        Dropped => "dropped",
    }
}

label! {
    /// What a poll over REST was answered.
    PollLabel = "status" {
        /// 200.
        Answered => "200",
        /// 304.
        NotModified => "304",
        /// 400.
        BadRequest => "400",
        /// 401.
        Unauthorized => "401",
        /// 403.
        Forbidden => "403",
        /// 404.
        NotFound => "404",
        /// 413.
        TooLarge => "413",
        /// 429.
        TooMany => "429",
        /// 500.
        Broken => "500",
        /// 503.
        Unavailable => "503",
        /// Any other.
        Other => "other",
    }
}

label! {
    /// Whether a node is there.
    NodeLabel = "state" {
        /// It has a stream, or polls.
        Connected => "connected",
        /// It is remembered.
        Gone => "gone",
    }
}

label! {
    /// Why a request to the HTTP port was refused before anybody looked at it.
    HttpRefusal = "reason" {
        /// A browser sends it for a page of another site.
        Origin => "origin",
        /// It calls the port by a name that is not its own.
        Host => "host",
        /// Its body is not called JSON.
        ContentType => "content_type",
    }
}

label! {
    /// One of our ports.
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
    /// Where a panic was caught.
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
    /// Why a connection was closed at once.
    ConnectionRefusal = "reason" {
        /// There are too many.
        Connections => "connections",
        /// The peer has too many.
        Peer => "peer",
    }
}

label! {
    /// Why a TLS handshake failed.
    HandshakeFailure = "reason" {
        /// It took too long.
        Timeout => "timeout",
        /// The peer went away, or spoke no TLS.
        Closed => "closed",
        /// The client showed no certificate.
        NoCertificate => "no_certificate",
        /// Its certificate has expired.
        Expired => "expired",
        /// None of the CAs signed its certificate.
        UnknownCa => "unknown_ca",
        /// Its CA revoked its certificate.
        Revoked => "revoked",
        /// No list says whether its certificate was revoked.
        UnknownRevocation => "unknown_revocation",
        /// Its certificate is bad otherwise.
        BadCertificate => "bad_certificate",
        /// It does not trust our certificate.
        Distrusted => "distrusted",
        /// It speaks no version or cipher suite of ours.
        Version => "version",
        /// It does not keep to the protocol.
        Protocol => "protocol",
    }
}

label! {
    /// Why a connection did not outlive the certificate of its client.
    WithdrawnLabel = "reason" {
        /// It has expired.
        Expired => "expired",
        /// Its CA revoked it.
        Revoked => "revoked",
        /// Its CA is none of the port's any more.
        Untrusted => "untrusted",
    }
}

label! {
    /// What the peer of a connection that was closed did not do.
    Silence = "reason" {
        /// Say what opens a connection.
        Opening => "opening",
        /// Say it in the protocol of the port.
        Protocol => "protocol",
        /// Say anything.
        Idle => "idle",
        /// Read.
        Unread => "unread",
        /// Ask for anything while another needed its place.
        Displaced => "displaced",
    }
}

label! {
    /// Why somebody was refused.
    DenialLabel = "reason" {
        /// Nobody showed who they are.
        Anonymous => "anonymous",
        /// What was shown is not taken.
        Credential => "credential",
        /// What was shown no longer counts.
        Expired => "expired",
        /// No rule is for them.
        Stranger => "stranger",
        /// They may not be this node.
        Node => "node",
        /// Their node may not be in this group.
        Group => "group",
        /// Their node may not have this secret.
        Secret => "secret",
        /// They may not do this.
        Role => "role",
    }
}

label! {
    /// What became of the rules when they were read again.
    ReloadLabel = "outcome" {
        /// They hold.
        Loaded => "loaded",
        /// They cannot be used: those before hold.
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
    /// The code of this number; numbers that gRPC does not have are unknown.
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
    fn types_are_called_what_they_are_called_everywhere() {
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
