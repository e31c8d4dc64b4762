//! JWTs that are taken, and forged ones that are refused.

use ring::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _},
};
use serde_json::json;

use super::*;

const NOW: u64 = 1_900_000_000;

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

struct Signer {
    ec: EcdsaKeyPair,
    ed: Ed25519KeyPair,
}

impl Signer {
    fn new() -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let ec = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        let ed = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
        Self { ec, ed }
    }

    fn keys(&self) -> String {
        let point = self.ec.public_key().as_ref();
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({ "keys": [
            { "kty": "EC", "crv": "P-256", "kid": "ec", "use": "sig", "x": encode(&point[1..33]), "y": encode(&point[33..]) },
            { "kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": encode(self.ed.public_key().as_ref()) },
            { "kty": "oct", "use": "enc", "k": "AAAA" },
        ]})
        .to_string()
    }

    fn verifier(&self) -> JwtVerifier {
        JwtVerifier::new("https://issuer", "chancery", &self.keys()).unwrap()
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = match header["kid"].as_str() {
            Some("ed") => self.ed.sign(signed.as_bytes()).as_ref().to_vec(),
            _ => self
                .ec
                .sign(&SystemRandom::new(), signed.as_bytes())
                .unwrap()
                .as_ref()
                .to_vec(),
        };
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn claims() -> Value {
    json!({ "iss": "https://issuer", "sub": "system:serviceaccount:shop:cart", "aud": ["chancery"], "exp": NOW + 60 })
}

fn with(key: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[key] = value;
    claims
}

#[test]
fn a_token_of_the_issuer_is_its_subject_until_it_expires() {
    let signer = Signer::new();
    let verifier = signer.verifier();
    for header in [
        json!({ "alg": "ES256", "kid": "ec" }),
        json!({ "alg": "EdDSA", "kid": "ed" }),
        json!({ "alg": "ES256" }),
    ] {
        let who = verifier.verify(&signer.sign(&header, &claims()), now()).unwrap();
        assert_eq!(who.subject, "system:serviceaccount:shop:cart");
        assert_eq!(who.expires, now() + Duration::from_secs(90));
        assert!(verifier.still(&who, now()));
        assert!(!verifier.still(&who, now() + Duration::from_secs(90)));
        assert!(
            !Signer::new().verifier().still(&who, now()),
            "its key is trusted no more"
        );
    }
}

#[test]
fn claims_must_name_this_audience_and_be_valid_now() {
    let signer = Signer::new();
    let header = json!({ "alg": "ES256", "kid": "ec" });
    for (claims, error) in [
        (with("iss", json!("https://other")), JwtError::Issuer),
        (with("iss", json!("https://issuer/")), JwtError::Issuer),
        (with("aud", json!("other")), JwtError::Audience),
        (with("aud", json!([])), JwtError::Audience),
        (with("exp", json!(NOW - 31)), JwtError::Expired),
        (with("nbf", json!(NOW + 31)), JwtError::Early),
        (with("exp", json!("soon")), JwtError::Malformed),
        (with("exp", json!(null)), JwtError::Malformed),
        (with("exp", json!(-1)), JwtError::Malformed),
        (with("exp", json!(1e300)), JwtError::Malformed),
        (with("nbf", json!("x")), JwtError::Malformed),
        (with("sub", json!("")), JwtError::Malformed),
        (with("sub", json!(7)), JwtError::Malformed),
    ] {
        let refused = signer.verifier().verify(&signer.sign(&header, &claims), now());
        assert_eq!(refused, Err(error), "{claims}");
    }
    let taken = with("aud", json!("chancery"));
    assert!(signer.verifier().verify(&signer.sign(&header, &taken), now()).is_ok());
}

#[test]
fn the_key_decides_the_algorithm_never_the_token() {
    let signer = Signer::new();
    let verifier = signer.verifier();
    for alg in ["none", "None", "NONE", "", "HS256", "RS256", "ES384", "es256"] {
        let token = signer.sign(&json!({ "alg": alg, "kid": "ec" }), &claims());
        assert_eq!(verifier.verify(&token, now()), Err(JwtError::Key), "{alg}");
        let (unsigned, _) = token.rsplit_once('.').unwrap();
        assert_eq!(
            verifier.verify(&format!("{unsigned}."), now()),
            Err(JwtError::Key),
            "{alg}"
        );
    }
    // The public key serves as a shared secret.
    let signed = format!("{}.{}", part(&json!({ "alg": "HS256", "kid": "ec" })), part(&claims()));
    let key = hmac::Key::new(hmac::HMAC_SHA256, signer.ec.public_key().as_ref());
    let forged = format!(
        "{signed}.{}",
        URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()))
    );
    assert_eq!(verifier.verify(&forged, now()), Err(JwtError::Key));
    // The header names one key, another key signed.
    let swapped = signer.sign(&json!({ "alg": "EdDSA", "kid": "ec" }), &claims());
    assert_eq!(verifier.verify(&swapped, now()), Err(JwtError::Key));
}

#[test]
fn nothing_can_be_changed_after_it_was_signed() {
    let signer = Signer::new();
    let token = signer.sign(&json!({ "alg": "ES256", "kid": "ec" }), &claims());
    let parts: Vec<&str> = token.split('.').collect();
    let other = part(&with("sub", json!("system:serviceaccount:kube-system:admin")));
    let changed = format!("{}.{other}.{}", parts[0], parts[2]);
    assert_eq!(signer.verifier().verify(&changed, now()), Err(JwtError::Signature));
    let by_other = Signer::new().sign(&json!({ "alg": "ES256", "kid": "ec" }), &claims());
    assert_eq!(signer.verifier().verify(&by_other, now()), Err(JwtError::Signature));
    let empty = format!("{}.{}.", parts[0], parts[1]);
    assert_eq!(signer.verifier().verify(&empty, now()), Err(JwtError::Signature));
    let critical = signer.sign(&json!({ "alg": "ES256", "kid": "ec", "crit": ["x"] }), &claims());
    assert_eq!(signer.verifier().verify(&critical, now()), Err(JwtError::Malformed));
    for garbage in ["", ".", "..", "a.b.c", "%.%.%", &"a".repeat(20_000)] {
        assert_eq!(signer.verifier().verify(garbage, now()), Err(JwtError::Malformed));
    }
}

#[test]
fn errors_of_key_files_name_the_key() {
    for (keys, expected) in [
        ("{", "not a JSON Web Key Set: "),
        ("{}", "not a JSON Web Key Set: missing field `keys`"),
        (r#"{"keys": []}"#, "it has no key for signatures"),
        (
            r#"{"keys": [{"kty": "oct", "k": "AAAA"}]}"#,
            "keys[0]: expected an RSA key",
        ),
        (r#"{"keys": [{"kty": "RSA", "n": "AQAB"}]}"#, "keys[0]: e is missing"),
        (
            r#"{"keys": [{"kty": "RSA", "alg": "HS256", "n": "AQAB", "e": "AQAB"}]}"#,
            "keys[0]: alg does not fit",
        ),
        (
            r#"{"keys": [{"kty": "EC", "crv": "P-256", "alg": "ES384", "x": "AA", "y": "AA"}]}"#,
            "keys[0]: alg does not fit",
        ),
        (
            r#"{"keys": [{"kty": "EC", "crv": "P-256", "x": "+", "y": "AA"}]}"#,
            "keys[0]: a number",
        ),
    ] {
        let error = JwtVerifier::new("i", "a", keys).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{keys}: {error}");
    }
}
