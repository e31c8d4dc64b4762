//! YAML for people and scripts. Texts with characters that steer a terminal or change the direction of text are quoted and
//! escaped, so that they read back unchanged.

use std::fmt::Write as _;

use serde_json::Value;

use crate::text::is_unsafe;

/// Texts to quote, which are replaced by placeholders before the YAML writer sees them.
struct Quoted {
    /// The prefix of placeholders, which no other text contains.
    mark: String,
    texts: Vec<String>,
}

/// Writes the value as one document.
pub(super) fn to_yaml(value: &Value) -> String {
    let mut quoted = Quoted {
        mark: "quoted".to_owned(),
        texts: Vec::new(),
    };
    if !any_text(value, &must_be_quoted) {
        return written(value);
    }
    while any_text(value, &|text| text.contains(&quoted.mark)) {
        quoted.mark.push_str("-text");
    }
    let text = written(&quoted.replace(value));
    quoted.restore(&text)
}

fn written(value: &Value) -> String {
    let mut text = serde_saphyr::to_string(value).unwrap_or_else(|error| format!("# {error}"));
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

fn must_be_quoted(text: &str) -> bool {
    text.contains(|c| is_unsafe(c) && !matches!(c, '\n' | '\t'))
}

/// Returns true if any text or key matches.
fn any_text(value: &Value, is_such: &dyn Fn(&str) -> bool) -> bool {
    match value {
        Value::String(text) => is_such(text),
        Value::Array(values) => values.iter().any(|value| any_text(value, is_such)),
        Value::Object(fields) => fields
            .iter()
            .any(|(name, value)| is_such(name) || any_text(value, is_such)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

// === impl Quoted ===

impl Quoted {
    fn replace(&mut self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.stand_in(text).into(),
            Value::Array(values) => values.iter().map(|value| self.replace(value)).collect(),
            Value::Object(fields) => {
                let fields = fields.iter();
                fields
                    .map(|(name, value)| (self.stand_in(name), self.replace(value)))
                    .collect()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }

    fn stand_in(&mut self, text: &str) -> String {
        if !must_be_quoted(text) {
            return text.to_owned();
        }
        self.texts.push(text.to_owned());
        format!("{}-{}-", self.mark, self.texts.len() - 1)
    }

    /// Replaces the placeholders with the quoted texts. Each occurs once, in order.
    fn restore(&self, yaml: &str) -> String {
        let (mut restored, mut rest) = (String::with_capacity(yaml.len()), yaml);
        for (number, text) in self.texts.iter().enumerate() {
            let stand_in = format!("{}-{number}-", self.mark);
            let Some((before, after)) = rest.split_once(&stand_in) else {
                continue;
            };
            restored.push_str(before);
            quote(text, &mut restored);
            rest = after;
        }
        restored + rest
    }
}

/// Appends a double-quoted scalar.
fn quote(text: &str, into: &mut String) {
    into.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => into.extend(['\\', c]),
            c if !is_unsafe(c) => into.push(c),
            c => drop(write!(into, "\\U{:08x}", u32::from(c))),
        }
    }
    into.push('"');
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_of_strangers_do_nothing_and_mean_the_same() {
        let forged = "a\u{9b}31m\u{202e}\u{e0041}\x1b[2J\r\n\"b\"\\";
        let value = json!({
            "id": forged,
            forged: [forged, {"quoted": "quoted-0-", "deep": {"er": [forged]}}],
            "plain": "größe: 1\nand more",
            "number": 1,
        });
        let yaml = to_yaml(&value);
        assert!(!yaml.contains(|c| is_unsafe(c) && c != '\n'), "{yaml:?}");
        assert_eq!(serde_saphyr::from_str::<Value>(&yaml).unwrap(), value, "{yaml}");
    }

    #[test]
    fn ordinary_values_are_written_as_ever() {
        let value = json!({"id": "größe", "list": ["a", "b: c"], "text": "two\nlines\n"});
        assert_eq!(to_yaml(&value), written(&value));
    }
}
