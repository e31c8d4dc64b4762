//! PEM as Envoy's TLS library reads it: blocks between other text, of which those with another label are passed over.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

/// One block of a text.
pub(super) struct Block {
    pub(super) label: String,
    /// Empty where the base64 is damaged: that is no DER of anything.
    pub(super) der: Zeroizing<Vec<u8>>,
    /// Encrypted, as its headers say.
    pub(super) encrypted: bool,
}

const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";

/// All blocks that are closed.
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

/// Room for a whole text: one that grows leaves copies of it behind, and it may be a private key.
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
