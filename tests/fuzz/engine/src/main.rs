//! libFuzzer's entry: passes inputs to the target in `FUZZ_TARGET`.

#![no_main]
#![allow(missing_docs)]

#[path = "../../targets/all.rs"]
mod targets;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

static RUN: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let found = targets::TARGETS.into_iter().find(|(known, _)| *known == name);
    let names = targets::TARGETS.map(|(known, _)| known).join(", ");
    found
        .unwrap_or_else(|| panic!("FUZZ_TARGET {name:?} is not one of {names}"))
        .1
});

fuzz_target!(|data: &[u8]| (*RUN)(data));
