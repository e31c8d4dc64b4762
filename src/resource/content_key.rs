//! The key of the content hashes of secrets: a version neither confirms a guess nor shows that two groups share a
//! secret.

use std::fmt;

use zeroize::Zeroizing;

use super::{ContentHash, Hasher};

/// Makes the content hashes of secrets. A store keeps one key: another would change the version of every secret.
#[derive(Clone)]
pub struct ContentKey(Zeroizing<[u8; Self::BYTES]>);

// === impl ContentKey ===

impl ContentKey {
    /// The length of a key in bytes.
    pub const BYTES: usize = blake3::KEY_LEN;

    /// A stored key, or a new one of random bytes.
    #[must_use]
    pub const fn new(key: Zeroizing<[u8; Self::BYTES]>) -> Self {
        Self(key)
    }

    /// The key's bytes, to store them.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// The content hash of a secret of a group. `plain` is the unkeyed hash.
    #[must_use]
    pub fn of_secret(&self, group: &str, plain: ContentHash) -> ContentHash {
        let mut hasher = Hasher(blake3::Hasher::new_keyed(&self.0));
        hasher.field(b"secret");
        hasher.field(group.as_bytes());
        hasher.field(plain.as_bytes());
        hasher.finish()
    }
}

impl fmt::Debug for ContentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContentKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_depends_on_the_key_the_group_and_the_secret() {
        let key = |byte| ContentKey::new(Zeroizing::new([byte; ContentKey::BYTES]));
        let plain = |text| ContentHash::of_texts([text]);
        let hash = key(1).of_secret("a", plain("s"));
        assert_eq!(hash, key(1).of_secret("a", plain("s")));
        for other in [
            key(2).of_secret("a", plain("s")),
            key(1).of_secret("b", plain("s")),
            key(1).of_secret("a", plain("t")),
            plain("s"),
        ] {
            assert_ne!(hash, other);
        }
    }

    #[test]
    fn key_is_not_printed() {
        let key = ContentKey::new(Zeroizing::new([7; ContentKey::BYTES]));
        assert_eq!(format!("{key:?}"), "ContentKey");
    }
}
