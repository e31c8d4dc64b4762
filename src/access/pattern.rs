//! Patterns over identities, and the templates that their captures fill.
//!
//! A placeholder stands for a part of one segment and nothing else, so a client that controls one name cannot pass for
//! another. Texts are compared byte for byte: case, percent-encoding and a trailing slash make other identities.

use std::{collections::BTreeMap, fmt};

/// The kind of a name of an identity, which decides the separators of its segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A URI, as in `spiffe://prod/ns/shop/sa/cart`: segments end at `/` and `:`.
    Uri,
    /// A DNS name: segments end at `.`.
    Dns,
    /// The name of a token: one segment.
    Token,
    /// The subject of a JWT, as in `system:serviceaccount:shop:cart`: segments end at `/` and `:`.
    Subject,
}

/// A pattern over identities: literal text, `{name}` for a captured part of a segment, `*` for one that is not
/// captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    kind: Kind,
    segments: Vec<Segment>,
}

/// The text that each placeholder of a pattern stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captures(BTreeMap<String, String>);

/// A grant: literal text, `{name}` for a capture of the identity's pattern, `*` for any run of characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
    /// The plain characters that border a placeholder. A wildcard does not match them: in `{ns}-*` the last `-` ends
    /// the namespace, so `a` is not granted the names of `a-b`.
    borders: Vec<char>,
}

/// A template whose placeholders were filled in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Glob {
    parts: Vec<GlobPart>,
    borders: Vec<char>,
}

/// The reason why a pattern or a template is invalid or ambiguous.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// The text is empty.
    #[error("it is empty")]
    Empty,
    /// A brace is not closed or not opened.
    #[error("it has an unmatched brace")]
    Brace,
    /// A placeholder has no name, or its name has characters other than letters, digits and `_`.
    #[error("placeholder {{{}}}: names are letters, digits and _", .0.escape_debug())]
    Name(String),
    /// The identity's pattern has no such placeholder.
    #[error("unknown placeholder {{{0}}}: the identity's pattern does not have it")]
    Unknown(String),
    /// One segment has two placeholders, so the end of the first is ambiguous.
    #[error("segment {0:?} has two placeholders: a segment can have one")]
    Crowded(String),
    /// A wildcard or placeholder directly follows a placeholder.
    #[error("{{{0}}} is followed by * or a placeholder: what would be granted to one identity could belong to another")]
    Adjacent(String),
    /// No character between two placeholders ends the first one.
    #[error("{{{0}}} and {{{1}}} must be separated by a character that neither can stand for, as / or :")]
    Ambiguous(String, String),
}

/// A part of a pattern up to a separator.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Capture {
        before: String,
        /// The name of the placeholder; `None` for `*`.
        name: Option<String>,
        after: String,
    },
    Separator(char),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Placeholder(String),
    Wildcard,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum GlobPart {
    Literal(String),
    Wildcard,
}

/// Returns true for a character that a placeholder can stand for: one that needs no encoding in a URI.
const fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~')
}

// === impl Kind ===

impl Kind {
    const fn separators(self) -> &'static [char] {
        match self {
            Self::Uri | Self::Subject => &['/', ':'],
            Self::Dns => &['.'],
            Self::Token => &[],
        }
    }
}

// === impl Pattern ===

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// [`PatternError`] for the first error in it.
    pub fn new(kind: Kind, text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        let segments = split(text, kind).map(|part| match part {
            Split::Separator(separator) => Ok(Segment::Separator(separator)),
            Split::Text(text) => segment(text),
        });
        Ok(Self {
            kind,
            segments: segments.collect::<Result<_, _>>()?,
        })
    }

    /// The kind of the names that the pattern is matched against.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The names of the placeholders.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Capture { name, .. } => name.as_deref(),
            Segment::Literal(_) | Segment::Separator(_) => None,
        })
    }

    /// The captures, if the whole of `text` matches.
    #[must_use]
    pub fn captures(&self, text: &str) -> Option<Captures> {
        let mut captures = BTreeMap::new();
        let mut parts = split(text, self.kind);
        for segment in &self.segments {
            let part = parts.next()?;
            match (segment, part) {
                (Segment::Separator(expected), Split::Separator(found)) if *expected == found => {}
                (Segment::Literal(expected), Split::Text(found)) if expected == found => {}
                (Segment::Capture { before, name, after }, Split::Text(found)) => {
                    let value = found.strip_prefix(before.as_str())?.strip_suffix(after.as_str())?;
                    if !is_value(value) {
                        return None;
                    }
                    let Some(name) = name else { continue };
                    let known = captures.insert(name.clone(), value.to_owned());
                    if known.is_some_and(|known| known != value) {
                        return None;
                    }
                }
                _ => return None,
            }
        }
        parts.next().is_none().then_some(Captures(captures))
    }
}

fn is_value(value: &str) -> bool {
    !value.is_empty() && value != "." && value != ".." && value.chars().all(is_plain)
}

enum Split<'a> {
    Text(&'a str),
    Separator(char),
}

/// Segments and their separators, in turns; a separator within braces does not split.
fn split(text: &str, kind: Kind) -> impl Iterator<Item = Split<'_>> {
    let mut rest = Some(text);
    let mut separator = None;
    std::iter::from_fn(move || {
        if let Some(separator) = separator.take() {
            return Some(Split::Separator(separator));
        }
        let current = rest.take()?;
        match current.find(kind.separators()) {
            Some(at) => {
                separator = current[at..].chars().next();
                // Separators are ASCII.
                rest = Some(&current[at + 1..]);
                Some(Split::Text(&current[..at]))
            }
            None => Some(Split::Text(current)),
        }
    })
}

fn segment(text: &str) -> Result<Segment, PatternError> {
    let mut pieces = pieces(text)?.into_iter().peekable();
    let literal = |piece: Option<&Piece>| match piece {
        Some(Piece::Literal(text)) => Some(text.clone()),
        _ => None,
    };
    let before = literal(pieces.peek());
    if before.is_some() {
        pieces.next();
    }
    let name = match pieces.next() {
        None => return Ok(Segment::Literal(before.unwrap_or_default())),
        Some(Piece::Placeholder(name)) => Some(name),
        Some(Piece::Wildcard | Piece::Literal(_)) => None,
    };
    let after = literal(pieces.peek());
    if after.is_some() {
        pieces.next();
    }
    if pieces.next().is_some() {
        return Err(PatternError::Crowded(text.to_owned()));
    }
    Ok(Segment::Capture {
        before: before.unwrap_or_default(),
        name,
        after: after.unwrap_or_default(),
    })
}

/// Splits a template; two literal texts never follow each other.
fn pieces(text: &str) -> Result<Vec<Piece>, PatternError> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}', '*']) {
        if at > 0 {
            pieces.push(Piece::Literal(rest[..at].to_owned()));
        }
        let (mark, after) = rest[at..].split_at(1);
        rest = match mark {
            "*" => {
                pieces.push(Piece::Wildcard);
                after
            }
            "{" => {
                let (name, after) = after.split_once('}').ok_or(PatternError::Brace)?;
                if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                    return Err(PatternError::Name(name.to_owned()));
                }
                pieces.push(Piece::Placeholder(name.to_owned()));
                after
            }
            _ => return Err(PatternError::Brace),
        };
    }
    if !rest.is_empty() {
        pieces.push(Piece::Literal(rest.to_owned()));
    }
    Ok(pieces)
}

// === impl Captures ===

impl Captures {
    fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }
}

// === impl Template ===

impl Template {
    /// Reads a template over the captures of `pattern`.
    ///
    /// # Errors
    ///
    /// [`PatternError`] where `pattern` lacks a placeholder of it, or where it could grant one name to two identities.
    pub fn new(text: &str, pattern: &Pattern) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        let pieces = pieces(text)?;
        for piece in &pieces {
            if let Piece::Placeholder(name) = piece
                && !pattern.names().any(|known| known == name)
            {
                return Err(PatternError::Unknown(name.clone()));
            }
        }
        check_neighbours(&pieces)?;
        let borders = borders(&pieces);
        Ok(Self { pieces, borders })
    }

    /// The names that the template grants to an identity with these captures.
    #[must_use]
    pub fn expand(&self, captures: &Captures) -> Glob {
        let mut parts: Vec<GlobPart> = Vec::new();
        for piece in &self.pieces {
            let text = match piece {
                Piece::Literal(text) => text.as_str(),
                Piece::Placeholder(name) => captures.get(name),
                Piece::Wildcard => {
                    parts.push(GlobPart::Wildcard);
                    continue;
                }
            };
            match parts.last_mut() {
                Some(GlobPart::Literal(before)) => before.push_str(text),
                Some(GlobPart::Wildcard) | None => parts.push(GlobPart::Literal(text.to_owned())),
            }
        }
        Glob {
            parts,
            borders: self.borders.clone(),
        }
    }
}

fn check_neighbours(pieces: &[Piece]) -> Result<(), PatternError> {
    // The previous placeholder, and true once a later character ends it.
    let mut before: Option<(&str, bool)> = None;
    for (index, piece) in pieces.iter().enumerate() {
        match piece {
            Piece::Literal(text) => {
                let ends = text.chars().any(|c| !is_plain(c));
                before = before.map(|(name, ended)| (name, ended || ends));
            }
            Piece::Wildcard => {
                if let Some(Piece::Placeholder(name)) = pieces.get(index + 1) {
                    return Err(PatternError::Adjacent(name.clone()));
                }
            }
            Piece::Placeholder(name) => {
                if matches!(pieces.get(index + 1), Some(Piece::Placeholder(_) | Piece::Wildcard)) {
                    return Err(PatternError::Adjacent(name.clone()));
                }
                if let Some((first, false)) = before {
                    return Err(PatternError::Ambiguous(first.to_owned(), name.clone()));
                }
                before = Some((name, false));
            }
        }
    }
    Ok(())
}

fn borders(pieces: &[Piece]) -> Vec<char> {
    let mut borders = Vec::new();
    for pair in pieces.windows(2) {
        let border = match pair {
            [Piece::Placeholder(_), Piece::Literal(text)] => text.chars().next(),
            [Piece::Literal(text), Piece::Placeholder(_)] => text.chars().next_back(),
            _ => None,
        };
        borders.extend(border.filter(|c| is_plain(*c)));
    }
    borders.sort_unstable();
    borders.dedup();
    borders
}

// === impl Glob ===

impl Glob {
    /// Returns true if the whole of `text` matches. The cost is at most the length of `text` times that of the pattern.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        // The offsets at which the parts so far may end.
        let mut ends = vec![0];
        for part in &self.parts {
            ends = match part {
                GlobPart::Literal(literal) => ends
                    .into_iter()
                    .filter(|at| text[*at..].starts_with(literal.as_str()))
                    .map(|at| at + literal.len())
                    .collect(),
                GlobPart::Wildcard => self.wildcard_ends(text, &ends),
            };
            if ends.is_empty() {
                return false;
            }
        }
        ends.last() == Some(&text.len())
    }

    /// Every offset that a wildcard can reach from `starts`, in order.
    fn wildcard_ends(&self, text: &str, starts: &[usize]) -> Vec<usize> {
        let mut starts = starts.iter().peekable();
        let mut reached = Vec::new();
        let mut open = false;
        for (at, c) in text.char_indices().chain([(text.len(), '\0')]) {
            open |= starts.next_if(|start| **start == at).is_some();
            if open {
                reached.push(at);
                open = !self.borders.contains(&c);
            }
        }
        reached
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            GlobPart::Literal(text) => f.write_str(text),
            GlobPart::Wildcard => f.write_str("*"),
        })
    }
}

#[cfg(test)]
mod tests;
