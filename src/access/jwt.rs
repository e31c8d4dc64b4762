//! JSON Web Tokens: checked against the keys of a file, for one issuer and one audience.
//!
//! The key decides the algorithm: a token that names another algorithm, or none, is refused before its signature is
//! checked. Only public signature keys are read, so a public key can never serve as a shared secret.

use std::time::{Duration, SystemTime};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512,
    RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};
use serde::Deserialize;
use serde_json::Value;

use super::identity::JwtIdentity;

/// The tolerated difference between two clocks.
const LEEWAY: Duration = Duration::from_secs(30);
/// The largest token, in bytes: HTTP headers are not larger either.
const MAX_BYTES: usize = 16 * 1024;
/// The largest number of keys in a file: a signature is tried against every key that its header can mean.
const MAX_KEYS: usize = 64;

/// Verifies JWTs of one issuer and one audience with the keys of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtVerifier {
    issuer: String,
    audience: String,
    keys: Vec<Key>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    material: Material,
    /// Identifies the key, so that a later key set can be searched for it.
    fingerprint: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Material {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// An uncompressed curve point, or the 32 bytes of an Ed25519 key.
    Point(Vec<u8>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

/// A file of keys that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// The file is not JSON, or not a set of keys.
    #[error("not a JSON Web Key Set: {0}")]
    Json(String),
    /// The key at this index cannot be used.
    #[error("keys[{0}]: {1}")]
    Key(usize, &'static str),
    /// The set has no key for signatures.
    #[error("it has no key for signatures")]
    Empty,
    /// The set has more keys than the limit.
    #[error("it has more than {MAX_KEYS} keys")]
    TooMany,
}

/// The reason why a JWT is refused. The message quotes nothing of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwtError {
    /// The text is not a readable JWT.
    #[error("the JWT cannot be read")]
    Malformed,
    /// The file has no key for the id and algorithm of the header.
    #[error("no trusted key has the key id and algorithm of the JWT")]
    Key,
    /// None of the keys that the header can mean made the signature.
    #[error("the JWT's signature is wrong")]
    Signature,
    /// The token comes from another issuer.
    #[error("the JWT is of another issuer")]
    Issuer,
    /// The token is for another audience.
    #[error("the JWT is for another audience")]
    Audience,
    /// The token has expired.
    #[error("the JWT has expired")]
    Expired,
    /// The token is not valid yet.
    #[error("the JWT is not valid yet")]
    Early,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Jwk>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// Extensions that a verifier must understand; this one understands none, so any value is refused.
    crit: Option<Value>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: f64,
    nbf: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

// === impl JwtVerifier ===

impl JwtVerifier {
    /// Reads the keys of a JSON Web Key Set. Keys for encryption are skipped.
    ///
    /// # Errors
    ///
    /// [`KeysError`] where a key cannot be used, or the set has no key for signatures.
    pub fn new(issuer: &str, audience: &str, keys: &str) -> Result<Self, KeysError> {
        let set: KeySet = serde_json::from_str(keys).map_err(|error| KeysError::Json(error.to_string()))?;
        if set.keys.len() > MAX_KEYS {
            return Err(KeysError::TooMany);
        }
        let signing = |(_, key): &(usize, &Jwk)| key.purpose.as_deref().is_none_or(|purpose| purpose == "sig");
        let keys = set.keys.iter().enumerate().filter(signing);
        let keys = keys.map(|(index, key)| Key::new(key).map_err(|reason| KeysError::Key(index, reason)));
        let keys: Vec<Key> = keys.collect::<Result<_, _>>()?;
        if keys.is_empty() {
            return Err(KeysError::Empty);
        }
        Ok(Self {
            issuer: issuer.to_owned(),
            audience: audience.to_owned(),
            keys,
        })
    }

    /// Verifies a JWT and returns its identity.
    ///
    /// # Errors
    ///
    /// [`JwtError`] with the reason for the refusal.
    pub fn verify(&self, token: &str, now: SystemTime) -> Result<JwtIdentity, JwtError> {
        if token.len() > MAX_BYTES {
            return Err(JwtError::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(JwtError::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(JwtError::Malformed)?;
        let header: Header = decode(header)?;
        if header.crit.is_some() {
            return Err(JwtError::Malformed);
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| JwtError::Malformed)?;
        let key = self.key(&header, signed.as_bytes(), &signature)?;
        // Read after the signature was checked: unsigned claims must not count.
        let claims: Claims = decode(claims)?;
        self.check(&claims, now)?;
        Ok(JwtIdentity {
            expires: moment(claims.exp).ok_or(JwtError::Malformed)? + LEEWAY,
            subject: claims.sub,
            key: key.fingerprint.clone(),
        })
    }

    /// Returns true if a JWT that was verified before would be accepted now.
    #[must_use]
    pub fn still(&self, token: &JwtIdentity, now: SystemTime) -> bool {
        now < token.expires && self.keys.iter().any(|key| key.fingerprint == token.key)
    }

    /// The key that made the signature, among those that the header can mean.
    fn key(&self, header: &Header, signed: &[u8], signature: &[u8]) -> Result<&Key, JwtError> {
        let meant = |key: &&Key| {
            let named = header.kid.is_none() || key.id.is_none() || key.id == header.kid;
            named && key.algorithm.name() == header.alg
        };
        let mut meant = self.keys.iter().filter(meant).peekable();
        if meant.peek().is_none() {
            return Err(JwtError::Key);
        }
        meant
            .find(|key| key.signed(signed, signature))
            .ok_or(JwtError::Signature)
    }

    fn check(&self, claims: &Claims, now: SystemTime) -> Result<(), JwtError> {
        if claims.iss != self.issuer {
            return Err(JwtError::Issuer);
        }
        let meant = match &claims.aud {
            Audience::One(one) => *one == self.audience,
            Audience::Many(many) => many.contains(&self.audience),
        };
        if !meant {
            return Err(JwtError::Audience);
        }
        if claims.sub.is_empty() {
            return Err(JwtError::Malformed);
        }
        let expires = moment(claims.exp).ok_or(JwtError::Malformed)?;
        if now >= expires + LEEWAY {
            return Err(JwtError::Expired);
        }
        match claims
            .nbf
            .map(|seconds| moment(seconds).ok_or(JwtError::Malformed))
            .transpose()?
        {
            Some(begins) if now + LEEWAY < begins => Err(JwtError::Early),
            _ => Ok(()),
        }
    }
}

fn decode<T: for<'de> Deserialize<'de>>(part: &str) -> Result<T, JwtError> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| JwtError::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| JwtError::Malformed)
}

/// The time that many seconds after 1970; `None` beyond some ten thousand years.
fn moment(seconds: f64) -> Option<SystemTime> {
    let since = (0.0..3e11)
        .contains(&seconds)
        .then(|| Duration::from_secs_f64(seconds))?;
    SystemTime::UNIX_EPOCH.checked_add(since)
}

// === impl Key ===

impl Key {
    fn new(key: &Jwk) -> Result<Self, &'static str> {
        let bytes = |field: &Option<String>, missing| {
            let text = field.as_ref().ok_or(missing)?;
            URL_SAFE_NO_PAD
                .decode(text)
                .map_err(|_| "a number of the key is not base64url")
        };
        let curve = key.crv.as_deref().unwrap_or_default();
        let (algorithm, material) = match (key.kty.as_str(), curve) {
            ("RSA", _) => {
                let algorithm = match key.alg.as_deref() {
                    None | Some("RS256") => Algorithm::Rs256,
                    Some("RS384") => Algorithm::Rs384,
                    Some("RS512") => Algorithm::Rs512,
                    Some("PS256") => Algorithm::Ps256,
                    Some("PS384") => Algorithm::Ps384,
                    Some("PS512") => Algorithm::Ps512,
                    Some(_) => return Err("alg does not fit an RSA key"),
                };
                let (n, e) = (bytes(&key.n, "n is missing")?, bytes(&key.e, "e is missing")?);
                (algorithm, Material::Rsa { n, e })
            }
            ("EC", "P-256" | "P-384") => {
                let (x, y) = (bytes(&key.x, "x is missing")?, bytes(&key.y, "y is missing")?);
                let algorithm = if curve == "P-256" {
                    Algorithm::Es256
                } else {
                    Algorithm::Es384
                };
                (algorithm, Material::Point([vec![4], x, y].concat()))
            }
            ("OKP", "Ed25519") => (Algorithm::EdDsa, Material::Point(bytes(&key.x, "x is missing")?)),
            _ => return Err("expected an RSA key, an EC key on P-256 or P-384, or an Ed25519 key"),
        };
        if key.alg.as_deref().is_some_and(|alg| alg != algorithm.name()) {
            return Err("alg does not fit the key");
        }
        let mut fingerprint = blake3::Hasher::new();
        fingerprint.update(algorithm.name().as_bytes());
        match &material {
            Material::Rsa { n, e } => fingerprint.update(&(n.len() as u64).to_le_bytes()).update(n).update(e),
            Material::Point(point) => fingerprint.update(point),
        };
        Ok(Self {
            id: key.kid.clone(),
            algorithm,
            material,
            fingerprint: fingerprint.finalize().to_hex().to_string(),
        })
    }

    fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let verified = match (&self.material, self.algorithm.scheme()) {
            (Material::Rsa { n, e }, Scheme::Rsa(parameters)) => {
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature)
            }
            (Material::Point(point), Scheme::Point(algorithm)) => {
                UnparsedPublicKey::new(algorithm, point).verify(message, signature)
            }
            (Material::Rsa { .. }, Scheme::Point(_)) | (Material::Point(_), Scheme::Rsa(_)) => return false,
        };
        verified.is_ok()
    }
}

enum Scheme {
    Rsa(&'static RsaParameters),
    Point(&'static dyn VerificationAlgorithm),
}

// === impl Algorithm ===

impl Algorithm {
    const fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }

    fn scheme(self) -> Scheme {
        match self {
            Self::Rs256 => Scheme::Rsa(&RSA_PKCS1_2048_8192_SHA256),
            Self::Rs384 => Scheme::Rsa(&RSA_PKCS1_2048_8192_SHA384),
            Self::Rs512 => Scheme::Rsa(&RSA_PKCS1_2048_8192_SHA512),
            Self::Ps256 => Scheme::Rsa(&RSA_PSS_2048_8192_SHA256),
            Self::Ps384 => Scheme::Rsa(&RSA_PSS_2048_8192_SHA384),
            Self::Ps512 => Scheme::Rsa(&RSA_PSS_2048_8192_SHA512),
            Self::Es256 => Scheme::Point(&ECDSA_P256_SHA256_FIXED),
            Self::Es384 => Scheme::Point(&ECDSA_P384_SHA384_FIXED),
            Self::EdDsa => Scheme::Point(&ED25519),
        }
    }
}

#[cfg(test)]
mod tests;
