//! The lines of the audit log, and the hash chain over them. Pure.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

/// An event to be written to the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Event<'a> {
    /// The verified identity; empty for an anonymous client.
    pub who: &'a str,
    /// The address of the client.
    pub from: &'a str,
    /// The path of the RPC or HTTP request.
    pub action: &'a str,
    /// The node id of the request, if it has one.
    pub node: &'a str,
    /// The group that the request concerns, if any.
    pub group: &'a str,
    /// The resource that the request concerns, if any.
    pub resource: &'a str,
    /// The revision that the call made.
    pub revision: Option<u64>,
    /// The author that the caller named.
    pub given_author: &'a str,
    /// True if the request was allowed.
    pub allowed: bool,
    /// The reason of the refusal, or the outcome.
    pub reason: &'a str,
}

/// The state of the chain after a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The number of the last line; 0 before the first.
    number: u64,
    /// The hash of the last line.
    hash: String,
}

/// The place at which a chain is broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Break {
    /// The line was changed, or is not a line of the log.
    #[error("line {0} was changed, or is not a line of an audit log")]
    Changed(usize),
    /// The line does not follow the line before it.
    #[error("line {line}: record {found} follows record {last}: the records between them are missing")]
    Gap {
        /// The number of the line, from 1.
        line: usize,
        /// The number of the previous record.
        last: u64,
        /// The number of this record.
        found: u64,
    },
}

/// A line without its hash; the fields are written in this order.
#[derive(Serialize)]
struct Body<'a> {
    number: u64,
    time: String,
    who: &'a str,
    from: &'a str,
    action: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    node: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    group: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    resource: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[serde(skip_serializing_if = "str::is_empty")]
    given_author: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'a str,
    /// The number of earlier events that were not written, because too many came at once.
    #[serde(skip_serializing_if = "is_zero")]
    left_out: u64,
    previous: &'a str,
}

/// The fields that place a line in the chain.
#[derive(Deserialize)]
struct Link {
    number: u64,
    previous: String,
}

const HASH: &str = ",\"hash\":\"";

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

// === impl Break ===

impl Break {
    /// The message without the line.
    #[must_use]
    pub fn what(&self) -> String {
        match self {
            Self::Changed(_) => "the record was changed, or is not one of an audit log".to_owned(),
            Self::Gap { last, found, .. } => {
                format!(
                    "record {found} follows record {last}: the records between them are missing, or one of the two was inserted"
                )
            }
        }
    }
}

// === impl Chain ===

impl Default for Chain {
    fn default() -> Self {
        Self {
            number: 0,
            hash: "0".repeat(64),
        }
    }
}

impl Chain {
    /// Appends an event to the chain and returns its line, without the line end.
    #[must_use]
    pub fn next(&mut self, event: &Event<'_>, left_out: u64, time: SystemTime) -> String {
        let number = self.number + 1;
        let body = Body {
            number,
            time: humantime::format_rfc3339_millis(time).to_string(),
            who: event.who,
            from: event.from,
            action: event.action,
            node: event.node,
            group: event.group,
            resource: event.resource,
            revision: event.revision,
            given_author: event.given_author,
            allowed: event.allowed,
            reason: event.reason,
            left_out,
            previous: &self.hash,
        };
        let mut line = serde_json::to_string(&body).expect("texts and numbers can be written as JSON");
        let hash = blake3::hash(line.as_bytes()).to_hex().to_string();
        line.truncate(line.len() - 1);
        line.push_str(HASH);
        line.push_str(&hash);
        line.push_str("\"}");
        *self = Self { number, hash };
        line
    }

    /// The chain after this line; `None` if the line was changed or is not one of the log.
    #[must_use]
    pub fn after(line: &str) -> Option<Self> {
        Some(read(line)?.0)
    }

    /// The number of the last line.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }
}

/// The chain after a line, and the hash that the line names as its predecessor.
fn read(line: &str) -> Option<(Chain, String)> {
    let (body, rest) = line.rsplit_once(HASH)?;
    let hash = rest.strip_suffix("\"}")?;
    let body = format!("{body}}}");
    if blake3::hash(body.as_bytes()).to_hex().as_str() != hash {
        return None;
    }
    let Link { number, previous } = serde_json::from_str(&body).ok()?;
    let chain = Chain {
        number,
        hash: hash.to_owned(),
    };
    Some((chain, previous))
}

/// Verifies lines that follow `chain`, or that begin a chain where `chain` is `None`.
///
/// # Errors
///
/// [`Break`] at the first line that does not follow.
pub fn verify<'a>(mut chain: Option<Chain>, lines: impl IntoIterator<Item = &'a str>) -> Result<Option<Chain>, Break> {
    for (index, line) in lines.into_iter().enumerate() {
        let (next, previous) = read(line).ok_or(Break::Changed(index + 1))?;
        let expected = match &chain {
            Some(chain) => chain.clone(),
            // Older files may be gone, so the first line may have any number; record 1 starts from the initial hash.
            None if next.number == 1 => Chain::default(),
            None => Chain {
                number: next.number.wrapping_sub(1),
                hash: previous.clone(),
            },
        };
        if next.number != expected.number + 1 || previous != expected.hash {
            return Err(Break::Gap {
                line: index + 1,
                last: expected.number,
                found: next.number,
            });
        }
        chain = Some(next);
    }
    Ok(chain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(count: usize) -> Vec<String> {
        let mut chain = Chain::default();
        let line = |index: usize| {
            let who = format!("token:\"{index}\"\n");
            let event = Event {
                who: &who,
                action: "/a/B",
                allowed: index.is_multiple_of(2),
                revision: Some(index as u64),
                ..Event::default()
            };
            chain.next(&event, 0, SystemTime::UNIX_EPOCH)
        };
        (0..count).map(line).collect()
    }

    fn check(lines: &[String]) -> Result<Option<Chain>, Break> {
        verify(None, lines.iter().map(String::as_str))
    }

    #[test]
    fn a_line_is_an_object_that_says_who_did_what() {
        let line = &lines(1)[0];
        assert!(!line.contains('\n'), "{line}");
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(value["who"], "token:\"0\"\n");
        assert_eq!(value["allowed"], true);
        assert_eq!(value["time"], "1970-01-01T00:00:00.000Z");
        assert_eq!(value.get("node"), None);
    }

    #[test]
    fn a_whole_chain_is_whole_wherever_it_begins() {
        let lines = lines(5);
        for from in 0..5 {
            assert_eq!(check(&lines[from..]).unwrap().unwrap().number(), 5);
        }
        assert_eq!(check(&[]), Ok(None));
        let first = check(&lines[..2]).unwrap();
        assert_eq!(verify(first, lines[2..].iter().map(String::as_str)), check(&lines));
    }

    #[test]
    fn removed_inserted_and_moved_lines_are_detected() {
        let whole = lines(5);
        for gone in 1..4 {
            let mut rest = whole.clone();
            rest.remove(gone);
            assert!(matches!(check(&rest), Err(Break::Gap { .. })), "{gone}");
        }
        let mut moved = whole.clone();
        moved.swap(1, 2);
        assert!(check(&moved).is_err());
        let mut twice = whole.clone();
        twice.insert(2, whole[1].clone());
        assert!(check(&twice).is_err());
        let mut foreign = whole.clone();
        foreign[2] = lines(9)[8].clone();
        assert!(check(&foreign).is_err());
    }

    #[test]
    fn a_changed_line_is_detected() {
        let whole = lines(3);
        for (from, to) in [
            ("\"allowed\":false", "\"allowed\":true"),
            ("/a/B", "/a/C"),
            ("\"number\":2", "\"number\":3"),
        ] {
            let mut changed = whole.clone();
            changed[1] = changed[1].replace(from, to);
            assert_eq!(check(&changed), Err(Break::Changed(2)), "{from}");
        }
        for broken in ["", "{}", "x", &whole[1][1..], &whole[1][..whole[1].len() - 3]] {
            let mut changed = whole.clone();
            changed[1] = broken.to_owned();
            assert_eq!(check(&changed), Err(Break::Changed(2)), "{broken}");
        }
    }
}
