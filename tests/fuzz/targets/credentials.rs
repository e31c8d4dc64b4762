//! Bearer tokens, JWTs, their keys and the file of hashes. The first byte selects one.

use std::{
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chancery::access::{Bearer, JwtVerifier, Tokens};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::Value;

use super::input::{Input, lines};

const ISSUER: &str = "https://issuer";
const AUDIENCE: &str = "chancery";
const NOW: u64 = 1_900_000_000;

/// A key with its private half, and its verifier.
static KEY: LazyLock<(Ed25519KeyPair, JwtVerifier)> = LazyLock::new(|| {
    let key = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let public = URL_SAFE_NO_PAD.encode(key.public_key());
    let keys = format!(r#"{{"keys": [{{"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": "{public}"}}]}}"#);
    let verifier = JwtVerifier::new(ISSUER, AUDIENCE, &keys).unwrap();
    (key, verifier)
});

pub(super) fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let choice = input.byte() % 5;
    let Ok(text) = std::str::from_utf8(input.rest()) else {
        return;
    };
    match choice {
        0 => {
            Bearer::parse(text).ok();
        }
        1 => forged(text),
        2 => signed(text),
        3 => {
            JwtVerifier::new(ISSUER, AUDIENCE, text).ok();
        }
        _ => hashes(text),
    }
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)
}

/// No input has the key, so no text is accepted.
fn forged(token: &str) {
    let (_, verifier) = &*KEY;
    assert!(verifier.verify(token, now()).is_err(), "a forged JWT is taken: {token}");
}

/// Signs a header and claims: only valid claims are accepted.
fn signed(text: &str) {
    let Some([header, claims]) = lines::<2>(text.as_bytes()) else {
        return;
    };
    let (key, verifier) = &*KEY;
    let said = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(said.as_bytes()));
    let Ok(taken) = verifier.verify(&format!("{said}.{signature}"), now()) else {
        return;
    };
    let header: Value = serde_json::from_str(header).expect("a header that is taken is JSON");
    let claims: Value = serde_json::from_str(claims).expect("claims that are taken are JSON");
    assert_eq!(header["alg"], "EdDSA");
    assert!(header["crit"].is_null(), "extensions that must be understood are not");
    assert_eq!(claims["iss"], ISSUER);
    assert_eq!(claims["sub"], taken.subject.as_str());
    let audience = &claims["aud"];
    let is_ours = audience == AUDIENCE
        || audience
            .as_array()
            .is_some_and(|all| all.iter().any(|one| one == AUDIENCE));
    assert!(is_ours, "the token is for another audience: {audience}");
    assert!(taken.expires > now() && verifier.still(&taken, now()));
}

/// A token that was never created is unknown, with any file of hashes.
fn hashes(text: &str) {
    match Tokens::parse(text) {
        Ok(tokens) => {
            assert!(tokens.verify("nobody-has-this-name", "x", now()).is_none() || text.contains("nobody-has"))
        }
        Err(error) => {
            let lines = text.lines().count();
            assert!((1..=lines).contains(&error.line), "line {} of {lines}", error.line);
        }
    }
}
