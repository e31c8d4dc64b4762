//! The rows of `docs/configuration.md`, which a test compares with the declarations.
//!
//! `UPDATE_PAGES=1 cargo test --lib settings::page` writes the rows, and adds a row for a new setting.

use std::{collections::BTreeMap, fs};

use super::{declare::Section as _, flags, layer::Layer};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");

/// The page with the declared rows; a new row follows the row of the setting that is declared before it.
fn written(page: &str) -> String {
    let defaults = flags::defaults();
    let settings = Layer::settings();
    let mut rows: BTreeMap<&str, String> = settings
        .iter()
        .map(|setting| (setting.key, setting.row(&defaults)))
        .collect();
    let next: BTreeMap<&str, &str> = settings.windows(2).map(|pair| (pair[0].key, pair[1].key)).collect();
    let mut lines = Vec::new();
    for line in page.lines() {
        let key = line.strip_prefix("| `").and_then(|rest| rest.split_once("` |"));
        let Some((key, row)) = key.and_then(|(key, _)| rows.remove_entry(key)) else {
            lines.push(line.to_owned());
            continue;
        };
        lines.push(row);
        let mut key = key;
        while let Some(after) = next.get(key).filter(|after| !page.contains(&format!("| `{after}` |"))) {
            lines.extend(rows.remove(after));
            key = after;
        }
    }
    lines.join("\n") + "\n"
}

#[test]
fn the_page_has_the_rows_that_are_declared_and_no_others() {
    let page = fs::read_to_string(PAGE).unwrap();
    let written = written(&page);
    if std::env::var_os("UPDATE_PAGES").is_some() {
        fs::write(PAGE, &written).unwrap();
    }
    let page = fs::read_to_string(PAGE).unwrap();
    for (stands, declared) in page.lines().zip(written.lines()) {
        assert_eq!(
            stands, declared,
            "docs/configuration.md differs from what is declared: UPDATE_PAGES=1 cargo test --lib settings::page"
        );
    }
    assert_eq!(page.lines().count(), written.lines().count());
    let stand = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let mut stand: Vec<&str> = stand.filter_map(|row| row.split('`').next()).collect();
    // Flags of other commands have no key.
    stand.retain(|name| !name.starts_with('-'));
    let mut declared: Vec<&str> = Layer::settings().iter().map(|setting| setting.key).collect();
    stand.sort_unstable();
    declared.sort_unstable();
    assert_eq!(stand, declared);
}

#[test]
fn a_setting_without_a_row_is_written_after_the_one_before_it() {
    let page = fs::read_to_string(PAGE).unwrap();
    let lines: Vec<&str> = page
        .lines()
        .filter(|line| !line.starts_with("| `fleet.max_nack_"))
        .collect();
    assert_ne!(lines.len(), page.lines().count());
    let again = written(&(lines.join("\n") + "\n"));
    let rows = |text: &str| {
        text.lines()
            .filter(|line| line.starts_with("| `fleet."))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(rows(&again), rows(&written(&page)));
}
