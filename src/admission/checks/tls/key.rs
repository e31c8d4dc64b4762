//! Reads the public half of private keys: RSA, elliptic curves and Ed25519, in PKCS #8 or in their own form.

use ring::signature::{Ed25519KeyPair, KeyPair as _};

use super::{
    der::{BIT_STRING, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, Reader},
    pem,
};

const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
/// The tag of the public key in an ECPrivateKey, `[1]`.
const EC_PUBLIC: u8 = 0xa1;

/// The public half of a private key or of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Public {
    /// The modulus.
    Rsa(Vec<u8>),
    /// The point; `None` for a private key that does not include it.
    Ec(Option<Vec<u8>>),
    /// The point; `None` for a private key that does not include it.
    Ed25519(Option<Vec<u8>>),
    /// A key of another kind, or an encrypted one.
    Unknown,
}

/// The reason why a private key cannot be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("empty, where a private key in PEM is expected")]
    Empty,
    #[error("no private key in PEM (-----BEGIN PRIVATE KEY-----) in it")]
    NoKey,
    #[error("the private key is encrypted, and there is no password")]
    Encrypted,
    #[error("the private key cannot be read: damaged base64, or no such key")]
    Damaged,
}

/// The public half of the first private key in a text.
pub(super) fn read(text: &[u8], has_password: bool) -> Result<Public, Fault> {
    if text.iter().all(u8::is_ascii_whitespace) {
        return Err(Fault::Empty);
    }
    let mut keys = pem::blocks(text).filter(|block| block.label.ends_with("PRIVATE KEY"));
    let block = keys.next().ok_or(Fault::NoKey)?;
    if block.encrypted || block.label == "ENCRYPTED PRIVATE KEY" {
        return if has_password {
            Ok(Public::Unknown)
        } else {
            Err(Fault::Encrypted)
        };
    }
    let der = Reader(&block.der);
    let public = match block.label.as_str() {
        "PRIVATE KEY" => pkcs8(der),
        "RSA PRIVATE KEY" => rsa(der),
        "EC PRIVATE KEY" => ec(der),
        _ => Some(Public::Unknown),
    };
    public.ok_or(Fault::Damaged)
}

fn pkcs8(mut der: Reader<'_>) -> Option<Public> {
    let mut info = der.sequence()?;
    info.expect(INTEGER)?;
    let algorithm = info.sequence()?.expect(OBJECT_IDENTIFIER)?;
    let key = info.expect(OCTET_STRING)?;
    match algorithm {
        RSA => rsa(Reader(key)),
        EC => ec(Reader(key)),
        ED25519 => {
            let seed = Reader(key).expect(OCTET_STRING)?;
            let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
            Some(Public::Ed25519(Some(pair.public_key().as_ref().to_vec())))
        }
        _ => Some(Public::Unknown),
    }
}

fn rsa(mut der: Reader<'_>) -> Option<Public> {
    let mut key = der.sequence()?;
    key.expect(INTEGER)?;
    key.expect(INTEGER).map(Public::rsa)
}

fn ec(mut der: Reader<'_>) -> Option<Public> {
    let mut key = der.sequence()?;
    key.expect(INTEGER)?;
    key.expect(OCTET_STRING)?;
    let mut point = None;
    while let Some((tag, content)) = key.any() {
        if tag == EC_PUBLIC {
            // The first byte of a bit string is the number of unused bits in its last byte.
            point = Reader(content).expect(BIT_STRING)?.get(1..).map(<[u8]>::to_vec);
        }
    }
    Some(Public::Ec(point))
}

// === impl Public ===

impl Public {
    /// An RSA key by its modulus, with or without a leading zero.
    pub(super) fn rsa(modulus: &[u8]) -> Self {
        let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
        Self::Rsa(modulus[zeros..].to_vec())
    }

    /// Returns true if the private key belongs to `certificate`, and `None` if the halves cannot be compared.
    pub(super) fn fits(&self, certificate: &Self) -> Option<bool> {
        match (self, certificate) {
            (Self::Unknown, _) | (_, Self::Unknown) => None,
            (Self::Rsa(a), Self::Rsa(b)) => Some(a == b),
            (Self::Ec(a), Self::Ec(b)) | (Self::Ed25519(a), Self::Ed25519(b)) => {
                let (a, b) = (a.as_ref()?, b.as_ref()?);
                // The point of a curve has a compressed and an uncompressed form.
                let same_form = a.first() == b.first() || a.len() == b.len();
                (a == b || same_form).then_some(a == b)
            }
            (Self::Rsa(_) | Self::Ec(_) | Self::Ed25519(_), _) => Some(false),
        }
    }
}
