//! Patterns over identities, and the templates that what they capture is put into.
//!
//! A placeholder stands for a part of one segment and nothing else, so that whoever controls one name can never be taken for
//! another. Texts are compared byte for byte: case, percent-encoding and a slash at the end make another identity.

use std::{collections::BTreeMap, fmt};

/// What a text is, and so where its segments end.
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

/// A pattern over identities: literal text, `{name}` for a part of a segment, `*` for one that nobody names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    kind: Kind,
    segments: Vec<Segment>,
}

/// What the placeholders of a pattern stood for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captures(BTreeMap<String, String>);

/// What is granted: literal text, `{name}` for what an identity's pattern captured, `*` for any run of characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
    /// Characters next to placeholders that a placeholder could stand for itself. A wildcard does not stand for them: of
    /// `{ns}-*` the last `-` ends the namespace, so that `a` is not granted what belongs to `a-b`.
    borders: Vec<char>,
}

/// A template whose placeholders were filled in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Glob {
    parts: Vec<Part>,
    borders: Vec<char>,
}

/// Why a pattern or a template means nothing, or could grant what it does not say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Nothing at all.
    #[error("it is empty")]
    Empty,
    /// A brace without its other one.
    #[error("it has a brace without its other one")]
    Brace,
    /// A placeholder without a name, or with characters that names do not have.
    #[error("placeholder {{{}}}: names are letters, digits and _", .0.escape_debug())]
    Name(String),
    /// The pattern of the identity has no such placeholder.
    #[error("unknown placeholder {{{0}}}: the identity's pattern has none of this name")]
    Unknown(String),
    /// Two placeholders in one segment: where one ends and the other begins is anybody's guess.
    #[error("segment {0:?} has two placeholders: a segment can have one")]
    Crowded(String),
    /// A wildcard or placeholder right after a placeholder.
    #[error("{{{0}}} is followed by * or a placeholder: what would be granted to one identity could belong to another")]
    Adjacent(String),
    /// Nothing between two placeholders tells where the first one ends.
    #[error("{{{0}}} and {{{1}}} must be separated by a character that neither can stand for, as / or :")]
    Ambiguous(String, String),
}

/// A part of a pattern up to a separator.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Capture {
        before: String,
        /// `None` for `*`.
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
enum Part {
    Literal(String),
    Wildcard,
}

/// The characters that a placeholder can stand for: those that need no encoding in a URI.
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
    /// [`PatternError`] for the first thing that is wrong with it.
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

    /// What the text is that it is matched against.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The names of its placeholders.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Capture { name, .. } => name.as_deref(),
            Segment::Literal(_) | Segment::Separator(_) => None,
        })
    }

    /// What the placeholders stand for, where the whole of `text` matches.
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

/// Segments and what separates them, in turns; braces hold no separators.
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

/// Literal texts never follow each other.
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
    /// Reads a template over what this pattern captures.
    ///
    /// # Errors
    ///
    /// [`PatternError`] where it has other placeholders, or where two identities could be granted what belongs to one.
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

    /// What it grants to an identity.
    #[must_use]
    pub fn expand(&self, captures: &Captures) -> Glob {
        let mut parts: Vec<Part> = Vec::new();
        for piece in &self.pieces {
            let text = match piece {
                Piece::Literal(text) => text.as_str(),
                Piece::Placeholder(name) => captures.get(name),
                Piece::Wildcard => {
                    parts.push(Part::Wildcard);
                    continue;
                }
            };
            match parts.last_mut() {
                Some(Part::Literal(before)) => before.push_str(text),
                Some(Part::Wildcard) | None => parts.push(Part::Literal(text.to_owned())),
            }
        }
        Glob {
            parts,
            borders: self.borders.clone(),
        }
    }
}

fn check_neighbours(pieces: &[Piece]) -> Result<(), PatternError> {
    // The placeholder before, and whether something since then tells where it ends.
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
    /// Whether the whole of `text` matches. Takes the length of `text` times that of the pattern at most.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        // Where the parts so far may end.
        let mut ends = vec![0];
        for part in &self.parts {
            ends = match part {
                Part::Literal(literal) => ends
                    .into_iter()
                    .filter(|at| text[*at..].starts_with(literal.as_str()))
                    .map(|at| at + literal.len())
                    .collect(),
                Part::Wildcard => self.wildcard_ends(text, &ends),
            };
            if ends.is_empty() {
                return false;
            }
        }
        ends.last() == Some(&text.len())
    }

    /// Every place that a wildcard can reach from these, in order.
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
            Part::Literal(text) => f.write_str(text),
            Part::Wildcard => f.write_str("*"),
        })
    }
}

#[cfg(test)]
mod tests;
