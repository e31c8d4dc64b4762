//! The node matchers of a CSDS request: Envoy's `NodeMatcher`, applied to node ids.

use regex::{Regex, RegexBuilder};

use crate::proto::envoy::r#type::matcher::v3::{NodeMatcher, StringMatcher, string_matcher::MatchPattern};

/// The number of matchers in one request; each is tried on every node.
const MOST_MATCHERS: usize = 1000;
/// The number of regular expressions among them; compiling and matching them takes longer.
const MOST_REGEXES: usize = 64;
/// The size of one compiled regular expression, in bytes.
const REGEX_BYTES: usize = 1 << 18;

/// Accepts nodes that any matcher accepts, and all nodes if there is no matcher.
#[derive(Debug)]
pub(super) struct NodeMatch {
    ids: Vec<IdMatch>,
    all: bool,
}

/// A matcher of node ids.
#[derive(Debug)]
enum IdMatch {
    Text {
        place: Place,
        text: String,
        ignore_case: bool,
    },
    Regex(Regex),
}

/// The place of the text in the id.
#[derive(Clone, Copy, Debug)]
enum Place {
    Whole,
    Start,
    End,
    Anywhere,
}

/// A matcher that is not supported.
#[derive(Debug, thiserror::Error)]
pub(super) enum MatcherError {
    #[error("node_matchers: {0} of them, at most {MOST_MATCHERS} are accepted")]
    TooMany(usize),
    #[error("node_matchers[{0}].node_metadatas: metadata of nodes is not kept: match on node_id")]
    Metadata(usize),
    #[error("node_matchers[{0}].node_id: no match pattern is set")]
    NoPattern(usize),
    #[error("node_matchers[{0}].node_id: an empty {1} matches everything: leave it out, or use safe_regex")]
    EmptyPattern(usize, &'static str),
    #[error("node_matchers[{0}].node_id.custom: extensions are not supported")]
    Custom(usize),
    #[error("node_matchers: more than {MOST_REGEXES} of them are regular expressions")]
    ManyRegexes,
    #[error("node_matchers[{0}].node_id.safe_regex: {1}")]
    Regex(usize, Box<regex::Error>),
}

// === impl NodeMatch ===

impl NodeMatch {
    /// Reads the matchers of a request.
    ///
    /// # Errors
    ///
    /// [`MatcherError`] with the first matcher that is not supported.
    pub(super) fn of(matchers: &[NodeMatcher]) -> Result<Self, MatcherError> {
        if matchers.len() > MOST_MATCHERS {
            return Err(MatcherError::TooMany(matchers.len()));
        }
        let mut found = Self {
            ids: Vec::new(),
            all: matchers.is_empty(),
        };
        let is_regex = |matcher: &&NodeMatcher| {
            let id = matcher.node_id.as_ref().and_then(|id| id.match_pattern.as_ref());
            matches!(id, Some(MatchPattern::SafeRegex(_)))
        };
        if matchers.iter().filter(is_regex).count() > MOST_REGEXES {
            return Err(MatcherError::ManyRegexes);
        }
        for (index, matcher) in matchers.iter().enumerate() {
            if !matcher.node_metadatas.is_empty() {
                return Err(MatcherError::Metadata(index));
            }
            match &matcher.node_id {
                Some(id) => found.ids.push(IdMatch::of(index, id)?),
                // A matcher without criteria accepts every node.
                None => found.all = true,
            }
        }
        Ok(found)
    }

    pub(super) fn accepts(&self, id: &str) -> bool {
        self.all || self.ids.iter().any(|matcher| matcher.accepts(id))
    }
}

// === impl IdMatch ===

impl IdMatch {
    fn of(index: usize, matcher: &StringMatcher) -> Result<Self, MatcherError> {
        let text = |place, text: &String| Self::Text {
            place,
            text: text.clone(),
            ignore_case: matcher.ignore_case,
        };
        let filled = |name, place, given: &String| match given.is_empty() {
            true => Err(MatcherError::EmptyPattern(index, name)),
            false => Ok(text(place, given)),
        };
        match &matcher.match_pattern {
            None => Err(MatcherError::NoPattern(index)),
            Some(MatchPattern::Exact(id)) => Ok(text(Place::Whole, id)),
            Some(MatchPattern::Prefix(start)) => filled("prefix", Place::Start, start),
            Some(MatchPattern::Suffix(end)) => filled("suffix", Place::End, end),
            Some(MatchPattern::Contains(part)) => filled("contains", Place::Anywhere, part),
            Some(MatchPattern::SafeRegex(regex)) => {
                // The expression must match the whole text, as in Envoy.
                let whole = RegexBuilder::new(&format!("^(?:{})$", regex.regex))
                    .size_limit(REGEX_BYTES)
                    .build();
                whole
                    .map(Self::Regex)
                    .map_err(|error| MatcherError::Regex(index, Box::new(error)))
            }
            Some(MatchPattern::Custom(_)) => Err(MatcherError::Custom(index)),
        }
    }

    fn accepts(&self, id: &str) -> bool {
        match self {
            Self::Regex(regex) => regex.is_match(id),
            Self::Text {
                place,
                text,
                ignore_case: false,
            } => place.holds(id, text),
            Self::Text {
                place,
                text,
                ignore_case: true,
            } => place.holds(&id.to_ascii_lowercase(), &text.to_ascii_lowercase()),
        }
    }
}

// === impl Place ===

impl Place {
    fn holds(self, id: &str, text: &str) -> bool {
        match self {
            Self::Whole => id == text,
            Self::Start => id.starts_with(text),
            Self::End => id.ends_with(text),
            Self::Anywhere => id.contains(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::envoy::r#type::matcher::v3::{RegexMatcher, StructMatcher};

    fn id(pattern: MatchPattern) -> NodeMatcher {
        NodeMatcher {
            node_id: Some(StringMatcher {
                match_pattern: Some(pattern),
                ignore_case: false,
            }),
            ..NodeMatcher::default()
        }
    }

    fn regex(regex: &str) -> NodeMatcher {
        id(MatchPattern::SafeRegex(RegexMatcher {
            regex: regex.to_owned(),
            ..RegexMatcher::default()
        }))
    }

    fn accepted<'a>(matchers: &[NodeMatcher], ids: &[&'a str]) -> Vec<&'a str> {
        let wanted = NodeMatch::of(matchers).unwrap();
        ids.iter().copied().filter(|id| wanted.accepts(id)).collect()
    }

    #[test]
    fn each_pattern_finds_its_nodes() {
        let ids = ["edge-1", "edge-2", "side-1", "EDGE-1"];
        for (pattern, found) in [
            (MatchPattern::Exact("edge-1".into()), &["edge-1"][..]),
            (MatchPattern::Prefix("edge".into()), &["edge-1", "edge-2"]),
            (MatchPattern::Suffix("-1".into()), &["edge-1", "side-1", "EDGE-1"]),
            (MatchPattern::Contains("de-".into()), &["side-1"]),
        ] {
            assert_eq!(accepted(&[id(pattern.clone())], &ids), found, "{pattern:?}");
        }
        assert_eq!(accepted(&[regex("edge-[1-9]|side")], &ids), ["edge-1", "edge-2"]);
    }

    #[test]
    fn case_is_ignored_on_demand() {
        let mut matcher = id(MatchPattern::Prefix("Edge".into()));
        matcher.node_id.as_mut().unwrap().ignore_case = true;
        assert_eq!(
            accepted(&[matcher], &["edge-1", "EDGE-1", "side"]),
            ["edge-1", "EDGE-1"]
        );
    }

    #[test]
    fn any_matcher_is_enough_and_without_one_all_nodes_match() {
        let ids = ["a", "b", "c"];
        let exact = |text: &str| id(MatchPattern::Exact(text.to_owned()));
        assert_eq!(accepted(&[exact("a"), exact("c")], &ids), ["a", "c"]);
        assert_eq!(accepted(&[], &ids), ids);
        assert_eq!(accepted(&[exact("a"), NodeMatcher::default()], &ids), ids);
    }

    #[test]
    fn unsupported_matchers_are_named() {
        let metadata = NodeMatcher {
            node_metadatas: vec![StructMatcher::default()],
            ..NodeMatcher::default()
        };
        let unset = NodeMatcher {
            node_id: Some(StringMatcher::default()),
            ..NodeMatcher::default()
        };
        let custom = id(MatchPattern::Custom(Default::default()));
        for (matcher, named) in [
            (metadata, "node_matchers[1].node_metadatas"),
            (unset, "node_matchers[1].node_id"),
            (custom, "node_matchers[1].node_id.custom"),
            (regex("("), "node_matchers[1].node_id.safe_regex"),
            (regex("(a{1000}){1000}"), "node_matchers[1].node_id.safe_regex"),
            (id(MatchPattern::Prefix(String::new())), "empty prefix"),
        ] {
            let first = id(MatchPattern::Exact("a".into()));
            let error = NodeMatch::of(&[first, matcher]).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
        let many = vec![regex("a"); MOST_REGEXES + 1];
        assert!(NodeMatch::of(&many).unwrap_err().to_string().contains("more than 64"));
        assert!(NodeMatch::of(&many[1..]).is_ok());
        let many = vec![NodeMatcher::default(); MOST_MATCHERS + 1];
        assert!(NodeMatch::of(&many).unwrap_err().to_string().contains("at most 1000"));
    }
}
