//! `chancery token create`: makes a bearer token. Its secret is shown once; the server keeps only a hash.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

use clap::{Args, Subcommand};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::json;
use zeroize::Zeroizing;

use super::{
    exit::{Exit, Failure},
    output::{Format, Output},
};
use crate::{
    access::{NewToken, SALT_BYTES, SECRET_BYTES, Tokens},
    settings::Span,
};

#[derive(Args, Debug)]
pub(super) struct Token {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Make a token: its bearer acts under its name
    Create(Create),
}

#[derive(Args, Debug)]
struct Create {
    /// The name of the token, for rules and the audit log
    name: String,
    /// Add the token's line to this file, the server's access.tokens_file; without it the line is printed
    #[arg(long, value_name = "FILE")]
    tokens_file: Option<PathBuf>,
    /// Time for which the token is valid; without end by default
    #[arg(long, value_name = "DURATION")]
    expires_in: Option<Span>,
}

// === impl Token ===

impl Token {
    pub(super) fn run(self, output: &mut Output) -> Result<Exit, Failure> {
        let Command::Create(create) = self.command;
        create.run(output)
    }
}

// === impl Create ===

impl Create {
    fn run(self, output: &mut Output) -> Result<Exit, Failure> {
        let expires = self.expires_in.map(|span| SystemTime::now().checked_add(span.0));
        let expires = match expires {
            Some(None) => return Err(Failure::usage("--expires-in: the time is out of range")),
            Some(at) => at,
            None => None,
        };
        let (mut secret, mut salt) = (Zeroizing::new([0; SECRET_BYTES]), [0; SALT_BYTES]);
        let random = SystemRandom::new();
        random
            .fill(&mut secret[..])
            .and_then(|()| random.fill(&mut salt))
            .map_err(|_| Failure::new(Exit::Unavailable, "the system gives no random bytes"))?;
        let made =
            NewToken::new(&self.name, expires, &secret, &salt).map_err(|error| Failure::usage(error.to_string()))?;
        if let Some(file) = &self.tokens_file {
            add(file, &self.name, &made.line)?;
        }
        match (output.format, &self.tokens_file) {
            (Format::Table, Some(_)) => output.text(&format!("{}\n", made.token))?,
            (Format::Table, None) => output.text(&format!(
                "token, for its owner:\n{}\nline, for access.tokens_file:\n{}\n",
                made.token, made.line
            ))?,
            (Format::Json | Format::Yaml, _) => {
                output.value(&json!({ "name": self.name, "token": made.token, "line": made.line }))?;
            }
        }
        Ok(Exit::Ok)
    }
}

/// Adds a line to a file that only its owner may read.
fn add(path: &Path, name: &str, line: &str) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::new(Exit::Unavailable, format!("{}: {error}", path.display()));
    let before = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(failed(error)),
    };
    let refused = |error: String| Failure::refused(format!("{}: {error}", path.display()));
    let known = Tokens::parse(&before).map_err(|error| refused(error.to_string()))?;
    if known.contains(name) {
        return Err(Failure::new(
            Exit::Conflict,
            format!(
                "{}: there is a token \"{name}\" already: remove its line first",
                path.display()
            ),
        ));
    }
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let gap = if before.is_empty() || before.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    let mut file = options.open(path).map_err(failed)?;
    file.write_all(format!("{gap}{line}\n").as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(failed)
}
