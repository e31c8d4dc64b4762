//! The positions of fields in a document: maps each [`Path`] to a position, with the tree of the resource.
//!
//! Rules, references and other checks use it for their findings. An encoded resource has no tree, so all its fields
//! have the position of the resource.

use super::{
    finding::Position,
    message::TYPE_KEY,
    path::{Path, Segment},
    tree::{Node, Tree},
};

#[derive(Clone, Copy, Debug)]
pub(super) struct Positions<'t> {
    /// The tree of the resource; `None` for an encoded one.
    tree: Option<&'t Node>,
    /// The position of the resource.
    at: Position,
}

/// Fields of messages with their own JSON form that do not appear in the tree.
const UNWRITTEN: [&str; 4] = ["fields", "struct_value", "list_value", "values"];

// === impl Positions ===

impl<'t> Positions<'t> {
    /// The positions in a resource that was written as `tree`.
    pub(super) const fn in_tree(tree: &'t Node) -> Self {
        Self {
            tree: Some(tree),
            at: tree.at,
        }
    }

    /// The positions in an encoded resource: all are that of the resource.
    pub(super) const fn encoded(at: Position) -> Self {
        Self { tree: None, at }
    }

    /// The position of the value at `path`, or of the innermost written value around it.
    pub(super) fn of(&self, path: &Path<'_>) -> Position {
        let Some(mut node) = self.tree else {
            return self.at;
        };
        for segment in path.segments() {
            if let Some(inner) = step(node, segment) {
                node = inner;
                continue;
            }
            // Within an `Any`, a message with its own JSON form stands under `value`.
            if let Some(value) = node.get("value").filter(|_| node.get(TYPE_KEY).is_some()) {
                node = value;
            }
            match (step(node, segment), segment) {
                (Some(inner), _) => node = inner,
                (None, Segment::Field(name)) if UNWRITTEN.contains(&name) => {}
                (None, Segment::Root | Segment::Field(_) | Segment::Index(_) | Segment::Key(_)) => break,
            }
        }
        node.at
    }
}

/// The value one link further in.
fn step<'t>(node: &'t Node, segment: Segment<'_>) -> Option<&'t Node> {
    match segment {
        Segment::Root => Some(node),
        Segment::Index(index) => match &node.tree {
            Tree::Sequence(nodes) => nodes.get(index),
            Tree::Null
            | Tree::Bool(_)
            | Tree::Unsigned(_)
            | Tree::Signed(_)
            | Tree::Float(_)
            | Tree::String(_)
            | Tree::Mapping(_) => None,
        },
        Segment::Key(key) => node.get(key),
        Segment::Field(name) => node.get(name).or_else(|| node.get(&json_name(name))),
    }
}

/// The JSON name of a field, derived as protoc does.
fn json_name(name: &str) -> String {
    let mut json = String::with_capacity(name.len());
    let mut upper = false;
    for c in name.chars() {
        if c == '_' {
            upper = true;
        } else if upper {
            json.push(c.to_ascii_uppercase());
            upper = false;
        } else {
            json.push(c);
        }
    }
    json
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::{Limits, tree};

    const DOCUMENT: &str = "name: a
loadAssignment:
  endpoints:
  - lb_endpoints: []
  - locality: {region: r}
typed:
  '@type': type.googleapis.com/google.protobuf.Struct
  value:
    deep: [1, 2]
\"map\":
  k.1: {v: 1}
";

    fn at(build: impl Fn(&dyn Fn(&Path<'_>))) -> (u32, u32) {
        let tree = tree::parse(DOCUMENT.as_bytes(), &Limits::default()).unwrap();
        let found = std::cell::Cell::new(Position::default());
        build(&|path| found.set(Positions::in_tree(&tree).of(path)));
        (found.get().line, found.get().column)
    }

    #[test]
    fn value_is_found_under_either_of_its_names() {
        assert_eq!(at(|of| of(&Path::ROOT.field("name"))), (1, 7));
        let endpoints = |of: &dyn Fn(&Path<'_>)| of(&Path::ROOT.field("load_assignment").field("endpoints"));
        assert_eq!(at(endpoints), (4, 5));
    }

    #[test]
    fn elements_and_map_values_are_found() {
        assert_eq!(
            at(|of| {
                let path = Path::ROOT.field("load_assignment");
                of(&path.field("endpoints").index(1).field("locality").field("region"));
            }),
            (5, 24)
        );
        assert_eq!(at(|of| of(&Path::ROOT.field("map").key("k.1").field("v"))), (11, 12));
    }

    #[test]
    fn missing_field_is_where_the_value_around_it_is() {
        assert_eq!(at(|of| of(&Path::ROOT.field("nowhere").field("name"))), (1, 1));
        assert_eq!(
            at(|of| {
                let path = Path::ROOT.field("load_assignment");
                of(&path.field("endpoints").index(1).field("priority"));
            }),
            (5, 5)
        );
        assert_eq!(
            at(|of| of(&Path::ROOT.field("load_assignment").field("endpoints").index(7))),
            (4, 5)
        );
    }

    #[test]
    fn positions_are_found_in_messages_with_their_own_json_form() {
        assert_eq!(
            at(|of| {
                let path = Path::ROOT.field("typed");
                of(&path
                    .field("fields")
                    .key("deep")
                    .field("list_value")
                    .field("values")
                    .index(1));
            }),
            (9, 15)
        );
    }

    #[test]
    fn encoded_resource_has_one_position() {
        let here = Position { line: 3, column: 5 };
        assert_eq!(Positions::encoded(here).of(&Path::ROOT.field("name")), here);
    }
}
