//! Revocation lists (CRL, RFC 5280), as PEM or as one list in DER.

use std::time::{Duration, SystemTime};

use rustls::{
    RootCertStore,
    pki_types::{CertificateRevocationListDer, pem::PemObject as _},
};
use x509_parser::{
    prelude::{CertificateRevocationList, FromDer as _},
    time::ASN1Time,
};

/// The tag of a DER `SEQUENCE`, with which every list in DER begins. No PEM file begins with it.
const SEQUENCE: u8 = 0x30;

pub(super) struct Lists {
    pub(super) encoded: Vec<CertificateRevocationListDer<'static>>,
    /// The earliest `nextUpdate` of the lists.
    pub(super) next_update: Option<SystemTime>,
    /// The issuers of the lists: names in DER, without the tag and length of the sequence.
    issuers: Vec<Vec<u8>>,
}

// === impl Lists ===

impl Lists {
    /// All lists in a file; at least one.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let encoded = if bytes.first() == Some(&SEQUENCE) {
            vec![CertificateRevocationListDer::from(bytes.to_vec())]
        } else {
            CertificateRevocationListDer::pem_slice_iter(bytes)
                .collect::<Result<_, _>>()
                .map_err(|error| format!("it is not PEM: {error}"))?
        };
        if encoded.is_empty() {
            return Err("there is no list in it (PEM, BEGIN X509 CRL)".to_owned());
        }
        let mut lists = Self {
            encoded,
            next_update: None,
            issuers: Vec::new(),
        };
        for (index, list) in lists.encoded.iter().enumerate() {
            let wrong = |reason: String| format!("list {} in it cannot be read: {reason}", index + 1);
            let (rest, parsed) = CertificateRevocationList::from_der(list).map_err(|error| wrong(error.to_string()))?;
            if !rest.is_empty() {
                return Err(wrong(format!("{} bytes follow it", rest.len())));
            }
            let issuer = parsed.issuer().as_raw();
            lists.issuers.push(content(issuer).to_vec());
            let next = parsed.next_update().map(moment);
            lists.next_update = match (lists.next_update, next) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
        }
        Ok(lists)
    }

    /// Refuses CAs without a list, since every client of theirs would be refused.
    pub(super) fn cover(&self, roots: &RootCertStore) -> Result<(), String> {
        let missing = |root: &&rustls::pki_types::TrustAnchor<'_>| {
            !self
                .issuers
                .iter()
                .any(|issuer| issuer.as_slice() == root.subject.as_ref())
        };
        match roots.roots.iter().filter(missing).count() {
            0 => Ok(()),
            count => Err(format!(
                "{count} of the {} CAs of client_ca have no list in it: none of their clients would be let in",
                roots.roots.len()
            )),
        }
    }
}

/// The content of a DER sequence that was parsed already.
fn content(sequence: &[u8]) -> &[u8] {
    let header = match sequence.get(1) {
        Some(long) if *long > 0x7f => 2 + usize::from(long & 0x7f),
        Some(_) | None => 2,
    };
    sequence.get(header..).unwrap_or_default()
}

fn moment(time: ASN1Time) -> SystemTime {
    let seconds = u64::try_from(time.timestamp()).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}
