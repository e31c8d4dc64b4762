//! The config file: YAML, parsed strictly; each error names its place.

use std::{fmt::Write as _, fs, io, path::Path};

use serde::Deserialize as _;

use super::{
    error::{SettingsError, Spot},
    layer::Layer,
};
use crate::{input, text::Escaping};

/// Bytes of a config file; the limit also stops at a device that never ends.
const MAX_BYTES: u64 = 1 << 20;

/// Reads a config file. It may be a pipe, as a shell's `<(...)` is.
pub(super) fn read(path: &Path) -> Result<Layer, SettingsError> {
    let read = || {
        let content = input::read_bounded(fs::File::open(path)?, MAX_BYTES)?;
        String::from_utf8(content).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    };
    let text = read().map_err(|source| SettingsError::Read {
        file: path.to_owned(),
        source,
    })?;
    parse(path, &text)
}

/// Parses the text of a config file. An empty file sets nothing.
pub(super) fn parse(path: &Path, text: &str) -> Result<Layer, SettingsError> {
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    let mut track = serde_path_to_error::Track::new();
    let parsed = serde_saphyr::with_deserializer_from_str_with_options(text, options, |deserializer| {
        Option::<Layer>::deserialize(serde_path_to_error::Deserializer::new(deserializer, &mut track))
    });
    parsed.map(Option::unwrap_or_default).map_err(|error| {
        let key = track.path().to_string();
        let location = error.location();
        SettingsError::Parse {
            spot: Spot {
                file: path.to_owned(),
                line: location.map_or(0, |location| location.line()),
                column: location.map_or(0, |location| location.column()),
                key: if key == "." || key == "?" {
                    String::new()
                } else {
                    tame(&key)
                },
            },
            message: tame(&message(&error)),
        }
    })
}

/// Makes text from the file safe for an error message: one line, and no control characters for the terminal.
fn tame(text: &str) -> String {
    let mut tame = String::new();
    Escaping::new(&mut tame, usize::MAX).write_str(text).ok();
    tame
}

/// The error message without its place, which [`SettingsError`] adds.
fn message(error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().to_string();
    let first = text.lines().next().unwrap_or_default();
    first
        .split(" at line ")
        .next()
        .unwrap_or(first)
        .trim_end_matches([',', ' '])
        .to_owned()
}
