//! A reader of RE2 expressions, which Envoy uses: checks that one compiles, and estimates the size of its program.
//!
//! Rust's engine accepts other expressions (`(?x)`, class intersections) and refuses some that RE2 accepts (`/{id}`,
//! `[]a]`, `\C`, `\Q..\E`). Nothing is reported for syntax that this reader does not know, such as names of Unicode
//! classes.

mod class;

use std::collections::HashSet;

/// The largest repetition count; the counts of nested repetitions are multiplied.
const MAX_REPEAT: usize = 1000;
/// The nesting depth of groups that is read; deeper expressions are not judged.
const MAX_DEPTH: usize = 200;
/// The instructions that every program has around the expression.
const FRAME: usize = 4;

/// The reason why RE2 refuses an expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("invalid regular expression: a group is not closed with )")]
    MissingParenthesis,
    #[error("invalid regular expression: a ) closes no group")]
    UnexpectedParenthesis,
    #[error("invalid regular expression: a character class is not closed with ]")]
    MissingBracket,
    #[error("invalid regular expression: it ends with a single \\")]
    TrailingBackslash,
    #[error("invalid regular expression: nothing to repeat before {0}")]
    NothingToRepeat(String),
    #[error("invalid regular expression: {0} repeats what is repeated already")]
    RepeatedTwice(String),
    #[error("invalid regular expression: {0} repeats more than {MAX_REPEAT} times, or less at most than at least")]
    RepeatSize(String),
    #[error("invalid regular expression: RE2 has no escape {0}{hint}", hint = escape_hint(.0))]
    Escape(String),
    #[error("invalid regular expression: the character class range {0}")]
    ClassRange(String),
    #[error("invalid regular expression: RE2 has no {0}{hint}", hint = group_hint(.0))]
    Group(String),
    #[error("invalid regular expression: two groups have the name {0:?}")]
    DuplicateName(String),
}

fn escape_hint(escape: &str) -> &'static str {
    let digit = escape.strip_prefix('\\').and_then(|rest| rest.chars().next());
    if digit.is_some_and(|c| c.is_ascii_digit()) {
        ": no back-references"
    } else {
        ""
    }
}

fn group_hint(group: &str) -> &'static str {
    let look = ["(?=", "(?!", "(?<=", "(?<!"];
    if look.contains(&group) { ": no look-around" } else { "" }
}

/// Checks an expression; returns the approximate number of instructions it compiles to.
pub(super) fn check(pattern: &str) -> Result<usize, Fault> {
    let mut parser = Parser {
        rest: pattern,
        names: HashSet::new(),
        too_deep: false,
    };
    let piece = parser.alternatives(0)?;
    if parser.too_deep {
        return Ok(0);
    }
    if !parser.rest.is_empty() {
        return Err(Fault::UnexpectedParenthesis);
    }
    Ok(piece.size.saturating_add(FRAME))
}

struct Parser<'p> {
    rest: &'p str,
    names: HashSet<&'p str>,
    too_deep: bool,
}

/// A part of an expression that can be repeated.
#[derive(Clone, Copy)]
struct Piece {
    /// The number of instructions.
    size: usize,
    /// The number of repetitions of its innermost part, by counts.
    repeats: usize,
}

/// The state of reading one alternative.
#[derive(Default)]
struct Branch {
    pieces: Vec<Piece>,
    /// The literal text at the beginning: alternatives share an equal prefix.
    prefix: String,
    has_more_than_text: bool,
    /// True right after a repetition.
    repeated: bool,
}

// === impl Piece ===

impl Piece {
    const fn of_size(size: usize) -> Self {
        Self { size, repeats: 1 }
    }
}

// === impl Branch ===

impl Branch {
    fn literal(&mut self, c: char) {
        if !self.has_more_than_text {
            self.prefix.push(c);
        }
        // Envoy's RE2 works on bytes.
        self.pieces.push(Piece::of_size(c.len_utf8()));
        self.repeated = false;
    }

    fn piece(&mut self, piece: Piece) {
        self.has_more_than_text = true;
        self.pieces.push(piece);
        self.repeated = false;
    }

    fn last(&mut self, operator: &str) -> Result<&mut Piece, Fault> {
        if self.repeated {
            return Err(Fault::RepeatedTwice(operator.to_owned()));
        }
        if !self.has_more_than_text {
            self.prefix.pop();
        }
        self.has_more_than_text = true;
        self.repeated = true;
        self.pieces
            .last_mut()
            .ok_or_else(|| Fault::NothingToRepeat(operator.to_owned()))
    }
}

// === impl Parser ===

impl<'p> Parser<'p> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    fn eat(&mut self, text: &str) -> bool {
        let rest = self.rest.strip_prefix(text);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Reads alternatives up to the end, or up to the `)` of the group around.
    fn alternatives(&mut self, depth: usize) -> Result<Piece, Fault> {
        let mut all = Piece::of_size(0);
        let mut previous: Option<String> = None;
        loop {
            let branch = self.branch(depth)?;
            let size = branch
                .pieces
                .iter()
                .fold(0, |sum: usize, piece| sum.saturating_add(piece.size));
            let shared = previous.map_or(0, |previous| common_prefix(&previous, &branch.prefix));
            all.size = all.size.saturating_add(size.saturating_sub(shared));
            let repeats = branch.pieces.iter().map(|piece| piece.repeats).max();
            all.repeats = all.repeats.max(repeats.unwrap_or(1));
            previous = Some(branch.prefix);
            if self.too_deep || !self.eat("|") {
                return Ok(all);
            }
        }
    }

    fn branch(&mut self, depth: usize) -> Result<Branch, Fault> {
        let mut branch = Branch::default();
        while let Some(c) = self.peek() {
            match c {
                '|' | ')' => break,
                '(' => self.group(&mut branch, depth)?,
                '[' => {
                    self.next();
                    let size = self.class()?;
                    branch.piece(Piece::of_size(size));
                }
                '\\' => self.escape(&mut branch)?,
                '*' | '+' | '?' => {
                    self.next();
                    self.eat("?");
                    let last = branch.last(&c.to_string())?;
                    last.size = last.size.saturating_add(1);
                }
                '{' => self.counted(&mut branch)?,
                '.' => {
                    self.next();
                    branch.piece(Piece::of_size(2));
                }
                '^' | '$' => {
                    self.next();
                    branch.piece(Piece::of_size(0));
                }
                c => {
                    self.next();
                    branch.literal(c);
                }
            }
            if self.too_deep {
                break;
            }
        }
        Ok(branch)
    }

    fn group(&mut self, branch: &mut Branch, depth: usize) -> Result<(), Fault> {
        if depth == MAX_DEPTH {
            self.too_deep = true;
            return Ok(());
        }
        self.next();
        let captures = match self.rest.strip_prefix('?') {
            None => true,
            Some(_) => match self.group_head()? {
                Head::Named => true,
                Head::Plain => false,
                Head::FlagsOnly => return Ok(()),
            },
        };
        let mut piece = self.alternatives(depth + 1)?;
        if !self.too_deep && !self.eat(")") {
            return Err(Fault::MissingParenthesis);
        }
        if captures {
            piece.size = piece.size.saturating_add(2);
        }
        branch.piece(piece);
        Ok(())
    }

    /// Reads the head of a group, from the `?` after its `(`.
    fn group_head(&mut self) -> Result<Head, Fault> {
        let whole = self.rest;
        for opening in ["?P<", "?<"] {
            if let Some(rest) = whole.strip_prefix(opening)
                && !rest.starts_with(['=', '!'])
            {
                let bad = || Fault::Group(format!("({}", whole.chars().take(3).collect::<String>()));
                let (name, rest) = rest.split_once('>').ok_or_else(bad)?;
                let sound = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
                if !sound {
                    return Err(bad());
                }
                if !self.names.insert(name) {
                    return Err(Fault::DuplicateName(name.to_owned()));
                }
                self.rest = rest;
                return Ok(Head::Named);
            }
        }
        self.flags(whole)
    }

    /// Reads `?flags)` or `?flags:`.
    fn flags(&mut self, whole: &str) -> Result<Head, Fault> {
        self.next();
        let (mut negated, mut after_negation) = (false, false);
        let mut read = String::from("(?");
        loop {
            let c = self.next();
            read.extend(c);
            match c {
                Some('i' | 'm' | 's' | 'U') => after_negation |= negated,
                Some('-') if !negated => negated = true,
                Some(')') if !negated || after_negation => return Ok(Head::FlagsOnly),
                Some(':') if !negated || after_negation => return Ok(Head::Plain),
                Some(c) => {
                    let look_behind = c == '<' && whole.len() > 2;
                    if look_behind {
                        read.extend(self.next());
                    }
                    return Err(Fault::Group(read));
                }
                None => return Err(Fault::MissingParenthesis),
            }
        }
    }

    /// Reads `{n}`, `{n,}` or `{n,m}`; other text in braces is literal.
    fn counted(&mut self, branch: &mut Branch) -> Result<(), Fault> {
        let Some((least, most, len)) = counts(self.rest) else {
            self.next();
            branch.literal('{');
            return Ok(());
        };
        let operator = self.rest[..len].to_owned();
        self.rest = &self.rest[len..];
        self.eat("?");
        let last = branch.last(&operator)?;
        let largest = most.unwrap_or(least).max(least);
        let product = last.repeats.saturating_mul(largest.max(1));
        if largest > MAX_REPEAT || most.is_some_and(|most| most < least) || product > MAX_REPEAT {
            return Err(Fault::RepeatSize(operator));
        }
        last.repeats = product;
        last.size = match most {
            Some(most) => last.size.saturating_mul(most).saturating_add(most - least),
            None => last.size.saturating_mul(least.max(1)).saturating_add(1),
        };
        Ok(())
    }

    fn escape(&mut self, branch: &mut Branch) -> Result<(), Fault> {
        if self.eat("\\Q") {
            let text = self.rest;
            let (quoted, rest) = text.split_once("\\E").unwrap_or((text, ""));
            self.rest = rest;
            quoted.chars().for_each(|c| branch.literal(c));
            return Ok(());
        }
        let piece = match self.rest[1..].chars().next() {
            Some('A' | 'z') => Some(0),
            Some('b' | 'B') => Some(1),
            Some('C') => Some(1),
            Some(_) | None => None,
        };
        if let Some(size) = piece {
            self.rest = &self.rest[2..];
            branch.piece(Piece::of_size(size));
            return Ok(());
        }
        if let Some(set) = self.named_class()? {
            branch.piece(Piece::of_size(set.size()));
            return Ok(());
        }
        match self.escaped_character()? {
            Some(c) => branch.literal(c),
            None => branch.piece(Piece::of_size(1)),
        }
        Ok(())
    }
}

enum Head {
    Named,
    Plain,
    FlagsOnly,
}

/// The minimum, the maximum, and the length of a counted repetition at the beginning of a text.
fn counts(text: &str) -> Option<(usize, Option<usize>, usize)> {
    let (inside, _) = text.strip_prefix('{')?.split_once('}')?;
    let count = |digits: &str| {
        let sound = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        sound.then(|| digits.parse().unwrap_or(usize::MAX))
    };
    let len = inside.len() + 2;
    match inside.split_once(',') {
        None => count(inside).map(|n| (n, Some(n), len)),
        Some((least, "")) => Some((count(least)?, None, len)),
        Some((least, most)) => Some((count(least)?, Some(count(most)?), len)),
    }
}

fn common_prefix(a: &str, b: &str) -> usize {
    a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests;
