//! Verdicts observed with a real Envoy, sizes included.

use super::*;

#[test]
fn what_re2_takes_is_taken() {
    for pattern in [
        "",
        "a|b|",
        "(?<x>a)",
        "(?P<x>a)",
        r"\C",
        r"\Qa.b(\E",
        "(?U)a+",
        r"a\z",
        "[a-z&&[^b]]",
        "/{id}/x",
        "/a{",
        "[]a]",
        "a{,5}",
        r"\pN\p{Greek}\p{L}\P{^L}",
        r"\/a\-b\_",
        "ä+",
        "[[:word:]]+",
        r"\x{41}\x41",
        r"\bfoo\B",
        "a{1000}",
        "(?:a{10}){100}",
        "a*?",
        "a{2}?",
        "(?i-s:a)",
        r"[\d-z]",
        "[a-]",
        "[-a]",
        r"[\w.-]+",
        r"\0\12",
        "^*",
        "(?i)(?:)",
        "[^]]",
        r"[\]]",
        "a{0}",
    ] {
        check(pattern).unwrap_or_else(|fault| panic!("{pattern}: {fault}"));
    }
}

#[test]
fn what_re2_does_not_take_is_refused() {
    for pattern in [
        "a(b",
        "a)",
        "/(?!a).*",
        "/(?=a)",
        "(?<=a)b",
        "(?<!a)b",
        r"/(a)\1",
        "a{1001}",
        "(a{100}){100}",
        "a*+",
        "a**",
        "*a",
        "|*",
        "(+)",
        "(?x)a b",
        r"a\Z",
        r"\kab",
        r"\u0041",
        r"\h+",
        "[[:foo:]]",
        "[z-a]",
        "[a",
        "[]",
        r"a\",
        r"\8",
        "(?<x>a)(?<x>b)",
        "(?<>a)",
        "(?",
        "(?i",
        "(?-)",
        r"[\b]",
        r"\xg1",
        r"\x{110000}",
        "a{2}{3}",
        r"\p{L",
        "(?#c)",
        "(?>a)",
        r"[a-\d]",
        "a{3,2}",
    ] {
        assert!(check(pattern).is_err(), "{pattern}");
    }
}

#[test]
fn a_fault_names_what_is_missing_in_re2() {
    let said = |pattern| check(pattern).unwrap_err().to_string();
    assert!(
        said("(?!a)").ends_with("RE2 has no (?!: no look-around"),
        "{}",
        said("(?!a)")
    );
    assert!(
        said("(?<!a)").ends_with("RE2 has no (?<!: no look-around"),
        "{}",
        said("(?<!a)")
    );
    assert!(said(r"(a)\1").ends_with(r"RE2 has no escape \1: no back-references"));
    assert!(said("a**").ends_with("* repeats what is repeated already"));
}

#[test]
fn sizes_are_those_of_envoy_but_for_one_or_two() {
    for (pattern, size) in [
        ("a", 5),
        ("ab", 6),
        (".", 6),
        (".{20}", 44),
        ("[^a]", 6),
        ("ab|cd", 8),
        ("abc|abd", 7),
        ("(a)", 7),
        ("a?", 6),
        ("a+", 6),
        ("a{3}", 7),
        ("a{2,4}", 10),
        ("a{2,}", 7),
        (r"\d+", 6),
        ("[a-zA-Z0-9_-]+", 9),
        ("[a-z]", 5),
        (r"\w+", 8),
        ("ä", 6),
        ("€", 7),
        ("a.*", 7),
        ("/api/v[0-9]+/.*", 15),
        (r"\bfoo\b", 9),
        (r"\pL", 11),
        ("[^/]+", 7),
        ("/[^/]+/[^/]+", 12),
        ("(?:ab|cd){10}", 44),
        ("a{0,3}", 10),
        ("[[:alpha:]]", 5),
        (r"\.example\.com", 16),
        ("[^ab]{3}", 10),
        (r"\D", 6),
        (r"\S+", 9),
        (r"\W", 9),
        ("(abcdefghij)?(abcdefghij)?", 30),
        ("(?:a*){60}", 123),
        ("ab|ac|bd", 8),
    ] {
        let estimate = check(pattern).unwrap();
        assert!(estimate.abs_diff(size) <= 2, "{pattern}: {estimate} for {size}");
    }
    assert_eq!(check(&"a".repeat(96)), Ok(100));
    assert_eq!(check(&"a".repeat(97)), Ok(101));
}

#[test]
fn very_deep_nesting_is_not_judged() {
    assert_eq!(check(&"(".repeat(100_000)), Ok(0));
}
