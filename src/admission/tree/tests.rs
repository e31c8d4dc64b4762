//! The positions of values in a document, and the values that YAML text stands for.

use super::*;

fn tree(text: &str) -> Node {
    parse(text.as_bytes(), &Limits::default()).unwrap()
}

const fn at(line: u32, column: u32) -> Position {
    Position { line, column }
}

#[test]
fn every_node_and_key_knows_its_place() {
    let root = tree("a:\n  b: [1, {c: ä, d: 'x'}]\n");
    let list = root.get("a").unwrap().get("b").unwrap();
    assert_eq!(list.at, at(2, 6));
    let Tree::Sequence(items) = &list.tree else { panic!() };
    assert_eq!((items[0].at, items[1].at), (at(2, 7), at(2, 10)));
    let Tree::Mapping(entries) = &items[1].tree else {
        panic!()
    };
    assert_eq!((entries[0].0.at, entries[0].1.at), (at(2, 11), at(2, 14)));
    // Columns count characters, not bytes.
    assert_eq!(entries[1].0.at, at(2, 17));
}

#[test]
fn json_is_read_as_yaml_with_tabs_and_escapes() {
    let root = tree("{\n\t\"a\\u00e9\":\t\"\\ud83d\\ude00\\/\\b\\f\",\n\t\"b\": -1.5e-3\n}\n");
    assert_eq!(root.get("aé").unwrap().as_str(), Some("😀/\u{8}\u{c}"));
    assert!(matches!(root.get("b").unwrap().tree, Tree::Float(v) if v == -0.0015));
    assert_eq!(root.get("b").unwrap().at, at(3, 7));
}

#[test]
fn aliases_and_merge_keys_stand_for_what_they_name() {
    let root = tree("a: &x {b: 1}\nc: *x\nd:\n  <<: *x\n  e: 2\n");
    assert_eq!(root.get("c").unwrap().get("b").unwrap().at, at(1, 11));
    assert!(matches!(
        root.get("d").unwrap().get("b").unwrap().tree,
        Tree::Unsigned(1)
    ));
}

#[test]
fn keys_are_text_even_where_yaml_reads_a_number() {
    let root = tree("200: ok\ntrue: x\n1.0: y\n");
    for key in ["200", "true", "1.0"] {
        assert!(root.get(key).is_some(), "{key}");
    }
}

#[test]
fn tags_without_meaning_are_refused() {
    let error = parse(b"a: !secret x\n", &Limits::default()).unwrap_err();
    assert_eq!((error.at.line, error.kind), (1, SyntaxErrorKind::Malformed));
}

#[test]
fn a_document_of_brackets_is_refused_by_its_values_and_not_by_its_bytes() {
    let limits = Limits {
        document_values: 1_000,
        ..Limits::default()
    };
    let of = |values: usize| format!("a: [{}]\n", "[],".repeat(values));
    assert!(parse(of(900).as_bytes(), &limits).is_ok());
    for text in [
        of(1_100),
        format!("a: {{{}}}\n", (0..600).map(|n| format!("k{n}: v,")).collect::<String>()),
    ] {
        let error = parse(text.as_bytes(), &limits).unwrap_err();
        assert_eq!(error.kind, SyntaxErrorKind::TooLarge, "{}", error.message);
    }
    let aliases = format!("a: &x [{}]\nb: [{}]\n", "1,".repeat(90), "*x,".repeat(90));
    assert_eq!(
        parse(aliases.as_bytes(), &limits).unwrap_err().kind,
        SyntaxErrorKind::TooLarge
    );
}

#[test]
fn text_that_aliases_stand_for_counts_each_time() {
    let limits = Limits {
        document_bytes: 4_096,
        ..Limits::default()
    };
    let of = |times: usize| format!("a: &x {}\nb: [{}]\n", "x".repeat(1_000), "*x,".repeat(times));
    assert!(parse(of(2).as_bytes(), &limits).is_ok());
    let error = parse(of(8).as_bytes(), &limits).unwrap_err();
    assert_eq!(error.kind, SyntaxErrorKind::TooLarge, "{}", error.message);
    let keys = format!(
        "a: &x {}\n{}",
        "x".repeat(1_000),
        (0..8).map(|n| format!("k{n}: {{*x : 1}}\n")).collect::<String>()
    );
    let error = parse(keys.as_bytes(), &limits).unwrap_err();
    assert_eq!(error.kind, SyntaxErrorKind::TooLarge, "{}", error.message);
}
