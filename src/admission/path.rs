//! Field paths, built on the stack during a walk and written out only for a finding.

use std::fmt;

/// A place in a resource, as in `route_config.virtual_hosts[0].domains[1]`. Each link points to its parent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path<'a> {
    parent: Option<&'a Self>,
    segment: Segment<'a>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Segment<'a> {
    /// The resource itself, where every path begins.
    Root,
    Field(&'a str),
    Index(usize),
    Key(&'a str),
}

impl<'a> Path<'a> {
    pub(super) const ROOT: Self = Self {
        parent: None,
        segment: Segment::Root,
    };

    pub(super) const fn is_root(&self) -> bool {
        self.parent.is_none()
    }

    /// The path of a field of this message, by its proto name.
    pub(super) const fn field(&'a self, name: &'a str) -> Self {
        self.then(Segment::Field(name))
    }

    /// The path of an element of this list.
    pub(super) const fn index(&'a self, index: usize) -> Self {
        self.then(Segment::Index(index))
    }

    /// The path of a value of this map.
    pub(super) const fn key(&'a self, key: &'a str) -> Self {
        self.then(Segment::Key(key))
    }

    const fn then(&'a self, segment: Segment<'a>) -> Self {
        Self {
            parent: Some(self),
            segment,
        }
    }

    /// The last field on the path: the place itself, or the list or map that it belongs to.
    pub(super) fn field_name(&self) -> Option<&'a str> {
        std::iter::successors(Some(self), |path| path.parent).find_map(|path| match path.segment {
            Segment::Field(name) => Some(name),
            Segment::Root | Segment::Index(_) | Segment::Key(_) => None,
        })
    }

    /// Returns true for the field of that name directly in the resource.
    pub(super) fn is_field(&self, name: Option<&str>) -> bool {
        let at_resource = self.parent.is_some_and(|parent| parent.parent.is_none());
        at_resource && name.is_some() && self.field_name() == name
    }

    /// The links, from the resource inwards.
    pub(super) fn segments(&self) -> Vec<Segment<'a>> {
        let mut segments: Vec<_> = std::iter::successors(Some(self), |path| path.parent)
            .map(|path| path.segment)
            .collect();
        segments.reverse();
        segments
    }

    /// The path as text; `None` for the resource itself.
    pub(super) fn text(&self) -> Option<String> {
        let text = self.to_string();
        (!text.is_empty()).then_some(text)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The recursion is bounded by `Limits::message_depth`: a path has at most a few links per message.
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.segment {
            Segment::Root => Ok(()),
            Segment::Field(name) if self.parent.is_some_and(|parent| parent.parent.is_some()) => write!(f, ".{name}"),
            Segment::Field(name) => f.write_str(name),
            Segment::Index(index) => write!(f, "[{index}]"),
            Segment::Key(key) => write!(f, "[{key:?}]"),
        }
    }
}
