//! The key file of a store: the keys that seal the records on disk. The first key seals, all of them open.
//!
//! Each line is one key of 32 bytes, in base64 or hex. The id of a key is a hash of the key, so that two keys are never
//! confused and a message can name a missing key.

use std::{
    fmt, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use crate::input;

/// Largest key file, in bytes: room for hundreds of keys.
const LARGEST: u64 = 64 * 1024;
/// Keys in a file: more keys mean that nobody rekeyed the store, and each key is tried at every open.
const MOST: usize = 64;
/// Permissions that a key file must not have: its group may read it, as Kubernetes mounts it; only the owner may write it.
const FORBIDDEN: u32 = 0o027;

/// The keys of a key file; the first one seals.
#[derive(Clone)]
pub struct StoreKeys {
    file: PathBuf,
    keys: Vec<StoreKey>,
}

/// One key.
#[derive(Clone)]
pub struct StoreKey {
    id: KeyId,
    /// Derived from the key in the file.
    sealing: Zeroizing<[u8; 32]>,
}

/// Identifies a key without revealing it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId([u8; Self::BYTES]);

/// The reason why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file cannot be read.
    #[error("the key file {}: {source}", .file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// Others than the owner may read or change the file.
    #[error("the key file {}: others than its owner may read or change it (mode {mode:03o}): `chmod 600 {}`", .file.display(), .file.display())]
    Open {
        /// The file.
        file: PathBuf,
        /// The permissions of the file.
        mode: u32,
    },
    /// The file has no keys, or a line that is not a key.
    #[error("the key file {}: {reason}", .file.display())]
    Content {
        /// The file.
        file: PathBuf,
        /// The line and the rule; never text of the file.
        reason: String,
    },
}

// === impl StoreKeys ===

impl StoreKeys {
    /// Reads a key file.
    ///
    /// # Errors
    ///
    /// [`KeyFileError`]: the file cannot be read, others may read it, or a line is not a key.
    pub fn read(file: &Path) -> Result<Self, KeyFileError> {
        let failed = |source| KeyFileError::Read {
            file: file.to_owned(),
            source,
        };
        let opened = input::open(file).map_err(failed)?;
        let mode = opened.metadata().map_err(failed)?.mode() & 0o777;
        if mode & FORBIDDEN != 0 {
            return Err(KeyFileError::Open {
                file: file.to_owned(),
                mode,
            });
        }
        let content = input::read_secret(&opened, LARGEST).map_err(failed)?;
        let keys = parse(&content).map_err(|reason| KeyFileError::Content {
            file: file.to_owned(),
            reason,
        })?;
        Ok(Self {
            file: file.to_owned(),
            keys,
        })
    }

    /// The path of the file.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The key that seals.
    #[must_use]
    pub fn first(&self) -> &StoreKey {
        self.keys.first().expect("a key file without a key is refused")
    }

    /// The key with an id.
    #[must_use]
    pub fn find(&self, id: KeyId) -> Option<&StoreKey> {
        self.keys.iter().find(|key| key.id == id)
    }

    /// The ids of all keys, for messages.
    #[must_use]
    pub fn ids(&self) -> String {
        let ids: Vec<_> = self.keys.iter().map(|key| key.id.to_string()).collect();
        ids.join(", ")
    }
}

impl fmt::Debug for StoreKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreKeys({})", self.ids())
    }
}

fn parse(content: &[u8]) -> Result<Vec<StoreKey>, String> {
    let text = std::str::from_utf8(content).map_err(|_| "it is no text".to_owned())?;
    let mut keys: Vec<StoreKey> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let (line, number) = (line.trim(), index + 1);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let key = decode(line).ok_or_else(|| {
            format!(
                "line {number} is no key: expected 32 bytes in base64 or hex, as `openssl rand -base64 32` writes them"
            )
        })?;
        let key = StoreKey::new(&key);
        if keys.iter().any(|known| known.id == key.id) {
            return Err(format!("line {number} has the key {} a second time", key.id));
        }
        if keys.len() == MOST {
            return Err(format!("line {number} is one key too many: at most {MOST} are read"));
        }
        keys.push(key);
    }
    if keys.is_empty() {
        return Err("there is no key in it: `openssl rand -base64 32` makes one".to_owned());
    }
    Ok(keys)
}

fn decode(line: &str) -> Option<Zeroizing<[u8; 32]>> {
    // Room for the decoder's estimate of the longest line that is read.
    let mut bytes = Zeroizing::new([0; 48]);
    let length = match line.len() {
        64 => decode_hex(line, &mut bytes[..32])?,
        44 => STANDARD.decode_slice(line, &mut bytes[..]).ok()?,
        _ => return None,
    };
    let mut key = Zeroizing::new([0; 32]);
    (length == key.len()).then(|| key.copy_from_slice(&bytes[..32]))?;
    Some(key)
}

/// Decodes hex digits into `bytes`; returns the number of bytes.
fn decode_hex(text: &str, bytes: &mut [u8]) -> Option<usize> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() || pairs.len() != bytes.len() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes.len())
}

// === impl StoreKey ===

impl StoreKey {
    fn new(key: &[u8; 32]) -> Self {
        let derive = |context| blake3::derive_key(context, key);
        let mut id = [0; KeyId::BYTES];
        id.copy_from_slice(&derive("chancery 2026-11 store key id")[..KeyId::BYTES]);
        Self {
            id: KeyId(id),
            sealing: Zeroizing::new(derive("chancery 2026-11 store sealing key")),
        }
    }

    /// The id of the key.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// The key that encrypts values.
    pub(super) fn sealing(&self) -> &[u8; 32] {
        &self.sealing
    }
}

impl fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreKey({})", self.id)
    }
}

// === impl KeyId ===

impl KeyId {
    /// Bytes of an id.
    pub const BYTES: usize = 8;

    /// The id as it is stored.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; Self::BYTES] {
        self.0
    }

    /// Parses the displayed form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut id = [0; Self::BYTES];
        decode_hex(text, &mut id)?;
        Some(Self(id))
    }

    /// Reads an id as it is stored.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::{
        fs,
        os::unix::fs::{PermissionsExt as _, symlink},
    };

    use super::*;

    /// Keys made of one repeated byte each; the first one seals.
    pub(in crate::revision) fn keys(bytes: &[u8]) -> StoreKeys {
        StoreKeys {
            file: "store.key".into(),
            keys: bytes.iter().map(|byte| StoreKey::new(&[*byte; 32])).collect(),
        }
    }

    fn read(content: &str, mode: u32) -> Result<StoreKeys, KeyFileError> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("store.key");
        fs::write(&file, content).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        StoreKeys::read(&file)
    }

    #[test]
    fn first_key_seals_and_all_are_found() {
        let hex = "07".repeat(32);
        let other = STANDARD.encode([9; 32]);
        let read = read(&format!("# newest first\n{other}\n\n  {hex}\n"), 0o600).unwrap();
        let expected = keys(&[9, 7]);
        assert_eq!(read.first().id(), expected.first().id());
        assert_eq!(read.ids(), expected.ids());
        assert!(read.find(keys(&[7]).first().id()).is_some());
        assert!(read.find(keys(&[8]).first().id()).is_none());
    }

    #[test]
    fn what_is_no_key_file_is_refused_by_line_and_never_quoted() {
        let key = STANDARD.encode([9; 32]);
        for (content, expected) in [
            ("", "there is no key in it"),
            ("# nothing\n", "there is no key in it"),
            ("hunter2hunter2\n", "line 1 is no key"),
            (&format!("{key}\nhunter2\n"), "line 2 is no key"),
            (&format!("{key}\n{}\n", "09".repeat(32)), "line 2 has the key"),
            (&format!("{}\n", "zz".repeat(32)), "line 1 is no key"),
            (&STANDARD.encode([9; 31]), "line 1 is no key"),
            (&STANDARD.encode([9; 33]), "line 1 is no key"),
        ] {
            let refused = read(content, 0o600).unwrap_err().to_string();
            assert!(
                refused.contains(expected) && refused.contains("store.key"),
                "{content}: {refused}"
            );
            assert!(!refused.contains("hunter2") && !refused.contains(&key), "{refused}");
        }
    }

    #[test]
    fn file_that_others_may_read_or_change_is_refused() {
        let key = STANDARD.encode([9; 32]);
        for mode in [0o644, 0o604, 0o620, 0o602, 0o666] {
            let refused = read(&key, mode).unwrap_err();
            assert!(matches!(refused, KeyFileError::Open { mode: expected, .. } if expected == mode));
            assert!(refused.to_string().contains("chmod 600"), "{refused}");
        }
        for mode in [0o600, 0o400, 0o440] {
            read(&key, mode).unwrap();
        }
    }

    #[test]
    fn link_is_followed_and_a_directory_is_no_key_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("..data");
        fs::write(&file, STANDARD.encode([9; 32])).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).unwrap();
        symlink(&file, dir.path().join("store.key")).unwrap();
        StoreKeys::read(&dir.path().join("store.key")).unwrap();
        for path in [dir.path(), &dir.path().join("missing")] {
            assert!(matches!(StoreKeys::read(path), Err(KeyFileError::Read { .. })));
        }
    }

    #[test]
    fn keys_are_not_printed() {
        let keys = keys(&[9]);
        let printed = format!("{keys:?} {:?}", keys.first());
        assert!(!printed.contains("9, 9"), "{printed}");
        assert!(printed.contains(&keys.ids()), "{printed}");
    }
}
