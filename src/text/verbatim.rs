//! Redacts known secret values in a stranger's text: verbatim, or as protobuf text, JSON or base64 writes them.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
    ops::Range,
};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};

use super::quoted::without;

/// The shortest form that is searched for, in bytes; shorter ones occur by chance.
const SHORTEST: usize = 8;

/// Written forms of the values, by their first bytes.
#[derive(Default)]
struct Forms(HashMap<[u8; SHORTEST], BTreeSet<Vec<u8>>>);

/// The text without these values. A value cut off by the end of the text is found by its first 8 bytes. Each line of a
/// value is searched for on its own, except the lines that begin and end a PEM block, which are no secret.
#[must_use]
pub fn without_values<V: AsRef<[u8]>>(text: &str, values: impl IntoIterator<Item = V>) -> Cow<'_, str> {
    let mut forms = Forms::default();
    for value in values {
        forms.add(value.as_ref());
    }
    without(text, forms.found_in(text))
}

// === impl Forms ===

impl Forms {
    fn add(&mut self, value: &[u8]) {
        let value = value.trim_ascii();
        let lines = value.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        for part in lines.chain([value]).filter(|part| !part.starts_with(b"-----")) {
            self.insert(part.to_vec());
            self.insert(part.escape_ascii().to_string().into_bytes());
            self.insert(octal(part));
            self.insert(json(part));
        }
        self.insert(STANDARD_NO_PAD.encode(value).into_bytes());
    }

    fn insert(&mut self, form: Vec<u8>) {
        if let Some(begin) = form.first_chunk() {
            self.0.entry(*begin).or_default().insert(form);
        }
    }

    fn found_in(&self, text: &str) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        let mut rest = text.as_bytes();
        while let Some(begin) = rest.first_chunk::<SHORTEST>() {
            let at = text.len() - rest.len();
            let fits = |form: &Vec<u8>| {
                let shown = form.len().min(rest.len());
                (rest[..shown] == form[..shown]).then_some(shown)
            };
            let forms = self.0.get(begin).into_iter().flatten();
            if let Some(longest) = forms.filter_map(fits).max() {
                let is_boundary = |at: &usize| text.is_char_boundary(*at);
                let start = (0..=at).rev().find(is_boundary).unwrap_or(at);
                let end = (at + longest..=text.len()).find(is_boundary).unwrap_or(text.len());
                found.push(start..end);
            }
            rest = &rest[1..];
        }
        found
    }
}

/// Bytes as protobuf text writes them.
fn octal(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'\n' => text.extend(b"\\n"),
            b'\r' => text.extend(b"\\r"),
            b'\t' => text.extend(b"\\t"),
            b'"' | b'\'' | b'\\' => text.extend([b'\\', *byte]),
            b' '..=b'~' => text.push(*byte),
            _ => text.extend(format!("\\{byte:03o}").into_bytes()),
        }
    }
    text
}

/// A text as JSON writes it; empty for bytes that are not UTF-8.
fn json(bytes: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(bytes).ok();
    let quoted = text.and_then(|text| serde_json::to_vec(text).ok()).unwrap_or_default();
    quoted
        .get(1..quoted.len().saturating_sub(1))
        .unwrap_or_default()
        .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEG\nCCqGSM49AwEHBG0wawIBAQQg\n-----END PRIVATE KEY-----\n";

    #[test]
    fn values_are_left_out_in_every_form_in_which_a_node_writes_them() {
        let binary = b"\x00\xff\"binary\\key";
        let odd = "pa\"ss'wo\\rd größe";
        let values: [&[u8]; 4] = [b"hunter2-hunter2", KEY.as_bytes(), binary, odd.as_bytes()];
        for (text, kept) in [
            (
                "cannot use hunter2-hunter2 as a password",
                "cannot use [redacted] as a password",
            ),
            (
                "the base64 aHVudGVyMi1odW50ZXIy== of it",
                "the base64 [redacted]== of it",
            ),
            ("line CCqGSM49AwEHBG0wawIBAQQg of it", "line [redacted] of it"),
            (r#"is \000\377\"binary\\key"#, "is [redacted]"),
            (r#"is \x00\xff\"binary\\key"#, "is [redacted]"),
            (r#"quoted "pa\"ss'wo\\rd größe""#, r#"quoted "[redacted]""#),
            (
                r#"quoted "pa\"ss\'wo\\rd gr\303\266\303\237e""#,
                r#"quoted "[redacted]""#,
            ),
            ("bare pa\"ss'wo\\rd größe", "bare [redacted]"),
            ("cut off hunter2-", "cut off [redacted]"),
            ("twice hunter2-hunter2hunter2-hunter2", "twice [redacted][redacted]"),
        ] {
            assert_eq!(without_values(text, values), kept, "{text}");
        }
        let escaped = format!("refused: {KEY:?}");
        let shown = without_values(&escaped, values);
        assert!(!shown.contains("MIGH") && !shown.contains("CCqG"), "{shown}");
        assert!(shown.contains("BEGIN PRIVATE KEY"), "{shown}");
    }

    #[test]
    fn a_text_without_them_is_left_as_it_is() {
        let values = ["hunter2-hunter2", "short", "größe größe"];
        for text in ["", "short", "hunter2", "größe", "nothing of it", "東京東京東京"] {
            assert!(
                matches!(without_values(text, values), Cow::Borrowed(same) if same == text),
                "{text}"
            );
        }
        let none: [&str; 0] = [];
        assert!(matches!(without_values("hunter2-hunter2", none), Cow::Borrowed(_)));
    }
}
