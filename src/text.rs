//! Makes a stranger's text safe to log, print or put into a status: shortens it, and escapes characters that steer a
//! terminal, break a line or reverse the writing direction.

mod credential;
mod quoted;
mod verbatim;

use std::{
    borrow::Cow,
    fmt::{self, Write},
};

pub use self::{
    credential::{ends_as_credential, names_credential},
    quoted::without_secrets,
    verbatim::without_values,
};

/// The number of bytes of a stranger's text that are shown within a sentence.
pub const SHOWN: usize = 200;

/// Displays a text within a sentence: escaped, and cut after [`SHOWN`] bytes.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a>(pub &'a str);

/// A writer that escapes unsafe characters and stops at a limit.
#[derive(Debug)]
pub struct Escaping<W> {
    inner: W,
    left: usize,
    is_cut: bool,
}

/// Returns true for characters that are not plain text: control characters of both sets, line separators, marks that
/// change the writing direction, and invisible marks.
#[must_use]
pub const fn is_unsafe(c: char) -> bool {
    matches!(c, '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}')
        || matches!(
            c,
            '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        )
        || matches!(c, '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// JSON text with unsafe characters escaped; its meaning stays the same.
#[must_use]
pub fn escape_json(json: &str) -> Cow<'_, str> {
    // Line breaks between JSON tokens stay; those within strings are escaped already.
    let is_left = |c: char| is_unsafe(c) && c != '\n';
    if !json.contains(is_left) {
        return Cow::Borrowed(json);
    }
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if is_left(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(escaped, "\\u{unit:04x}").ok();
            }
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped)
}

/// The beginning of a text within this many bytes, cut at a character boundary.
#[must_use]
pub fn head(text: &str, bytes: usize) -> &str {
    if text.len() <= bytes {
        return text;
    }
    let end = (0..=bytes).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}

/// The beginning of a text within this many bytes, followed by `…` if text was cut off.
#[must_use]
pub fn cut(text: &str, bytes: usize) -> String {
    let kept = head(text, bytes);
    let mark = if kept.len() < text.len() { "…" } else { "" };
    [kept, mark].concat()
}

// === impl Escaping ===

impl<W: Write> Escaping<W> {
    /// Writes at most `most` bytes, then `…` if text was left out.
    pub const fn new(inner: W, most: usize) -> Self {
        Self {
            inner,
            left: most,
            is_cut: false,
        }
    }

    fn write_whole(&mut self, text: &str) -> fmt::Result {
        if self.is_cut {
            return Ok(());
        }
        if text.len() > self.left {
            self.is_cut = true;
            return self.inner.write_char('…');
        }
        self.left -= text.len();
        self.inner.write_str(text)
    }
}

impl<W: Write> Write for Escaping<W> {
    fn write_str(&mut self, mut text: &str) -> fmt::Result {
        while let Some(at) = text.find(is_unsafe) {
            self.write_safe(&text[..at])?;
            let mut rest = text[at..].chars();
            let escaped = rest.next().map(|c| c.escape_default().to_string());
            self.write_whole(&escaped.unwrap_or_default())?;
            text = rest.as_str();
            if self.is_cut {
                return Ok(());
            }
        }
        self.write_safe(text)
    }
}

impl<W: Write> Escaping<W> {
    /// Writes a text that may be cut at any character.
    fn write_safe(&mut self, text: &str) -> fmt::Result {
        let fits = head(text, self.left);
        self.write_whole(fits)?;
        if fits.len() < text.len() {
            self.write_whole(&text[fits.len()..])?;
        }
        Ok(())
    }
}

// === impl Shown ===

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Escaping::new(f, SHOWN).write_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_shown_unchanged() {
        for text in ["", "type.googleapis.com/a.B", "größe 東京 👩", r#""quoted\""#] {
            assert_eq!(Shown(text).to_string(), text);
        }
    }

    #[test]
    fn characters_that_steer_a_terminal_or_reverse_a_line_are_escaped() {
        for (text, shown) in [
            ("a\nb", r"a\nb"),
            ("\x1b[31mred", r"\u{1b}[31mred"),
            ("c1 \u{9b}31m", r"c1 \u{9b}31m"),
            ("rtl \u{202e}txt", r"rtl \u{202e}txt"),
            ("iso \u{2066}x\u{2069}", r"iso \u{2066}x\u{2069}"),
            ("line\u{2028}end\u{7f}", r"line\u{2028}end\u{7f}"),
            ("hidden\u{200b}\u{feff}", r"hidden\u{200b}\u{feff}"),
            ("tag\u{e0041}", r"tag\u{e0041}"),
        ] {
            assert_eq!(Shown(text).to_string(), shown);
        }
    }

    #[test]
    fn long_texts_are_cut_at_a_character() {
        let shown = Shown(&"x".repeat(20 << 20)).to_string();
        assert_eq!(shown, format!("{}…", "x".repeat(SHOWN)));
        let shown = Shown(&"é".repeat(SHOWN)).to_string();
        assert_eq!(shown, format!("{}…", "é".repeat(SHOWN / 2)));
        let shown = Shown(&"\x1b".repeat(SHOWN)).to_string();
        assert!(
            shown.len() <= SHOWN + '…'.len_utf8() && shown.ends_with("}…"),
            "{shown}"
        );
    }

    #[test]
    fn cut_text_ends_with_a_mark() {
        assert_eq!(cut("short", 5), "short");
        assert_eq!(cut("longer", 5), "longe…");
        assert_eq!(cut("éé", 3), "é…");
        assert_eq!(cut("é", 0), "…");
    }

    #[test]
    fn several_writes_have_one_bound() {
        let mut text = String::new();
        let mut writer = Escaping::new(&mut text, 4);
        for part in ["ab", "c\n", "more"] {
            writer.write_str(part).unwrap();
        }
        assert_eq!(text, "abc…");
    }

    #[test]
    fn json_means_the_same_once_it_is_escaped() {
        let value = serde_json::json!({"a": "\u{9b}31m \u{202e} \u{e0041} \u{7f} \n"});
        let json = format!("{value:#}\n");
        let escaped = escape_json(&json);
        assert!(!escaped.contains(|c| is_unsafe(c) && c != '\n'), "{escaped:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&escaped).unwrap(), value);
        assert!(matches!(escape_json("{\n}\n"), Cow::Borrowed(_)));
    }
}
