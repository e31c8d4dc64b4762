//! Named string formats: header names and values, addresses, URIs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::proto::validate::{KnownRegex, string_rules};

/// A named string format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WellKnown {
    HeaderName,
    HeaderValue,
    /// A header name or value with `strict` false: only characters that would end it are forbidden.
    HeaderString,
    Email,
    Hostname,
    Ip,
    Ipv4,
    Ipv6,
    Uri,
    UriRef,
    /// A host name or an IP address.
    Address,
    Uuid,
}

// === impl WellKnown ===

impl WellKnown {
    /// The format that a rule demands; `None` if the rule is off.
    pub(super) fn of(rule: string_rules::WellKnown, strict: bool) -> Option<Self> {
        use string_rules::WellKnown as Rule;
        let (known, on) = match rule {
            Rule::Email(on) => (Self::Email, on),
            Rule::Hostname(on) => (Self::Hostname, on),
            Rule::Ip(on) => (Self::Ip, on),
            Rule::Ipv4(on) => (Self::Ipv4, on),
            Rule::Ipv6(on) => (Self::Ipv6, on),
            Rule::Uri(on) => (Self::Uri, on),
            Rule::UriRef(on) => (Self::UriRef, on),
            Rule::Address(on) => (Self::Address, on),
            Rule::Uuid(on) => (Self::Uuid, on),
            Rule::WellKnownRegex(regex) => match (KnownRegex::try_from(regex).ok()?, strict) {
                (KnownRegex::Unknown, _) => return None,
                (KnownRegex::HttpHeaderName, true) => (Self::HeaderName, true),
                (KnownRegex::HttpHeaderValue, true) => (Self::HeaderValue, true),
                (KnownRegex::HttpHeaderName | KnownRegex::HttpHeaderValue, false) => (Self::HeaderString, true),
            },
        };
        on.then_some(known)
    }

    /// The name of the rule that demands the format.
    pub(super) const fn rule(self) -> &'static str {
        match self {
            Self::HeaderName | Self::HeaderValue | Self::HeaderString => "well_known_regex",
            Self::Email => "email",
            Self::Hostname => "hostname",
            Self::Ip => "ip",
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::Uri => "uri",
            Self::UriRef => "uri_ref",
            Self::Address => "address",
            Self::Uuid => "uuid",
        }
    }

    /// The description of the format, after "must be".
    pub(super) const fn describe(self) -> &'static str {
        match self {
            Self::HeaderName => "the name of an HTTP header",
            Self::HeaderValue => "the value of an HTTP header, without control characters",
            Self::HeaderString => "without NUL, CR and LF, as what goes into an HTTP header",
            Self::Email => "an email address",
            Self::Hostname => "a host name",
            Self::Ip => "an IP address",
            Self::Ipv4 => "an IPv4 address",
            Self::Ipv6 => "an IPv6 address",
            Self::Uri => "a URI with its scheme",
            Self::UriRef => "a URI",
            Self::Address => "a host name or an IP address",
            Self::Uuid => "a UUID",
        }
    }

    pub(super) fn fits(self, text: &str) -> bool {
        match self {
            Self::HeaderName => is_header_name(text),
            Self::HeaderValue => !text.bytes().any(|byte| (byte < 0x20 && byte != b'\t') || byte == 0x7f),
            Self::HeaderString => !text.bytes().any(|byte| matches!(byte, b'\0' | b'\r' | b'\n')),
            Self::Email => is_email(text),
            Self::Hostname => is_hostname(text),
            Self::Ip => text.parse::<IpAddr>().is_ok(),
            Self::Ipv4 => text.parse::<Ipv4Addr>().is_ok(),
            Self::Ipv6 => text.parse::<Ipv6Addr>().is_ok(),
            Self::Uri => is_uri(text),
            Self::UriRef => has_uri_characters(text),
            Self::Address => is_hostname(text) || text.parse::<IpAddr>().is_ok(),
            Self::Uuid => is_uuid(text),
        }
    }
}

/// A token of RFC 9110 as protoc-gen-validate defines it (commas allowed), with an optional `:` for pseudo-headers.
fn is_header_name(text: &str) -> bool {
    let name = text.strip_prefix(':').unwrap_or(text);
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+,-.^_|~`".contains(&byte);
    !name.is_empty() && name.bytes().all(allowed)
}

/// RFC 1034, with or without the root's dot.
fn is_hostname(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    text.len() <= 253 && text.strip_suffix('.').unwrap_or(text).split('.').all(is_label)
}

/// An address of RFC 5322 without comments and quoted parts, or `Name <address>`.
fn is_email(text: &str) -> bool {
    let address = match text.split_once('<') {
        Some((_, rest)) => match rest.strip_suffix('>') {
            Some(address) => address,
            None => return false,
        },
        None => text,
    };
    let is_atom = |atom: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte) || byte >= 0x80;
        !atom.is_empty() && atom.bytes().all(allowed)
    };
    let Some((local, host)) = address.rsplit_once('@') else {
        return false;
    };
    address.len() <= 254 && local.len() <= 64 && local.split('.').all(is_atom) && is_hostname(host)
}

/// A scheme, a colon, and the rest.
fn is_uri(text: &str) -> bool {
    let Some((scheme, _)) = text.split_once(':') else {
        return false;
    };
    let mut scheme = scheme.bytes();
    scheme.next().is_some_and(|first| first.is_ascii_alphabetic())
        && scheme.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        && has_uri_characters(text)
}

/// Returns true if all characters are allowed in a URI by RFC 3986, and each `%` precedes two hexadecimal digits.
fn has_uri_characters(text: &str) -> bool {
    let mut parts = text.split('%');
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=".contains(&byte);
    let first = parts.next().is_none_or(|part| part.bytes().all(allowed));
    first
        && parts.all(|part| {
            part.len() >= 2
                && part.bytes().take(2).all(|byte| byte.is_ascii_hexdigit())
                && part.bytes().skip(2).all(allowed)
        })
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(known: WellKnown, good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(known.fits(text), "{text:?} is {}", known.describe());
        }
        for text in bad {
            assert!(!known.fits(text), "{text:?} is not {}", known.describe());
        }
    }

    #[test]
    fn header_names_are_tokens_with_or_without_a_colon() {
        check(
            WellKnown::HeaderName,
            &["x-a", ":path", "a`b", "a,b", "!#$%&'*+.^_|~"],
            &["", ":", "::a", "a b", "a:b", "a\n", "ä", "a/b", "(a)"],
        );
    }

    #[test]
    fn header_values_have_no_control_characters() {
        check(
            WellKnown::HeaderValue,
            &["", "a b\tc", "ä"],
            &["a\nb", "a\0", "\u{7f}", "\u{1f}"],
        );
        check(
            WellKnown::HeaderString,
            &["", "a b\tc", "\u{7f}\u{1f}"],
            &["a\nb", "a\0", "\r"],
        );
    }

    #[test]
    fn addresses_are_names_or_numbers() {
        check(
            WellKnown::Ip,
            &["1.2.3.4", "::1"],
            &["", "1.2.3", "01.2.3.4", "[::1]", "a"],
        );
        check(WellKnown::Ipv4, &["1.2.3.4"], &["::1", "1.2.3.256"]);
        check(WellKnown::Ipv6, &["::1", "fe80::"], &["1.2.3.4", "[::1]"]);
        let long = format!("{}.a", "a".repeat(64));
        check(
            WellKnown::Hostname,
            &["a", "a.b-c.d", "a.b.", "1.2.3.4"],
            &["", ".", "-a.b", "a-.b", "a..b", "a_b", &long],
        );
        check(WellKnown::Address, &["a.b", "::1"], &["", "a_b", "[::1]"]);
    }

    #[test]
    fn uris_keep_to_their_characters() {
        check(
            WellKnown::Uri,
            &["http://a/b?c#d", "mailto:a@b", "a:%20"],
            &["", "/a", "a b", "1:a", "a:%2", "a:<"],
        );
        check(WellKnown::UriRef, &["", "/a?b", "http://a"], &["a b", "%zz", "ä"]);
    }

    #[test]
    fn emails_have_a_local_part_and_a_host() {
        check(
            WellKnown::Email,
            &["a@b.c", "A B <a.b@c>", "a+b@c"],
            &["", "a", "@b", "a@", "a@b@c", "a b@c", "A <a@b", "a..b@c"],
        );
    }

    #[test]
    fn uuids_have_their_dashes() {
        check(
            WellKnown::Uuid,
            &["123e4567-e89b-12d3-a456-426614174000"],
            &[
                "",
                "123e4567e89b12d3a456426614174000",
                "123e4567-e89b-12d3-a456-42661417400g",
            ],
        );
    }
}
