//! Each kind of rule on its own, and the check that Envoy's protos have no rule which is ignored.

use prost_reflect::{Kind, Value};

use super::{
    bytes::Bytes,
    check::{Check, Items},
    number::Number,
    text::Text,
    time::{Span, Time},
    *,
};
use crate::proto::validate::{
    BytesRules, DoubleRules, DurationRules, FieldRules as Options, Int32Rules, StringRules, TimestampRules,
    bytes_rules, field_rules::Type, string_rules::WellKnown,
};

/// The violations that a check reports for a value.
fn said(check: &Check, value: &Value) -> Vec<String> {
    let mut said = Vec::new();
    check.run(value, &Path::ROOT, &mut |_, violation| said.push(violation.to_string()));
    said
}

fn text(rules: StringRules) -> impl Fn(&str) -> Vec<String> {
    let check = Check::Text(Box::new(Text::new(rules)));
    move |text| said(&check, &Value::String(text.to_owned()))
}

fn bytes(rules: BytesRules) -> impl Fn(&[u8]) -> Vec<String> {
    let check = Check::Bytes(Box::new(Bytes::new(rules)));
    move |bytes| said(&check, &Value::Bytes(bytes.to_vec().into()))
}

fn int32(rules: Int32Rules) -> impl Fn(i32) -> Vec<String> {
    let check = Check::Signed(Number::from(rules));
    move |value| said(&check, &Value::I32(value))
}

fn all_options() -> Vec<(FieldDescriptor, Options)> {
    let extension = proto::descriptors().get_extension_by_name("validate.rules").unwrap();
    let messages = proto::descriptors().all_messages();
    let fields = messages.flat_map(|message| message.fields().collect::<Vec<_>>());
    fields
        .filter_map(|field| {
            let options = field.options();
            let rules = options
                .has_extension(&extension)
                .then(|| options.get_extension(&extension))?;
            Some((field, rules.as_message()?.transcode_to().unwrap()))
        })
        .collect()
}

#[test]
fn descriptors_have_kept_their_rules() {
    assert!(all_options().len() > 1000, "{}", all_options().len());
    let cluster = proto::descriptors()
        .get_message_by_name("envoy.config.cluster.v3.Cluster")
        .unwrap();
    let rules = rules_of(&cluster).unwrap();
    assert!(
        rules
            .fields
            .iter()
            .any(|rules| rules.field.name() == "name" && rules.check_absent)
    );
}

#[test]
fn no_rule_in_envoys_protos_is_ignored() {
    for (field, options) in all_options() {
        let name = field.full_name();
        let must_be_given =
            options.message.is_some_and(|message| message.required()) && field.containing_oneof().is_none();
        let asks_something = options.r#type.is_some() || must_be_given;
        let rules = rules_of(field.parent_message()).unwrap();
        let of_field = rules.fields.iter().find(|rules| rules.field == field);
        assert_eq!(of_field.is_some(), asks_something, "{name}");
        match &options.r#type {
            Some(Type::String(rules)) => check_text(rules, name),
            Some(Type::Repeated(list)) => match list.items.as_deref().and_then(|items| items.r#type.as_ref()) {
                Some(Type::String(rules)) => check_text(rules, name),
                Some(Type::Repeated(_) | Type::Map(_)) => panic!("{name}: a list in a list"),
                Some(_) | None => {}
            },
            // Rules that need a clock.
            Some(Type::Timestamp(rules)) => {
                assert!(
                    rules.lt_now.or(rules.gt_now).is_none() && rules.within.is_none(),
                    "{name}"
                );
            }
            Some(_) | None => {}
        }
    }
}

/// A pattern that does not compile would check nothing, and forms that Envoy's C++ does not know cannot be checked.
fn check_text(rules: &StringRules, name: &str) {
    if let Some(pattern) = &rules.pattern {
        assert!(regex::Regex::new(pattern).is_ok(), "{name}: {pattern}");
    }
    let unknown = matches!(
        rules.well_known,
        Some(WellKnown::Email(_) | WellKnown::Uri(_) | WellKnown::UriRef(_))
    );
    assert!(!unknown, "{name}");
}

#[test]
fn bounds_of_a_range_are_inclusive_or_exclusive() {
    let exclusive = int32(Int32Rules {
        gt: Some(1),
        lt: Some(4),
        ..Int32Rules::default()
    });
    assert_eq!(exclusive(1), ["value 1 must be more than 1 (validate.rules int32.gt)"]);
    assert_eq!(exclusive(4), ["value 4 must be less than 4 (validate.rules int32.lt)"]);
    assert_eq!((exclusive(2), exclusive(3)), (vec![], vec![]));
    let inclusive = int32(Int32Rules {
        gte: Some(1),
        lte: Some(4),
        ..Int32Rules::default()
    });
    assert_eq!(inclusive(0), ["value 0 must be at least 1 (validate.rules int32.gte)"]);
    assert_eq!(inclusive(5), ["value 5 must be at most 4 (validate.rules int32.lte)"]);
    assert_eq!((inclusive(1), inclusive(4)), (vec![], vec![]));
}

#[test]
fn reversed_bounds_exclude_the_values_between_them() {
    let outside = int32(Int32Rules {
        gt: Some(4),
        lt: Some(1),
        ..Int32Rules::default()
    });
    for value in [1, 2, 4] {
        assert_eq!(
            outside(value),
            [format!(
                "value {value} must be more than 4, or less than 1 (validate.rules int32.gt)"
            )]
        );
    }
    assert_eq!((outside(0), outside(5)), (vec![], vec![]));
    let outside = int32(Int32Rules {
        gte: Some(4),
        lte: Some(1),
        ..Int32Rules::default()
    });
    assert_eq!(outside(2).len(), 1);
    assert_eq!((outside(1), outside(4)), (vec![], vec![]));
}

#[test]
fn number_is_one_of_those_listed() {
    let listed = int32(Int32Rules {
        r#in: vec![1, 2],
        not_in: vec![2],
        ..Int32Rules::default()
    });
    assert_eq!(listed(1), Vec::<String>::new());
    assert_eq!(listed(2), ["value 2 must be none of 2 (validate.rules int32.not_in)"]);
    assert_eq!(listed(3), ["value 3 must be one of 1, 2 (validate.rules int32.in)"]);
    let constant = int32(Int32Rules {
        r#const: Some(7),
        ignore_empty: Some(true),
        ..Int32Rules::default()
    });
    assert_eq!(constant(8), ["value 8 must be 7 (validate.rules int32.const)"]);
    assert_eq!((constant(7), constant(0)), (vec![], vec![]));
}

#[test]
fn nan_is_never_out_of_range_as_in_envoy() {
    let check = Check::Double(Number::from(DoubleRules {
        gte: Some(0.0),
        lte: Some(1.0),
        ..DoubleRules::default()
    }));
    assert_eq!(said(&check, &Value::F64(f64::NAN)), Vec::<String>::new());
    assert_eq!(
        said(&check, &Value::F64(1.5)),
        ["value 1.5 must be at most 1 (validate.rules double.lte)"]
    );
}

#[test]
fn text_is_counted_in_characters_or_bytes() {
    let characters = text(StringRules {
        min_len: Some(2),
        max_len: Some(3),
        ..StringRules::default()
    });
    assert_eq!(
        characters(""),
        ["value \"\" must have at least 2 characters (validate.rules string.min_len)"]
    );
    assert_eq!(
        characters("ü"),
        ["value of 1 character must have at least 2 characters (validate.rules string.min_len)"]
    );
    assert_eq!(
        characters("abcd"),
        ["value of 4 characters must have at most 3 characters (validate.rules string.max_len)"]
    );
    assert_eq!((characters("üüü"), characters("ab")), (vec![], vec![]));
    let bytes = text(StringRules {
        min_bytes: Some(2),
        max_bytes: Some(3),
        ..StringRules::default()
    });
    assert_eq!(
        bytes("a"),
        ["value of 1 byte must have at least 2 bytes (validate.rules string.min_bytes)"]
    );
    assert_eq!(
        bytes("üü"),
        ["value of 4 bytes must have at most 3 bytes (validate.rules string.max_bytes)"]
    );
    assert_eq!(bytes("ü"), Vec::<String>::new());
    let exact = text(StringRules {
        len: Some(2),
        len_bytes: Some(2),
        ..StringRules::default()
    });
    assert_eq!(
        exact("üü"),
        ["value of 4 bytes must have exactly 2 bytes (validate.rules string.len_bytes)"]
    );
    assert_eq!(
        exact("ü"),
        ["value of 1 character must have exactly 2 characters (validate.rules string.len)"]
    );
}

#[test]
fn text_has_its_parts_and_matches_whole() {
    let parts = text(StringRules {
        prefix: Some("a".to_owned()),
        suffix: Some("z".to_owned()),
        contains: Some("m".to_owned()),
        not_contains: Some("x".to_owned()),
        ..StringRules::default()
    });
    assert_eq!(parts("amz"), Vec::<String>::new());
    assert_eq!(
        parts("x"),
        [
            "value \"x\" must begin with \"a\" (validate.rules string.prefix)",
            "value \"x\" must end with \"z\" (validate.rules string.suffix)",
            "value \"x\" must contain \"m\" (validate.rules string.contains)",
            "value \"x\" must not contain \"x\" (validate.rules string.not_contains)",
        ]
    );
    let pattern = text(StringRules {
        pattern: Some("a+|b".to_owned()),
        ..StringRules::default()
    });
    assert_eq!((pattern("aa"), pattern("b")), (vec![], vec![]));
    for bad in ["ab", "b\n", ""] {
        assert_eq!(
            pattern(bad),
            [format!(
                "value {bad:?} must match the regular expression a+|b (validate.rules string.pattern)"
            )]
        );
    }
}

#[test]
fn text_is_one_of_those_listed() {
    let listed = text(StringRules {
        r#in: vec!["a".to_owned(), "b".to_owned()],
        not_in: vec!["b".to_owned()],
        ..StringRules::default()
    });
    assert_eq!(listed("a"), Vec::<String>::new());
    assert_eq!(
        listed("b"),
        ["value \"b\" must be none of \"b\" (validate.rules string.not_in)"]
    );
    assert_eq!(
        listed("c"),
        ["value \"c\" must be one of \"a\", \"b\" (validate.rules string.in)"]
    );
    let constant = text(StringRules {
        r#const: Some("a".to_owned()),
        ..StringRules::default()
    });
    assert_eq!(constant(""), ["value \"\" must be \"a\" (validate.rules string.const)"]);
}

#[test]
fn empty_text_may_be_ignored() {
    let rules = StringRules {
        min_len: Some(2),
        ignore_empty: Some(true),
        ..StringRules::default()
    };
    let lenient = text(rules);
    assert_eq!(lenient(""), Vec::<String>::new());
    assert_eq!(lenient("a").len(), 1);
}

#[test]
fn well_known_forms_are_named() {
    let ip = text(StringRules {
        well_known: Some(WellKnown::Ip(true)),
        ..StringRules::default()
    });
    assert_eq!(ip("::1"), Vec::<String>::new());
    assert_eq!(
        ip("a"),
        ["value \"a\" must be an IP address (validate.rules string.ip)"]
    );
    let off = text(StringRules {
        well_known: Some(WellKnown::Ip(false)),
        ..StringRules::default()
    });
    assert_eq!(off("a"), Vec::<String>::new());
}

#[test]
fn long_values_are_cut() {
    let listed = text(StringRules {
        r#const: Some("a".to_owned()),
        ..StringRules::default()
    });
    let said = listed(&"ü".repeat(10_000));
    assert!(said[0].len() < 250 && said[0].contains("ü\"… must be"), "{said:?}");
}

#[test]
fn bytes_are_counted_and_never_shown() {
    let sized = bytes(BytesRules {
        min_len: Some(1),
        max_len: Some(2),
        ..BytesRules::default()
    });
    assert_eq!(
        sized(b""),
        ["value of 0 bytes must have at least 1 byte (validate.rules bytes.min_len)"]
    );
    assert_eq!(
        sized(b"abc"),
        ["value of 3 bytes must have at most 2 bytes (validate.rules bytes.max_len)"]
    );
    assert_eq!(sized(b"ab"), Vec::<String>::new());
    let rules = BytesRules {
        prefix: Some(b"a".to_vec()),
        suffix: Some(b"z".to_vec()),
        contains: Some(b"m".to_vec()),
        pattern: Some("[a-z]+".to_owned()),
        not_in: vec![b"amz".to_vec()],
        ..BytesRules::default()
    };
    let content = bytes(rules);
    assert_eq!(content(b"ammz"), Vec::<String>::new());
    assert_eq!(content(b"amz").len(), 1);
    assert_eq!(content(b"\xff").len(), 4, "{:?}", content(b"\xff"));
    let address = bytes(BytesRules {
        well_known: Some(bytes_rules::WellKnown::Ipv4(true)),
        ..BytesRules::default()
    });
    assert_eq!((address(&[1, 2, 3, 4]).len(), address(&[0; 16]).len()), (0, 1));
}

#[test]
fn spans_and_times_are_compared_to_the_nanosecond() {
    let second = |seconds, nanos| prost_types::Duration { seconds, nanos };
    let rules = Number::<Span>::from(DurationRules {
        gt: Some(second(1, 500_000_000)),
        ..DurationRules::default()
    });
    let mut said = Vec::new();
    rules.check(second(1, 500_000_000).into(), &mut |violation| {
        said.push(violation.to_string())
    });
    rules.check(second(1, 500_000_001).into(), &mut |violation| {
        said.push(violation.to_string())
    });
    rules.check(second(-1, -1).into(), &mut |violation| said.push(violation.to_string()));
    assert_eq!(
        said,
        [
            "value 1.5s must be more than 1.5s (validate.rules duration.gt)",
            "value -1.000000001s must be more than 1.5s (validate.rules duration.gt)",
        ]
    );
    let epoch = prost_types::Timestamp::default();
    let rules = Number::<Time>::from(TimestampRules {
        lt: Some(epoch),
        ..TimestampRules::default()
    });
    let mut said = Vec::new();
    rules.check(epoch.into(), &mut |violation| said.push(violation.to_string()));
    assert_eq!(
        said,
        ["value 1970-01-01T00:00:00Z must be less than 1970-01-01T00:00:00Z (validate.rules timestamp.lt)"]
    );
}

#[test]
fn items_differ_where_they_must() {
    let check = Check::Items(Box::new(Items {
        min: None,
        max: Some(3),
        unique: true,
        each: None,
        ignore_empty: false,
    }));
    let list = |texts: &[&str]| Value::List(texts.iter().map(|text| Value::String((*text).to_owned())).collect());
    assert_eq!(said(&check, &list(&["a", "b"])), Vec::<String>::new());
    assert_eq!(
        said(&check, &list(&["a", "b", "a", "c"])),
        [
            "list of 4 items must have at most 3 items (validate.rules repeated.max_items)",
            "item 2 must differ from all others, and equals item 0 (validate.rules repeated.unique)",
        ]
    );
}

/// Violations in any sensitive field are reported without the value.
#[test]
fn value_of_a_sensitive_field_is_not_shown() {
    let mut checked = 0;
    for message in proto::descriptors().all_messages() {
        let rules = rules_of(&message).unwrap();
        for field in rules
            .fields
            .iter()
            .filter(|ruled| contains(&rules.hidden, ruled.field.name()))
        {
            if !matches!(field.field.kind(), Kind::String) || !field.check_absent {
                continue;
            }
            let mut check = RuleCheck::default();
            let mut told = Vec::new();
            let empty = DynamicMessage::new(message.clone());
            check.enter(&empty, &Path::ROOT, &mut |path, violation| {
                if path.is_field(Some(field.field.name())) {
                    told.push(violation.to_string());
                }
            });
            assert!(
                !told.is_empty() && told.iter().all(|told| told.starts_with("value must")),
                "{told:?}"
            );
            checked += 1;
        }
    }
    assert!(checked > 0);
}
