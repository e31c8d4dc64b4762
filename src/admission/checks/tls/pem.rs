//! Reads PEM as Envoy's TLS library does: text around blocks, and blocks with other labels, are skipped.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

/// One block of a PEM text.
pub(super) struct Block {
    pub(super) label: String,
    /// Empty if the base64 is damaged; empty bytes are no valid DER.
    pub(super) der: Zeroizing<Vec<u8>>,
    /// True if the headers of the block say that it is encrypted.
    pub(super) encrypted: bool,
}

const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";

/// All blocks that have an end line.
pub(super) fn blocks(text: &[u8]) -> impl Iterator<Item = Block> {
    let text = Zeroizing::new(String::from_utf8_lossy(text).into_owned());
    let mut found = Vec::new();
    let mut open: Option<(String, Zeroizing<String>, bool)> = None;
    for line in text.lines().map(str::trim_end) {
        match &mut open {
            None => {
                let label = line.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(DASHES));
                open = label.map(|label| (label.to_owned(), room(text.len()), false));
            }
            Some((label, body, encrypted)) => {
                if line == format!("-----END {label}-----") {
                    found.push(Block {
                        label: std::mem::take(label),
                        der: decode(body),
                        encrypted: *encrypted,
                    });
                    open = None;
                } else if line.contains(':') {
                    *encrypted |= line.starts_with("Proc-Type:") && line.contains("ENCRYPTED");
                } else {
                    body.extend(line.chars().filter(|c| !c.is_whitespace()));
                }
            }
        }
    }
    found.into_iter()
}

/// A buffer for a whole text: a growing one would leave copies of a private key behind.
fn room(length: usize) -> Zeroizing<String> {
    Zeroizing::new(String::with_capacity(length))
}

fn decode(body: &str) -> Zeroizing<Vec<u8>> {
    let mut der = Zeroizing::new(Vec::with_capacity(body.len()));
    if STANDARD.decode_vec(body, &mut der).is_err() {
        der.clear();
    }
    der
}
