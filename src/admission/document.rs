//! The layout of a document: Envoy's file-based discovery format, a DiscoveryResponse with its resources written out.

use super::{
    codes,
    finding::Position,
    message::Builder,
    path::Path,
    suggest,
    tree::{Node, SyntaxError, SyntaxErrorKind, Tree},
};

const RESOURCES: &str = "resources";

/// The other fields of a DiscoveryResponse, in both spellings; they are ignored.
const IGNORED: [&str; 12] = [
    "@type",
    "version_info",
    "versionInfo",
    "type_url",
    "typeUrl",
    "nonce",
    "canary",
    "control_plane",
    "controlPlane",
    "resource_errors",
    "resourceErrors",
    "$schema",
];

/// The items under `resources`; `None` after an error was pushed.
pub(super) fn items<'t>(tree: &'t Node, builder: &mut Builder<'_>) -> Option<&'t [Node]> {
    let Tree::Mapping(entries) = &tree.tree else {
        let message = match &tree.tree {
            Tree::Null => format!("the document is empty: expected a mapping with \"{RESOURCES}\""),
            Tree::Bool(_)
            | Tree::Unsigned(_)
            | Tree::Signed(_)
            | Tree::Float(_)
            | Tree::String(_)
            | Tree::Sequence(_)
            | Tree::Mapping(_) => {
                format!("expected a mapping with \"{RESOURCES}\", got {}", tree.tree.describe())
            }
        };
        builder.error(codes::LAYOUT, tree.at, &Path::ROOT, message);
        return None;
    };
    for (key, _) in entries {
        if key.text != RESOURCES && !IGNORED.contains(&key.text.as_str()) {
            let hint = suggest::did_you_mean(key.name(), [RESOURCES]);
            builder.unknown(key, &Path::ROOT, false, "unknown field of a document".to_owned(), &hint);
        }
    }
    let Some(resources) = tree.get(RESOURCES) else {
        let message = format!("\"{RESOURCES}\" is missing; an empty document is written \"{RESOURCES}: []\"");
        builder.error(codes::LAYOUT, tree.at, &Path::ROOT, message);
        return None;
    };
    let Tree::Sequence(items) = &resources.tree else {
        let message = format!(
            "expected a list, got {}; no resources are written []",
            resources.tree.describe()
        );
        builder.error(codes::LAYOUT, resources.at, &Path::ROOT.field(RESOURCES), message);
        return None;
    };
    Some(items)
}

/// Pushes the error of a document that cannot be read.
pub(super) fn unreadable(error: &SyntaxError, builder: &mut Builder<'_>) {
    let code = match error.kind {
        SyntaxErrorKind::Malformed => codes::MALFORMED,
        SyntaxErrorKind::NotOneDocument => codes::LAYOUT,
        SyntaxErrorKind::Nesting => codes::NESTING,
        SyntaxErrorKind::TooLarge => codes::LIMIT,
    };
    builder.error(code, error.at, &Path::ROOT, error.message.clone());
}

/// Returns false, and pushes an error, for a document beyond `Limits::document_bytes`.
pub(super) fn fits(bytes: usize, builder: &mut Builder<'_>) -> bool {
    let limit = builder.limits.document_bytes;
    if bytes > limit {
        let message = format!("{bytes} bytes, more than the {limit} that a document may have");
        builder.error(codes::LIMIT, Position::default(), &Path::ROOT, message);
    }
    bytes <= limit
}
