//! Resources that are taken over without decoding, and those that are decoded again.

use std::time::Duration;

use super::*;
use crate::admission::{Known, RawResource, admit_over};

/// A known resource; a test recognizes it by its pointer.
#[derive(Debug)]
struct One(Arc<Resource>);

impl Known for One {
    fn find(&self, resource_type: &ResourceType, name: &str) -> Option<Arc<Resource>> {
        let is_it = *resource_type == ResourceType::Cluster && self.0.name.as_str() == name;
        is_it.then(|| Arc::clone(&self.0))
    }
}

/// A cluster `a`: field 1, and field 28 `alt_stat_name`.
fn raw(content: &str) -> RawResource {
    let length = u8::try_from(content.len()).unwrap();
    let value = [b"\x0a\x01a\xe2\x01", &[length][..], content.as_bytes()].concat();
    RawResource {
        name: None,
        aliases: vec!["other".into()],
        ttl: Some(Duration::from_secs(1)),
        any: prost_types::Any {
            type_url: ResourceType::Cluster.type_url().to_owned(),
            value,
        },
    }
}

fn admitted(raw: RawResource, known: Option<&dyn Known>) -> Arc<Resource> {
    let candidate = Candidate {
        documents: Vec::new(),
        resources: vec![raw],
    };
    let admitted = admit_over(&candidate, &Limits::default(), known, None).unwrap();
    Arc::clone(&admitted.resources[&ResourceType::Cluster][0])
}

#[test]
fn equal_bytes_under_equal_names_are_taken_over() {
    let known = One(admitted(raw("one"), None));
    assert!(Arc::ptr_eq(&admitted(raw("one"), Some(&known)), &known.0));
    let named = RawResource {
        name: Some("a".into()),
        ..raw("one")
    };
    assert!(Arc::ptr_eq(&admitted(named, Some(&known)), &known.0));
}

#[test]
fn a_resource_that_differs_in_any_part_is_decoded() {
    let known = One(admitted(raw("one"), None));
    let without_alias = RawResource {
        aliases: Vec::new(),
        ..raw("one")
    };
    let without_ttl = RawResource {
        ttl: None,
        ..raw("one")
    };
    for different in [raw("two"), raw("longer"), without_alias, without_ttl] {
        let (over, plain) = (admitted(different.clone(), Some(&known)), admitted(different, None));
        assert_eq!(over, plain);
        assert_ne!(over.content, known.0.content);
    }
}

#[test]
fn a_resource_that_is_taken_over_counts_and_keeps_its_name() {
    let known = One(admitted(raw("one"), None));
    let candidate = Candidate {
        documents: Vec::new(),
        resources: vec![raw("one"), raw("one")],
    };
    let refused = admit_over(&candidate, &Limits::default(), Some(&known), None).unwrap_err();
    assert_eq!(refused.findings[0].code, codes::DUPLICATE);
    let limits = Limits {
        resources: 0,
        ..Limits::default()
    };
    let candidate = Candidate {
        documents: Vec::new(),
        resources: vec![raw("one")],
    };
    let refused = admit_over(&candidate, &limits, Some(&known), None).unwrap_err();
    assert_eq!(refused.findings[0].code, codes::LIMIT);
}
