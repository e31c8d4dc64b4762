//! Patterns must not confuse identities, and wildcards must not leave their part of a name.

use proptest::prelude::*;

use super::*;

fn pattern(text: &str) -> Pattern {
    Pattern::new(Kind::Uri, text).unwrap()
}

fn glob(pattern_text: &str, identity: &str, template: &str) -> Glob {
    let pattern = pattern(pattern_text);
    let captures = pattern.captures(identity).expect("the identity matches");
    Template::new(template, &pattern).unwrap().expand(&captures)
}

const SPIFFE: &str = "spiffe://prod/ns/{ns}/sa/{sa}";

#[test]
fn placeholders_stand_for_one_segment() {
    let captures = pattern(SPIFFE).captures("spiffe://prod/ns/shop/sa/cart").unwrap();
    assert_eq!((captures.get("ns"), captures.get("sa")), ("shop", "cart"));
    for other in [
        "spiffe://prod/ns/shop/sa/cart/",
        "spiffe://prod/ns/shop/x/sa/cart",
        "spiffe://prod/ns/shop/sa/cart/x",
        "spiffe://prod/ns//sa/cart",
        "spiffe://prod/ns/shop/sa/",
        "spiffe://prod/ns/shop/sa",
        "spiffe://prod/ns/../sa/cart",
        "spiffe://prod/ns/./sa/cart",
        "spiffe://prod/ns/shop%2Fpay/sa/cart",
        "spiffe://prod/ns/sh*p/sa/cart",
        "spiffe://prod/ns/{ns}/sa/cart",
        "spiffe://prod/ns/shop/sa/cart?x",
        "spiffe://prod/ns/shop/sa/cart#x",
        "spiffe://prod/ns/shop/sa/cärt",
        "SPIFFE://prod/ns/shop/sa/cart",
        "spiffe://PROD/ns/shop/sa/cart",
        "spiffe://prod/NS/shop/sa/cart",
        "spiffe://prod:1/ns/shop/sa/cart",
        "xspiffe://prod/ns/shop/sa/cart",
        " spiffe://prod/ns/shop/sa/cart",
        "spiffe://prod/ns/shop\n/sa/cart",
        "",
    ] {
        assert_eq!(pattern(SPIFFE).captures(other), None, "{other}");
    }
}

#[test]
fn a_wildcard_in_an_identity_is_a_placeholder_without_a_name() {
    let ops = pattern("spiffe://prod/ns/ops/sa/*");
    assert!(ops.captures("spiffe://prod/ns/ops/sa/ci").is_some());
    assert!(ops.captures("spiffe://prod/ns/ops/sa/ci/x").is_none());
    assert!(ops.captures("spiffe://prod/ns/ops/sa/").is_none());
}

#[test]
fn a_dns_placeholder_stands_for_one_label() {
    let hosts = Pattern::new(Kind::Dns, "{host}.prod.example").unwrap();
    assert!(hosts.captures("web-1.prod.example").is_some());
    for other in [
        "a.b.prod.example",
        ".prod.example",
        "prod.example",
        "*.prod.example",
        "web-1.prod.example.",
        "web-1.prod.example.evil",
        "web-1.PROD.example",
    ] {
        assert!(hosts.captures(other).is_none(), "{other}");
    }
}

#[test]
fn a_name_captured_twice_must_be_the_same() {
    let twice = pattern("spiffe://{ns}/ns/{ns}");
    assert!(twice.captures("spiffe://a/ns/a").is_some());
    assert!(twice.captures("spiffe://a/ns/b").is_none());
}

#[test]
fn a_wildcard_never_grants_what_belongs_to_another_namespace() {
    let shop = |template| glob(SPIFFE, "spiffe://prod/ns/shop/sa/cart", template);
    let own = shop("{ns}/*");
    assert!(own.matches("shop/cart-1") && own.matches("shop/a/b"));
    for other in [
        "shop",
        "shopx/a",
        "shop-2/a",
        "pay/shop/a",
        "/shop/a",
        "Shop/a",
        "shop%2Fa",
    ] {
        assert!(!own.matches(other), "{other}");
    }
    let secrets = shop("{ns}-*");
    assert!(secrets.matches("shop-tls"));
    assert!(!secrets.matches("shop-2-tls"), "it may be the namespace shop-2's");
    let suffix = shop("tls-*-{ns}");
    assert!(suffix.matches("tls-a-shop") && !suffix.matches("tls-a-my-shop"));
    assert!(shop("{ns}/{sa}").matches("shop/cart"));
    assert!(!shop("{ns}/{sa}").matches("shop/cart2"));
}

#[test]
fn templates_that_could_grant_to_two_are_refused() {
    let pattern = pattern(SPIFFE);
    for (template, error) in [
        ("", PatternError::Empty),
        ("{ns", PatternError::Brace),
        ("ns}", PatternError::Brace),
        ("{}", PatternError::Name(String::new())),
        ("{host}", PatternError::Unknown("host".to_owned())),
        ("{ns}*", PatternError::Adjacent("ns".to_owned())),
        ("*{ns}", PatternError::Adjacent("ns".to_owned())),
        ("{ns}{sa}", PatternError::Adjacent("ns".to_owned())),
        ("{ns}-{sa}", PatternError::Ambiguous("ns".to_owned(), "sa".to_owned())),
        (
            "{ns}.x*y.{sa}",
            PatternError::Ambiguous("ns".to_owned(), "sa".to_owned()),
        ),
    ] {
        assert_eq!(Template::new(template, &pattern), Err(error), "{template}");
    }
    for crowded in ["a/{x}{y}", "a/{x}-{y}", "a/**", "a/{x}*"] {
        assert!(
            matches!(Pattern::new(Kind::Uri, crowded), Err(PatternError::Crowded(_))),
            "{crowded}"
        );
    }
    assert_eq!(Pattern::new(Kind::Uri, ""), Err(PatternError::Empty));
}

#[test]
fn wildcards_take_any_run_where_nothing_borders_them() {
    let all = glob(SPIFFE, "spiffe://prod/ns/shop/sa/cart", "*");
    assert!(all.matches("") && all.matches("ä/b-c"));
    let several = glob(SPIFFE, "spiffe://prod/ns/shop/sa/cart", "a*b*c");
    assert!(several.matches("abc") && several.matches("axbxbc") && several.matches("aäbäc"));
    assert!(!several.matches("acb") && !several.matches("abcd") && !several.matches("ab"));
}

/// A name with the characters that SPIFFE allows.
fn name() -> impl Strategy<Value = String> {
    "[a-z0-9]([a-z0-9._-]{0,6}[a-z0-9])?"
}

proptest! {
    /// For any two namespaces, a wildcard grants no name to both.
    #[test]
    fn no_text_is_granted_to_two_namespaces(
        first in name(), second in name(), rest in "[a-z0-9._/-]{0,8}",
        template in prop::sample::select(vec!["{ns}/*", "{ns}-*", "{ns}.*", "x-{ns}-*", "*-{ns}", "{ns}-x-*", "{ns}:*-*"]),
    ) {
        prop_assume!(first != second);
        let granted = |ns: &str| glob(SPIFFE, &format!("spiffe://prod/ns/{ns}/sa/a"), template);
        let text = template.replace("{ns}", &first).replace('*', &rest);
        prop_assert!(!(granted(&first).matches(&text) && granted(&second).matches(&text)), "{text}");
    }

    /// The captures, filled into the pattern, give the same identity again.
    #[test]
    fn captures_filled_into_the_pattern_give_the_identity(ns in "[ -~]{1,10}", sa in "[ -~]{1,10}") {
        let text = format!("spiffe://prod/ns/{ns}/sa/{sa}");
        let pattern = pattern(SPIFFE);
        if let Some(captures) = pattern.captures(&text) {
            prop_assert_eq!(captures.get("ns"), ns.as_str());
            prop_assert_eq!(captures.get("sa"), sa.as_str());
            prop_assert!(!ns.contains(['/', ':', '*', '%']) && !sa.contains(['/', ':', '*', '%']));
        }
    }

    /// Matching agrees with a plain backtracking matcher.
    #[test]
    fn globs_match_like_a_backtracking_matcher(parts in prop::collection::vec("[ab-]{0,2}", 1..4), text in "[ab-]{0,8}") {
        let template = parts.join("*");
        prop_assume!(!template.is_empty());
        let glob = glob(SPIFFE, "spiffe://prod/ns/shop/sa/cart", &template);
        prop_assert_eq!(glob.matches(&text), plain(template.as_bytes(), text.as_bytes()));
    }

    /// A text with a letter in another case, an encoded letter or an added slash is never granted.
    #[test]
    fn other_spellings_are_other_names(ns in "[a-z]{1,5}", rest in "[a-z]{1,5}", at in any::<prop::sample::Index>()) {
        let glob = glob(SPIFFE, &format!("spiffe://prod/ns/{ns}/sa/a"), "{ns}/x");
        let text = format!("{ns}/x");
        prop_assert!(glob.matches(&text));
        let at = at.index(ns.len());
        let upper = format!("{}{}{}", &text[..at], text[at..=at].to_uppercase(), &text[at + 1..]);
        let encoded = format!("{}%{:02X}{}", &text[..at], text.as_bytes()[at], &text[at + 1..]);
        for other in [upper, encoded, format!("{text}/"), format!("/{text}"), format!("{text}/{rest}")] {
            prop_assert!(!glob.matches(&other), "{}", other);
        }
    }
}

fn plain(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            plain(rest, text) || text.split_first().is_some_and(|(_, text)| plain(pattern, text))
        }
        (Some((p, rest)), Some((t, text))) => p == t && plain(rest, text),
        _ => false,
    }
}
