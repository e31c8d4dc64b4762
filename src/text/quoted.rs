//! Redacts secrets in a stranger's text. An Envoy that refuses a resource may quote it as protobuf text, JSON or YAML.

use std::{borrow::Cow, ops::Range, sync::LazyLock};

use regex::Regex;

use super::credential::names_credential;

/// The text that replaces a secret.
const REDACTED: &str = "[redacted]";

/// Fields whose values are or may be secrets in any message; an inline DataSource often is one.
const FIELDS: [&str; 8] = [
    "inline_bytes",
    "inline_string",
    "inlineBytes",
    "inlineString",
    "json_key",
    "jsonKey",
    "k",
    "private_key",
];

/// Fields that name the value beside them.
const NAMING: [&str; 2] = ["key", "name"];
const NAMED: [&str; 5] = ["exact", "raw_value", "rawValue", "string_value", "value"];

/// A name, a colon and a value: quoted, with or without the closing quote, or up to the end of a word.
static FIELD: LazyLock<Regex> = LazyLock::new(|| {
    compiled(
        r#"(?s)([A-Za-z_][A-Za-z0-9_.-]*)\\*["']?\s*:\s*(\\*"(?:[^"\\]|\\.)*"?|\\*'(?:[^'\\]|\\.)*'?|[^\s"'{}\[\],;]+)"#,
    )
});
/// A private key in PEM, with or without its end.
static KEY: LazyLock<Regex> = LazyLock::new(|| {
    compiled(r"(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|$)")
});
/// The user and password in a URL.
static URL: LazyLock<Regex> = LazyLock::new(|| compiled(r#"://([^\s/@"']*:[^\s/@"']*)@"#));
/// The credential in the value of an `authorization` header.
static BEARER: LazyLock<Regex> = LazyLock::new(|| compiled(r#"(?i)\b(?:bearer|basic)\s+([^\s"',;\\]{8,})"#));

fn compiled(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the patterns are sound")
}

/// The text without its secrets, as far as field names or the form of a value show them.
#[must_use]
pub fn without_secrets(text: &str) -> Cow<'_, str> {
    let keys = KEY.find_iter(text).map(|found| found.range());
    let inner = |pattern: &'static Regex| {
        let found = pattern.captures_iter(text);
        found.filter_map(|found| Some(found.get(1)?.range()))
    };
    let secrets = keys
        .chain(inner(&URL))
        .chain(inner(&BEARER))
        .chain(fields(text))
        .collect();
    without(text, secrets)
}

/// The text with these ranges redacted.
pub(super) fn without(text: &str, mut secrets: Vec<Range<usize>>) -> Cow<'_, str> {
    if secrets.is_empty() {
        return Cow::Borrowed(text);
    }
    secrets.sort_by_key(|secret| (secret.start, secret.end));
    let (mut redacted, mut at) = (String::with_capacity(text.len()), 0);
    for secret in secrets {
        if secret.start >= at {
            redacted.push_str(&text[at..secret.start]);
            redacted.push_str(REDACTED);
        }
        at = at.max(secret.end);
    }
    redacted.push_str(&text[at..]);
    Cow::Owned(redacted)
}

/// The ranges of secret values.
fn fields(text: &str) -> Vec<Range<usize>> {
    let (mut secrets, mut at) = (Vec::new(), 0);
    // True if the last naming field named a credential: its neighbours then hold one.
    let mut is_named = false;
    while let Some(found) = FIELD.captures_at(text, at) {
        let (Some(name), Some(value)) = (found.get(1), found.get(2)) else {
            break;
        };
        if value.as_str().ends_with(':') {
            // The value is itself the name of a field, within a message.
            at = value.start();
            continue;
        }
        let is_credential = names_credential(name.as_str()) && !goes_on(text, value.range());
        if is_credential || FIELDS.contains(&name.as_str()) || (is_named && NAMED.contains(&name.as_str())) {
            secrets.push(value.range());
        }
        if NAMING.contains(&name.as_str()) {
            is_named = names_credential(value.as_str());
        }
        // A quoted value may itself be JSON or YAML.
        let looks_inside =
            !is_credential && value.as_str().starts_with(['"', '\'', '\\']) && value.as_str().contains(':');
        at = if looks_inside { value.start() + 1 } else { value.end() };
    }
    secrets
}

/// Returns true if an unquoted value begins a sentence, as in `cannot load the secret: no such file`.
fn goes_on(text: &str, value: Range<usize>) -> bool {
    let rest = text[value.end..].trim_start_matches([' ', '\t']);
    let is_quoted = text[value].starts_with(['"', '\'', '\\']);
    !is_quoted && rest.starts_with(char::is_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_left_out_in_every_form_in_which_a_resource_is_quoted() {
        for text in [
            r#"Proto constraint validation failed: private_key { inline_string: "CANARY" }"#,
            r#"generic_secret { secret { inline_bytes: "\001CANARY\"CANARY" } }"#,
            r#"invalid value: {"private_key":{"inline_string":"CANARY"}}"#,
            r#"{"tlsCertificate": {"privateKey": {"inlineString": "CANARY\nCANARY"}}}"#,
            r#"error "{\"inline_string\":\"CANARY\"}" in it"#,
            "private_key:\n  inline_string: CANARY\n",
            "private_key: {inline_bytes: CANARY}",
            "credentials:\n  password: CANARY\n  user: a\n",
            "{password: CANARY, user: a}",
            r#"headers { key: "authorization" value: "Bearer CANARY" }"#,
            r#"header { key: "x-api-key" raw_value: "CANARY" }"#,
            r#"string_match { exact: "CANARY" } name: "cookie" exact: "CANARY""#,
            "-----BEGIN EC PRIVATE KEY-----\nCANARY\n-----END EC PRIVATE KEY-----",
            r"key '-----BEGIN PRIVATE KEY-----\nCANARY",
            "cannot reach https://user:CANARY@host/path",
            "authorization: Bearer CANARY-CANARY",
            "sent Basic CANARYCANARY to it",
            "access_token: \"CANARY\" secret_access_key: \"CANARY\" client_secret=x",
            r#"{"keys":[{"kty":"oct","k":"CANARY"}]}"#,
            r#"inline_string: "CANARY and no end"#,
            r#"config: "{inline_string: 'CANARY'}""#,
        ] {
            let shown = without_secrets(text);
            assert!(
                !shown.replace("exact: \"CANARY\" } name", "").contains("CANARY"),
                "{text}: {shown}"
            );
            assert!(shown.contains(REDACTED), "{shown}");
        }
    }

    #[test]
    fn everything_else_is_left_as_it_is() {
        for text in [
            "",
            "cluster a is not to my taste",
            "Proto constraint validation failed (ClusterValidationError.Name: value length must be at least 1 characters): name: \"\"",
            r#"Error adding/updating listener(s) l: filter_chains { name: "x" } route_config_name: "r" at 127.0.0.1:80"#,
            r#"headers { key: "x-kept" value: "shown" }"#,
            "Failed to load certificate chain from <inline>: expired at 2026-01-01T00:00:00Z",
            "http://host:8080/path and a: b",
            "cannot load the secret: no such file",
            "größe: 東京",
        ] {
            assert!(
                matches!(without_secrets(text), Cow::Borrowed(same) if same == text),
                "{text}"
            );
        }
        assert_eq!(
            without_secrets("cluster a: inline_string: \"x\" and more"),
            "cluster a: inline_string: [redacted] and more"
        );
    }

    #[test]
    fn any_text_is_taken() {
        for text in [
            "\"",
            "a:\"\\",
            "k: '",
            "://:@",
            "-----BEGIN PRIVATE KEY-----",
            "é: \"é",
            "key: \"token\" value",
        ] {
            assert!(!without_secrets(text).is_empty());
        }
        let long = "inline_string: \"\\\"".repeat(1000);
        assert!(without_secrets(&long).len() <= long.len());
    }
}
