//! The canonical form of names like `xdstp://authority/type/id?context`.
//!
//! Names of publishers are canonicalized at admission, names of clients when a request is read, so that equal names are
//! equal texts. A client gets back the canonical form: context parameters sorted, as Envoy writes them itself.

use std::borrow::Cow;

const SCHEME: &str = "xdstp://";

/// Rewrites an `xdstp` name to its canonical form; other names are left alone.
///
/// Context parameters are sorted. Escapes are in upper case, and decoded if the character needs none.
pub fn canonicalize(name: &mut String) {
    if let Some(canonical) = rewritten(name) {
        *name = canonical;
    }
}

/// [`canonicalize`] for a name that may be borrowed.
pub fn canonicalize_cow(name: &mut Cow<'_, str>) {
    if let Some(canonical) = rewritten(name) {
        *name = Cow::Owned(canonical);
    }
}

/// The canonical form, if it differs from the name.
fn rewritten(name: &str) -> Option<String> {
    let rest = name.strip_prefix(SCHEME)?;
    let canonical = canonical(rest);
    (canonical != rest).then(|| format!("{SCHEME}{canonical}"))
}

fn canonical(rest: &str) -> String {
    // Text after "#" is for clients only (TP1, "Directives").
    let (name, directives) = rest
        .split_once('#')
        .map_or((rest, None), |(name, more)| (name, Some(more)));
    let (path, context) = name.split_once('?').unwrap_or((name, ""));
    let mut canonical = unescape(path);
    let mut parameters: Vec<String> = context.split('&').filter(|one| !one.is_empty()).map(unescape).collect();
    parameters.sort();
    for (number, parameter) in parameters.iter().enumerate() {
        canonical.push(if number == 0 { '?' } else { '&' });
        canonical.push_str(parameter);
    }
    if let Some(directives) = directives {
        canonical.push('#');
        canonical.push_str(directives);
    }
    canonical
}

/// Decodes characters that need no escape (RFC 3986, 6.2.2.2) and writes the other escapes in upper case.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        plain.push_str(before);
        let escape = after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let Some(byte) = escape.filter(|_| after.as_bytes()[..2].iter().all(u8::is_ascii_hexdigit)) else {
            // Not an escape: the "%" stands for itself.
            plain.push('%');
            rest = after;
            continue;
        };
        let needs_none = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if needs_none && !(byte.is_ascii_hexdigit() && begins_escape(&plain)) {
            plain.push(char::from(byte));
        } else {
            plain.push('%');
            plain.push_str(&after[..2].to_ascii_uppercase());
        }
        rest = &after[2..];
    }
    plain.push_str(rest);
    plain
}

/// Returns true if a digit after this text would turn a literal `%` into an escape, which would change the name.
fn begins_escape(plain: &str) -> bool {
    match plain.as_bytes() {
        [.., b'%'] => true,
        [.., b'%', digit] => digit.is_ascii_hexdigit(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn expect(name: &str, canonical: &str) {
        let mut written = name.to_owned();
        canonicalize(&mut written);
        assert_eq!(written, canonical);
        canonicalize(&mut written);
        assert_eq!(written, canonical, "canonical is canonical");
    }

    #[test]
    fn context_parameters_are_sorted() {
        expect("xdstp://a/t.T/id?b=2&a=1", "xdstp://a/t.T/id?a=1&b=2");
        expect("xdstp://a/t.T/id/*?b=2&a=1", "xdstp://a/t.T/id/*?a=1&b=2");
        expect("xdstp://a/t.T/id?&b=2&&a=1&", "xdstp://a/t.T/id?a=1&b=2");
        expect("xdstp://a/t.T/id?", "xdstp://a/t.T/id");
        expect("xdstp:///t.T/id?b=2&a=1#entry=x", "xdstp:///t.T/id?a=1&b=2#entry=x");
    }

    #[test]
    fn escapes_are_written_in_one_way() {
        expect("xdstp://a/t.T/%66o%6f%2fbar%5b", "xdstp://a/t.T/foo%2Fbar%5B");
        expect("xdstp://a/t.T/x?k=%61%26", "xdstp://a/t.T/x?k=a%26");
        for same in [
            "xdstp://a/t.T/100%",
            "xdstp://a/t.T/%zz",
            "xdstp://a/t.T/%+1",
            "xdstp://a/t.T/ä%C3",
        ] {
            expect(same, same);
        }
    }

    #[test]
    fn text_that_is_no_escape_does_not_become_one() {
        for (name, canonical) in [
            ("xdstp://%%36%31", "xdstp://%%361"),
            ("xdstp://%6%31", "xdstp://%6%31"),
            ("xdstp://%%63C%A4", "xdstp://%%63C%A4"),
            ("xdstp://a?%%41=%%7a", "xdstp://a?%%41=%z"),
        ] {
            expect(name, canonical);
        }
    }

    #[test]
    fn other_names_are_left_alone() {
        for name in ["", "*", "b?z=1&a=2", "http://a/%66", "xdstp:/a?b&a"] {
            expect(name, name);
        }
    }
}
