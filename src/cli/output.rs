//! Printing: tables for people, JSON and YAML for scripts; unsafe characters from others are escaped.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal as _, Write as _},
};

use clap::ValueEnum;
use prost::Message;
use prost_reflect::{DynamicMessage, SerializeOptions};
use serde_json::Value;

pub(super) use super::yaml::to_yaml;
use crate::{
    proto,
    text::{escape_json, is_unsafe},
};

/// The values of `-o`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Requested {
    /// Aligned columns, for people
    #[default]
    Table,
    /// One JSON value
    Json,
    /// One YAML document
    Yaml,
    /// SARIF 2.1.0, for code scanning; only for `validate`
    Sarif,
}

/// The format of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Aligned columns, for people.
    Table,
    /// One JSON value.
    Json,
    /// One YAML document.
    Yaml,
}

/// Stdout, in the requested format.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) format: Format,
    out: io::Stdout,
}

/// Columns of text, with notes below rows.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    cells: Vec<String>,
    notes: Vec<String>,
}

/// Spaces between columns.
const GAP: usize = 2;
/// Spaces before a row's notes.
const INDENT: usize = 4;

// === impl Requested ===

impl Requested {
    /// SARIF is JSON.
    pub(super) const fn format(self) -> Format {
        match self {
            Self::Table => Format::Table,
            Self::Json | Self::Sarif => Format::Json,
            Self::Yaml => Format::Yaml,
        }
    }
}

// === impl Output ===

impl Output {
    pub(super) fn new(format: Format) -> Self {
        Self {
            format,
            out: io::stdout(),
        }
    }

    /// Prints text unchanged.
    pub(super) fn text(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    /// Prints a value as JSON or YAML; YAML also in place of a table.
    pub(super) fn value(&mut self, value: &Value) -> io::Result<()> {
        let text = match self.format {
            Format::Json => escape_json(&format!("{value:#}\n")).into_owned(),
            Format::Yaml | Format::Table => to_yaml(value),
        };
        self.text(&text)
    }

    /// Prints one of a sequence of values: a line of JSON, or a YAML document.
    pub(super) fn event(&mut self, value: &Value) -> io::Result<()> {
        let text = match self.format {
            Format::Json => escape_json(&format!("{value}\n")).into_owned(),
            Format::Yaml | Format::Table => format!("---\n{}", to_yaml(value)),
        };
        self.text(&text)
    }
}

// === impl Table ===

impl Table {
    pub(super) fn new<const N: usize>(header: [&str; N]) -> Self {
        let mut table = Self::default();
        table.row(&header.map(str::to_owned));
        table
    }

    pub(super) fn row<const N: usize>(&mut self, cells: &[String; N]) {
        self.rows.push(Row {
            cells: cells.iter().map(|cell| shown(cell)).collect(),
            notes: Vec::new(),
        });
    }

    /// Adds a line below the last row.
    pub(super) fn note(&mut self, note: &str) {
        if let Some(row) = self.rows.last_mut() {
            row.notes.push(escape(note));
        }
    }

    pub(super) fn render(&self) -> String {
        let columns = self.rows.iter().map(|row| row.cells.len()).max().unwrap_or(0);
        let width_of = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.cells.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width_of).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.cells.iter().zip(&widths) {
                let padding = width + GAP - cell.chars().count();
                line.push_str(cell);
                line.extend(std::iter::repeat_n(' ', padding));
            }
            text.push_str(line.trim_end());
            text.push('\n');
            for note in &row.notes {
                text.push_str(&format!("{:INDENT$}{note}\n", ""));
            }
        }
        text
    }
}

/// The text of a cell, which is never empty: a blank would read as the next column.
fn shown(cell: &str) -> String {
    if cell.is_empty() { "-".to_owned() } else { escape(cell) }
}

/// Escapes control characters and characters that change the direction of text: node ids, resource names and NACK messages
/// come from others.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unsafe(c) {
            escaped.extend(c.escape_default());
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// A message of the admin API as proto3 JSON: field names as in the `.proto`, enums by name, 64-bit numbers as numbers,
/// default values included. `name` is the message's full name without the package.
pub(super) fn proto_json<M: Message>(message: &M, name: &str) -> Value {
    let options = SerializeOptions::new()
        .use_proto_field_name(true)
        .stringify_64_bit_integers(false)
        .skip_default_fields(false);
    let full = format!("chancery.admin.v1.{name}");
    proto::descriptors()
        .get_message_by_name(&full)
        .and_then(|descriptor| DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice()).ok())
        .and_then(|dynamic| {
            dynamic
                .serialize_with_options(serde_json::value::Serializer, &options)
                .ok()
        })
        .unwrap_or_default()
}

/// A time for people and scripts; `-` without one.
pub(super) fn time(time: Option<&prost_types::Timestamp>) -> String {
    // By the type's own writer: that of the system's time cannot write times before 1970 or after 9999.
    let seconds = |time: &prost_types::Timestamp| prost_types::Timestamp { nanos: 0, ..*time };
    time.map(seconds).as_ref().map_or_else(String::new, ToString::to_string)
}

/// The first names of a list, and the number of the rest.
pub(super) fn some_of(names: &[String], shown: usize) -> String {
    let mut text = names.iter().take(shown).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > shown {
        write!(text, " and {} more", names.len() - shown).ok();
    }
    text
}

/// `"a", "b" and 3 more`, where `all` is the number of all names.
pub(super) fn quoted_of(names: &[String], all: usize) -> String {
    let mut text = names
        .iter()
        .map(|name| format!("{name:?}"))
        .collect::<Vec<_>>()
        .join(", ");
    if all > names.len() {
        write!(text, " and {} more", all - names.len()).ok();
    }
    text
}

/// `1 resource`, `2 resources`.
pub(super) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Prints progress if stderr is a terminal.
pub(super) fn progress(text: &str) {
    if io::stderr().is_terminal() {
        writeln!(io::stderr(), "{}", escape(text)).ok();
    }
}

/// Prints a note to stderr.
pub(super) fn note(text: &str) {
    writeln!(io::stderr(), "{}", escape(text)).ok();
}
