//! The codes of findings. A code never changes its meaning; `docs/admission.md` explains each one.

/// The document cannot be read: not UTF-8, not YAML or JSON, a duplicate key, not a `DiscoveryResponse`.
pub const MALFORMED: &str = "XDS0001";
/// The document has no `resources`, is empty, or holds more than one document.
pub const LAYOUT: &str = "XDS0002";
/// A field that the message does not have.
pub const UNKNOWN_FIELD: &str = "XDS0003";
/// A value of the wrong type, out of range, or not one of the enum.
pub const VALUE: &str = "XDS0004";
/// A field given twice under its two names, or two members of one oneof.
pub const CONFLICT: &str = "XDS0005";
/// `@type` is missing, malformed, or names a message without a descriptor.
pub const UNKNOWN_TYPE: &str = "XDS0006";
/// Encoded bytes that do not decode as their type.
pub const UNDECODABLE: &str = "XDS0007";
/// A name or alias that is missing, malformed, or differs from the wrapper's.
pub const NAME: &str = "XDS0008";
/// Two resources of a type under one name or alias.
pub const DUPLICATE: &str = "XDS0009";
/// A size or number beyond the limits.
pub const LIMIT: &str = "XDS0010";
/// Nested deeper than the limits allow.
pub const NESTING: &str = "XDS0011";
/// Findings beyond the limit, counted but not kept.
pub const TRUNCATED: &str = "XDS0012";
/// A field in encoded bytes that our descriptors do not have: it is served as it is, without checks (warning).
pub const NEWER_FIELD: &str = "XDS0013";
/// A part of the `Resource` wrapper that is ignored (warning), or a TTL that is not positive.
pub const WRAPPER: &str = "XDS0014";
/// A reference to a cluster that does not exist (warning).
pub const NO_CLUSTER: &str = "XDS0101";
/// A reference to a route configuration that does not exist (warning).
pub const NO_ROUTE: &str = "XDS0102";
/// A cluster whose endpoints do not exist (warning).
pub const NO_ENDPOINTS: &str = "XDS0103";
/// A reference to a secret that does not exist (warning).
pub const NO_SECRET: &str = "XDS0104";
/// A reference to an extension configuration that does not exist (warning).
pub const NO_EXTENSION_CONFIG: &str = "XDS0105";
/// A resource to which no other resource of its group refers (warning).
pub const UNASKED: &str = "XDS0106";
/// Aggregate clusters that contain each other in a circle (warning).
pub const CIRCLE: &str = "XDS0107";
/// A route that names a cluster specifier plugin which its route configuration does not have (warning).
pub const NO_PLUGIN: &str = "XDS0108";
/// Rules in Envoy's protos (`validate.rules`): a required field, or member of a oneof, is missing.
pub const REQUIRED: &str = "XDS0201";
/// Rules in Envoy's protos: a string or bytes too short or too long.
pub const LENGTH: &str = "XDS0202";
/// Rules in Envoy's protos: a string or bytes without a required pattern, prefix, suffix or part, or with a forbidden
/// one.
pub const PATTERN: &str = "XDS0203";
/// Rules in Envoy's protos: a string that is not a header name, header value, address, URI, or the like.
pub const FORMAT: &str = "XDS0204";
/// Rules in Envoy's protos: a number, duration or time out of range.
pub const RANGE: &str = "XDS0205";
/// Rules in Envoy's protos: a value that is not allowed.
pub const CHOICE: &str = "XDS0206";
/// Rules in Envoy's protos: a number that the enum does not have.
pub const UNDEFINED: &str = "XDS0207";
/// Rules in Envoy's protos: too few or too many items of a list or entries of a map.
pub const ITEMS: &str = "XDS0208";
/// Rules in Envoy's protos: a repeated item in a list of unique items.
pub const UNIQUE: &str = "XDS0209";
/// Two listeners on one address and port; a warning where one is of the shared group.
pub const SAME_ADDRESS: &str = "XDS0301";
/// A domain that occurs twice in a route configuration.
pub const DOMAINS: &str = "XDS0302";
/// Two virtual hosts of one name (warning).
pub const VIRTUAL_HOSTS: &str = "XDS0303";
/// A listener without an address or without filter chains, or with an address or chains that contradict it (warning).
pub const LISTENER: &str = "XDS0304";
/// Filter chains that match the same connections, or that match by a field which no Envoy implements (warning).
pub const FILTER_CHAINS: &str = "XDS0305";
/// A filter chain without a terminal filter at its end, or with one before its end (warning).
pub const FILTERS: &str = "XDS0306";
/// A cluster whose type, endpoints and load balancing contradict each other (warning).
pub const CLUSTER: &str = "XDS0307";
/// A host name where nothing resolves names (warning).
pub const ADDRESS: &str = "XDS0308";
/// A gap between priorities of endpoints, which gRPC refuses (warning).
pub const PRIORITIES: &str = "XDS0309";
/// Weighted clusters whose weights allow no choice (warning).
pub const WEIGHTS: &str = "XDS0310";
/// A route, virtual host or retry policy that contradicts itself (warning).
pub const ROUTE: &str = "XDS0311";
/// A config source that cannot be used (warning).
pub const SOURCE: &str = "XDS0312";
/// A regular expression that RE2 refuses.
pub const REGEX: &str = "XDS0313";
/// A regular expression whose program is larger than Envoy's default limit (warning).
pub const REGEX_SIZE: &str = "XDS0314";
/// A range of addresses (CIDR) whose address is not an IP address.
pub const RANGE_ADDRESS: &str = "XDS0315";
/// A certificate that cannot be used; a warning if it is missing or not PEM.
pub const CERTIFICATE: &str = "XDS0320";
/// A private key that cannot be used; a warning if it is missing or not PEM.
pub const KEY: &str = "XDS0321";
/// A private key that does not belong to its certificate.
pub const KEY_MISMATCH: &str = "XDS0322";
/// A certificate that has expired or is not yet valid (warning).
pub const VALIDITY: &str = "XDS0323";
/// A deprecated field or value (warning).
pub const DEPRECATED: &str = "XDS0330";
/// A deprecated field or value that Envoy refuses unless its runtime allows it (warning).
pub const DISALLOWED: &str = "XDS0331";
/// A type whose resources do not fit into one response to a gRPC client (warning).
pub const TYPE_SIZE: &str = "XDS0340";
/// A refusal by a real Envoy (`--envoy`), with its message.
pub const ENVOY_REFUSES: &str = "XDS0401";
/// A publish that would remove all resources of a type, unconfirmed.
pub const EMPTIES_TYPE: &str = "XDS0501";
/// A publish that would remove more of a group's resources than is allowed unconfirmed.
pub const REMOVES_MANY: &str = "XDS0502";
/// Listeners that exchange addresses, which an Envoy refuses in one step (warning).
pub const EXCHANGE: &str = "XDS0503";

/// Every code with a one-line explanation, in order.
pub const ALL: [(&str, &str); 57] = [
    (MALFORMED, "the document cannot be read"),
    (LAYOUT, "the document is not one mapping with `resources`"),
    (UNKNOWN_FIELD, "unknown field"),
    (VALUE, "wrong type, out of range, or not in the enum"),
    (CONFLICT, "field given twice, or two members of one oneof"),
    (UNKNOWN_TYPE, "missing, malformed or unknown @type"),
    (UNDECODABLE, "encoded bytes are no message of their type"),
    (NAME, "missing, malformed or contradictory name"),
    (DUPLICATE, "two resources of a type answer to one name"),
    (LIMIT, "larger or more than the limits allow"),
    (NESTING, "nested deeper than the limits allow"),
    (TRUNCATED, "more findings than are kept"),
    (
        NEWER_FIELD,
        "encoded field unknown to this server: served, not checked (warning)",
    ),
    (
        WRAPPER,
        "unused part of the Resource wrapper (warning), or a TTL that is not positive",
    ),
    (NO_CLUSTER, "reference to a missing cluster (warning)"),
    (NO_ROUTE, "reference to a missing route configuration (warning)"),
    (NO_ENDPOINTS, "EDS cluster without endpoints (warning)"),
    (NO_SECRET, "reference to a missing secret (warning)"),
    (
        NO_EXTENSION_CONFIG,
        "reference to a missing extension configuration (warning)",
    ),
    (UNASKED, "resource that no other one of its group asks for (warning)"),
    (CIRCLE, "aggregate clusters made of one another in a circle (warning)"),
    (NO_PLUGIN, "reference to a missing cluster specifier plugin (warning)"),
    (REQUIRED, "rule: required field, or member of a oneof, is missing"),
    (LENGTH, "rule: string or bytes too short or too long"),
    (PATTERN, "rule: string or bytes not of the pattern"),
    (FORMAT, "rule: string not of the well-known form"),
    (RANGE, "rule: number, duration or time out of range"),
    (CHOICE, "rule: not one of the allowed values"),
    (UNDEFINED, "rule: number that the enum does not have"),
    (ITEMS, "rule: too few or too many items or entries"),
    (UNIQUE, "rule: item twice in a list"),
    (SAME_ADDRESS, "two listeners on one address and port"),
    (DOMAINS, "domain given twice in a route configuration"),
    (VIRTUAL_HOSTS, "two virtual hosts of one name (warning)"),
    (
        LISTENER,
        "listener without, or with unfit, addresses or filter chains (warning)",
    ),
    (FILTER_CHAINS, "filter chains that match the same connections (warning)"),
    (
        FILTERS,
        "chain of filters that does not end with its last filter (warning)",
    ),
    (
        CLUSTER,
        "cluster whose type, endpoints and load balancing contradict each other (warning)",
    ),
    (ADDRESS, "address that nothing resolves (warning)"),
    (PRIORITIES, "priorities of endpoints with a gap (warning)"),
    (WEIGHTS, "weighted clusters that cannot be chosen between (warning)"),
    (
        ROUTE,
        "route, virtual host or retry policy that contradicts itself (warning)",
    ),
    (SOURCE, "source of configuration that cannot be asked (warning)"),
    (REGEX, "invalid regular expression"),
    (
        REGEX_SIZE,
        "regular expression larger than Envoy takes by default (warning)",
    ),
    (RANGE_ADDRESS, "range of addresses whose address is not an IP address"),
    (CERTIFICATE, "unusable certificate"),
    (KEY, "unusable private key"),
    (KEY_MISMATCH, "private key of another certificate"),
    (VALIDITY, "certificate expired or not yet valid (warning)"),
    (DEPRECATED, "deprecated field or value (warning)"),
    (
        DISALLOWED,
        "deprecated field or value that Envoy no longer allows (warning)",
    ),
    (
        TYPE_SIZE,
        "type larger than a gRPC client takes in one response (warning)",
    ),
    (ENVOY_REFUSES, "refused by a real Envoy"),
    (EMPTIES_TYPE, "would empty a type, unconfirmed"),
    (REMOVES_MANY, "would remove a large share of a group, unconfirmed"),
    (
        EXCHANGE,
        "listeners that take each other's addresses in one step (warning)",
    ),
];
