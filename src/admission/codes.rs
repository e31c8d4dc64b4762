//! The codes of findings. A code never changes its meaning; `docs/admission.md` explains each.

/// The document cannot be read: not UTF-8, not YAML or JSON, a duplicate key, not a `DiscoveryResponse`.
pub const MALFORMED: &str = "XDS0001";
/// The document has no `resources`, is empty, or holds more than one document.
pub const LAYOUT: &str = "XDS0002";
/// A field that the message does not have.
pub const UNKNOWN_FIELD: &str = "XDS0003";
/// A value of the wrong type, out of range, or not in the enum.
pub const VALUE: &str = "XDS0004";
/// A field given twice under its two names, or two members of one oneof.
pub const CONFLICT: &str = "XDS0005";
/// `@type` is missing, malformed, or names a message without a descriptor.
pub const UNKNOWN_TYPE: &str = "XDS0006";
/// Encoded bytes that are no message of their type.
pub const UNDECODABLE: &str = "XDS0007";
/// A name or alias that is missing, malformed, or not the one the wrapper gives.
pub const NAME: &str = "XDS0008";
/// Two resources of a type that answer to one name.
pub const DUPLICATE: &str = "XDS0009";
/// Larger or more than the limits allow.
pub const LIMIT: &str = "XDS0010";
/// Nested deeper than the limits allow.
pub const NESTING: &str = "XDS0011";
/// Findings beyond the limit, counted but not kept.
pub const TRUNCATED: &str = "XDS0012";
/// A field in encoded bytes that our descriptors do not have: served as it is, but not checked (warning).
pub const NEWER_FIELD: &str = "XDS0013";
/// A part of the `Resource` wrapper that is not used (warning), or a TTL that is not positive.
pub const WRAPPER: &str = "XDS0014";
/// A reference to a cluster that is not there (warning).
pub const NO_CLUSTER: &str = "XDS0101";
/// A reference to a route configuration that is not there (warning).
pub const NO_ROUTE: &str = "XDS0102";
/// A cluster whose endpoints are not there (warning).
pub const NO_ENDPOINTS: &str = "XDS0103";
/// A reference to a secret that is not there (warning).
pub const NO_SECRET: &str = "XDS0104";
/// A reference to an extension configuration that is not there (warning).
pub const NO_EXTENSION_CONFIG: &str = "XDS0105";
/// A type would lose all its resources, and nobody confirmed that.
pub const EMPTIES_TYPE: &str = "XDS0501";
/// More of a group's resources would go at once than is allowed unconfirmed.
pub const REMOVES_MANY: &str = "XDS0502";

/// Every code with one line of explanation, in order.
pub const ALL: [(&str, &str); 21] = [
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
    (EMPTIES_TYPE, "would empty a type, unconfirmed"),
    (REMOVES_MANY, "would remove a large share of a group, unconfirmed"),
];
