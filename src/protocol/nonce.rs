//! Nonces: each names one response, and the client's answer repeats it.

use std::{fmt, sync::Arc};

/// The name of a response, unique over streams and processes (S-1). A clone allocates nothing.
#[derive(Clone)]
pub struct Nonce {
    stream: Arc<str>,
    /// The number behind the stream's name; 0 where the text is the stream's name alone.
    number: u64,
}

/// Gives each response of a stream its own nonce.
#[derive(Debug)]
pub(super) struct Nonces {
    stream: Arc<str>,
    next: u64,
}

// === impl Nonce ===

impl Nonce {
    /// Returns true if the text of the nonce is `text`.
    #[must_use]
    pub fn is(&self, text: &str) -> bool {
        let Some(rest) = text.strip_prefix(&*self.stream) else {
            return false;
        };
        if self.number == 0 {
            return rest.is_empty();
        }
        let digits = rest.strip_prefix('-').unwrap_or_default();
        // The spellings "+7" and "07" are other texts.
        digits.starts_with(|first: char| first.is_ascii_digit() && first != '0') && digits.parse() == Ok(self.number)
    }

    /// The length of the nonce's text in bytes.
    #[must_use]
    pub fn text_len(&self) -> usize {
        let digits = self.number.checked_ilog10().map_or(0, |log| log as usize + 2);
        self.stream.len() + digits
    }
}

impl PartialEq for Nonce {
    /// Compares the texts.
    fn eq(&self, other: &Self) -> bool {
        match (self.number, other.number) {
            (0, _) => other.is(&self.stream),
            (_, 0) => self.is(&other.stream),
            (number, other_number) => number == other_number && self.stream == other.stream,
        }
    }
}

impl Eq for Nonce {}

impl From<String> for Nonce {
    fn from(nonce: String) -> Self {
        Self {
            stream: nonce.into(),
            number: 0,
        }
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.stream)?;
        match self.number {
            0 => Ok(()),
            number => write!(f, "-{number}"),
        }
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

// === impl Nonces ===

impl Nonces {
    /// Starts the nonces of the stream with this name.
    pub(super) const fn new(stream: Arc<str>) -> Self {
        Self { stream, next: 1 }
    }

    /// The next nonce and its number.
    pub(super) fn draw(&mut self) -> (Nonce, u64) {
        let number = self.next;
        self.next += 1;
        let stream = Arc::clone(&self.stream);
        (Nonce { stream, number }, number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_its_own_text_and_no_other() {
        let mut nonces = Nonces::new("s-1".into());
        for number in 1..=12_u64 {
            let (nonce, drawn) = nonces.draw();
            assert_eq!(drawn, number);
            let text = nonce.to_string();
            assert_eq!(text, format!("s-1-{number}"));
            assert_eq!(nonce.text_len(), text.len());
            assert!(nonce.is(&text) && nonce == Nonce::from(text.clone()) && Nonce::from(text.clone()) == nonce);
            assert!(nonce != Nonce::from("s-1".to_owned()));
            for other in ["", "s-1", "s-1-", "s-1-0", "s-1-13", "s-1-18446744073709551616", "x"] {
                assert!(!nonce.is(other), "{other:?}");
            }
            assert!(!nonce.is(&format!("s-1-0{number}")) && !nonce.is(&format!("s-1-+{number}")));
            assert!(!nonce.is(&format!("s-1{number}")) && !nonce.is(&format!("{text} ")));
        }
    }

    #[test]
    fn a_nonce_of_a_text_is_that_text() {
        for text in ["", "rest-7"] {
            let nonce = Nonce::from(text.to_owned());
            assert_eq!((nonce.to_string().as_str(), nonce.text_len()), (text, text.len()));
            assert!(nonce.is(text) && !nonce.is("rest") && !nonce.is("rest-7-1"));
        }
    }
}
