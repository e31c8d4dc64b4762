//! Random bytes of the system, for keys and nonces.

use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

/// Returns a new key.
pub(super) fn key() -> Zeroizing<[u8; 32]> {
    Zeroizing::new(bytes())
}

pub(super) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.expect("the system gives random bytes once it has started");
    bytes
}
