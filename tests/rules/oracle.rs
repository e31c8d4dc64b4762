//! The other implementation: `oracle.py` in the virtual environment of `make tools`, one process for all messages.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chancery::proto;
use prost::Message as _;
use prost_reflect::{DynamicMessage, ReflectMessage as _};
use serde_json::{Value, json};

/// The oracle's objection to each message: `None` if the oracle itself failed.
pub(crate) fn objections<'a>(messages: impl Iterator<Item = &'a DynamicMessage>) -> Vec<Result<Vec<String>, String>> {
    let questions: String = messages
        .map(|message| {
            let value = STANDARD.encode(message.encode_to_vec());
            format!(
                "{}\n",
                json!({"type": message.descriptor().full_name(), "value": value})
            )
        })
        .collect();
    let mut descriptors = tempfile::NamedTempFile::new().unwrap();
    descriptors.write_all(proto::FILE_DESCRIPTOR_SET).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rules/oracle.py");
    let mut child = Command::new(python())
        .arg(script)
        .arg(descriptors.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}; run `make tools`", python().display()));
    let mut stdin = child.stdin.take().unwrap();
    // Both pipes hold less than the data, so reading and writing must overlap.
    let asking = thread::spawn(move || stdin.write_all(questions.as_bytes()));
    let output = child.wait_with_output().unwrap();
    asking.join().unwrap().unwrap();
    assert!(output.status.success(), "the oracle failed; run `make tools`");
    let answers = String::from_utf8(output.stdout).unwrap();
    answers.lines().map(answer).collect()
}

fn answer(line: &str) -> Result<Vec<String>, String> {
    match serde_json::from_str(line).unwrap() {
        Value::Array(objections) => Ok(objections
            .iter()
            .map(|text| text.as_str().unwrap().to_owned())
            .collect()),
        failure => Err(failure["failure"].as_str().unwrap().to_owned()),
    }
}

fn python() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/venv/bin/python")
}
