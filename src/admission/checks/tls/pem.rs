//! PEM as Envoy's TLS library reads it: blocks between other text, of which those with another label are passed over.

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// One block of a text.
pub(super) struct Block {
    pub(super) label: String,
    /// Empty where the base64 is damaged: that is no DER of anything.
    pub(super) der: Vec<u8>,
    /// Encrypted, as its headers say.
    pub(super) encrypted: bool,
}

const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";

/// All blocks that are closed.
pub(super) fn blocks(text: &[u8]) -> impl Iterator<Item = Block> {
    let text = String::from_utf8_lossy(text).into_owned();
    let mut found = Vec::new();
    let mut open: Option<(String, String, bool)> = None;
    for line in text.lines().map(str::trim_end) {
        match &mut open {
            None => {
                let label = line.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(DASHES));
                open = label.map(|label| (label.to_owned(), String::new(), false));
            }
            Some((label, body, encrypted)) => {
                if line == format!("-----END {label}-----") {
                    found.push(Block {
                        label: std::mem::take(label),
                        der: STANDARD.decode(body.as_bytes()).unwrap_or_default(),
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
