//! Character classes and escapes.

use super::{Fault, Parser};

/// The bytes that a class matches. RE2 matches bytes in Envoy: a non-ASCII character counts as the bytes of its
/// encoding.
#[derive(Clone, Copy)]
pub(super) struct Set {
    bytes: [bool; 256],
    /// True for a Unicode class, which may match more than this reader knows.
    vague: bool,
}

const POSIX: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word",
    "xdigit",
];

// === impl Set ===

impl Set {
    const EMPTY: Self = Self {
        bytes: [false; 256],
        vague: false,
    };

    fn of(matches: impl Fn(u8) -> bool) -> Self {
        let mut set = Self::EMPTY;
        for byte in 0..=u8::MAX {
            set.bytes[usize::from(byte)] = matches(byte);
        }
        set
    }

    fn posix(name: &str) -> Self {
        Self::of(|b| match name {
            "alnum" => b.is_ascii_alphanumeric(),
            "alpha" => b.is_ascii_alphabetic(),
            "ascii" => b.is_ascii(),
            "blank" => b == b' ' || b == b'\t',
            "cntrl" => b.is_ascii_control(),
            "digit" => b.is_ascii_digit(),
            "graph" => b.is_ascii_graphic(),
            "lower" => b.is_ascii_lowercase(),
            "print" => b.is_ascii_graphic() || b == b' ',
            "punct" => b.is_ascii_punctuation(),
            "space" => b.is_ascii_whitespace() || b == 0x0b,
            "upper" => b.is_ascii_uppercase(),
            "word" => b.is_ascii_alphanumeric() || b == b'_',
            _ => b.is_ascii_hexdigit(),
        })
    }

    fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.bytes.iter_mut().zip(other.bytes) {
            *mine |= theirs;
        }
        self.vague |= other.vague;
    }

    fn negated(mut self) -> Self {
        for byte in &mut self.bytes {
            *byte = !*byte;
        }
        self
    }

    /// The number of instructions: one per range, where a range of letters may cover both cases.
    pub(super) fn size(&self) -> usize {
        if self.vague {
            return 7;
        }
        let both_cases = (b'a'..=b'z').all(|b| self.at(b) == self.at(b.to_ascii_uppercase()));
        let counts = |b: u8| self.at(b) && !(both_cases && b.is_ascii_uppercase());
        let starts = (0..=u8::MAX).filter(|b| counts(*b) && (*b == 0 || !counts(*b - 1)));
        starts.count().max(1)
    }

    const fn at(&self, byte: u8) -> bool {
        self.bytes[byte as usize]
    }
}

// === impl Parser ===

impl Parser<'_> {
    /// Reads the rest of a class after its `[`; returns its number of instructions.
    pub(super) fn class(&mut self) -> Result<usize, Fault> {
        let negated = self.eat("^");
        let mut set = Set::EMPTY;
        let mut first = true;
        while first || !self.rest.starts_with(']') {
            first = false;
            if self.rest.is_empty() {
                return Err(Fault::MissingBracket);
            }
            if let Some(named) = self.posix_class()? {
                set.add(&named);
            } else if let Some(named) = self.named_class()? {
                set.add(&named);
            } else {
                self.range(&mut set)?;
            }
        }
        self.next();
        Ok(if negated { set.negated() } else { set }.size())
    }

    /// Reads `a` or `a-z`.
    fn range(&mut self, set: &mut Set) -> Result<(), Fault> {
        let begin = self.rest;
        let low = self.class_character()?;
        let mut high = low;
        if self.rest.starts_with('-') && self.rest.len() > 1 && !self.rest.starts_with("-]") {
            self.next();
            high = self.class_character()?;
        }
        let (Some(low), Some(high)) = (low, high) else {
            set.vague = true;
            return Ok(());
        };
        if high < low {
            let text = &begin[..begin.len() - self.rest.len()];
            return Err(Fault::ClassRange(format!("{text} is empty")));
        }
        match (u8::try_from(low), u8::try_from(high)) {
            (Ok(low), Ok(high)) if high.is_ascii() => set.add(&Set::of(|b| (low..=high).contains(&b))),
            _ => {
                for c in [low, high] {
                    let mut buffer = [0; 4];
                    let bytes = c.encode_utf8(&mut buffer).as_bytes();
                    set.add(&Set::of(|b| bytes.contains(&b)));
                }
            }
        }
        Ok(())
    }

    /// Reads a character inside a class; `None` for one that this reader does not know.
    fn class_character(&mut self) -> Result<Option<char>, Fault> {
        match self.peek() {
            None => Err(Fault::MissingBracket),
            Some('\\') => self.escaped_character(),
            Some(_) => Ok(self.next()),
        }
    }

    /// Reads `[:alpha:]` or `[:^alpha:]`.
    fn posix_class(&mut self) -> Result<Option<Set>, Fault> {
        let Some((name, rest)) = self.rest.strip_prefix("[:").and_then(|rest| rest.split_once(":]")) else {
            return Ok(None);
        };
        let plain = name.strip_prefix('^').unwrap_or(name);
        if !POSIX.contains(&plain) {
            return Err(Fault::ClassRange(format!("[:{name}:] is unknown")));
        }
        self.rest = rest;
        let set = Set::posix(plain);
        Ok(Some(if plain == name { set } else { set.negated() }))
    }

    /// Reads `\d`, `\pL`, `\p{Greek}`, or their opposites.
    pub(super) fn named_class(&mut self) -> Result<Option<Set>, Fault> {
        let Some(kind) = self.rest.strip_prefix('\\').and_then(|rest| rest.chars().next()) else {
            return Ok(None);
        };
        let set = match kind.to_ascii_lowercase() {
            'd' => Set::posix("digit"),
            'w' => Set::posix("word"),
            // `\s` does not include the vertical tab.
            's' => Set::of(|b| b.is_ascii_whitespace()),
            'p' => return self.unicode_class().map(Some),
            _ => return Ok(None),
        };
        self.rest = &self.rest[2..];
        Ok(Some(if kind.is_ascii_uppercase() { set.negated() } else { set }))
    }

    fn unicode_class(&mut self) -> Result<Set, Fault> {
        let whole = self.rest;
        self.rest = &self.rest[2..];
        match self.next() {
            Some('{') => match self.rest.split_once('}') {
                Some((_, rest)) => self.rest = rest,
                None => return Err(Fault::ClassRange(format!("{whole} is not closed with }}"))),
            },
            Some(_) => {}
            None => return Err(Fault::Escape(whole.to_owned())),
        }
        Ok(Set {
            vague: true,
            ..Set::EMPTY
        })
    }

    /// Reads the escape of one character, after its `\`; `None` for an escape that this reader does not know.
    pub(super) fn escaped_character(&mut self) -> Result<Option<char>, Fault> {
        let whole = self.rest;
        self.next();
        let bad = || Fault::Escape(whole.chars().take(2).collect());
        let c = self.next().ok_or(Fault::TrailingBackslash)?;
        match c {
            '1'..='7' if !self.rest.starts_with(|c: char| ('0'..='7').contains(&c)) => Err(bad()),
            '0'..='7' => {
                let digits: String = self.rest.chars().take(2).take_while(|c| c.is_digit(8)).collect();
                self.rest = &self.rest[digits.len()..];
                let code = u32::from_str_radix(&format!("{c}{digits}"), 8);
                Ok(code.ok().and_then(char::from_u32))
            }
            'x' => self.hexadecimal().map_err(|()| bad()),
            'a' => Ok(Some('\x07')),
            'f' => Ok(Some('\x0c')),
            'n' => Ok(Some('\n')),
            'r' => Ok(Some('\r')),
            't' => Ok(Some('\t')),
            'v' => Ok(Some('\x0b')),
            c if c.is_ascii_alphanumeric() => Err(bad()),
            c if c.is_ascii() => Ok(Some(c)),
            _ => Ok(None),
        }
    }

    /// Reads `41` or `{41}`.
    fn hexadecimal(&mut self) -> Result<Option<char>, ()> {
        let digits = if self.eat("{") {
            let (digits, rest) = self.rest.split_once('}').ok_or(())?;
            self.rest = rest;
            digits
        } else {
            let digits = self.rest.get(..2).ok_or(())?;
            self.rest = &self.rest[2..];
            digits
        };
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(());
        }
        let code = u32::from_str_radix(digits, 16).map_err(|_| ())?;
        if code > 0x0010_ffff {
            return Err(());
        }
        Ok(char::from_u32(code).filter(char::is_ascii))
    }
}
