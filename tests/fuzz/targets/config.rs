//! The config file: an invalid file has an error, and a valid one is printed to an equal one.

use std::{cell::LazyCell, fs};

use chancery::settings::{Layer, Settings};
use tempfile::TempDir;

thread_local! {
    static DIR: LazyCell<TempDir> = LazyCell::new(|| tempfile::tempdir().unwrap());
}

pub(super) fn run(bytes: &[u8]) {
    let Some(settings) = load(bytes) else { return };
    let said = settings.to_yaml();
    let again = load(said.as_bytes()).expect("the printed settings can be read");
    assert_eq!(again.to_yaml(), said);
}

fn load(text: &[u8]) -> Option<Settings> {
    let file = DIR.with(|dir| dir.path().join("config.yaml"));
    fs::write(&file, text).unwrap();
    match Settings::load(Layer::default(), Some(&file)) {
        Ok(settings) => Some(settings),
        Err(error) => {
            let said = error.to_string();
            assert!(!said.is_empty() && !said.contains('\n'), "an error is one line: {said}");
            None
        }
    }
}
