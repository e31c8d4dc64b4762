//! Files that may hold secrets: only the intended users can read them, from the first byte on and whatever file had the path
//! before.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

/// Permissions for the owner alone.
pub(super) const MODE: u32 = 0o600;

/// Creates a file that must not exist: an existing file has its own permissions, and a link leads elsewhere.
pub(super) fn create(path: &Path, mode: u32) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(path)?;
    if mode != MODE {
        // A wider mode is set afterwards, since the umask would narrow it.
        file.set_permissions(Permissions::from_mode(mode))?;
    }
    Ok(file)
}

/// Creates a file under a name of our own; removes a leftover.
pub(super) fn create_aside(aside: &Path, mode: u32) -> io::Result<File> {
    match fs::remove_file(aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    create(aside, mode)
}

/// Replaces a file with this content in one step.
pub(super) fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let aside = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let replaced = create_aside(&aside, mode)
        .and_then(|mut file| file.write_all(content))
        .and_then(|()| fs::rename(&aside, path));
    if replaced.is_err() {
        fs::remove_file(&aside).ok();
    }
    replaced
}

/// Returns true if a file has exactly these permissions.
pub(super) fn has_mode(file: &File, mode: u32) -> bool {
    let metadata = file.metadata();
    metadata.is_ok_and(|metadata| metadata.permissions().mode() & 0o777 == mode)
}

/// Parses permissions as `chmod` takes them: `640`, `0600`.
pub(super) fn parse_mode(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o777 && mode & MODE == MODE)
        .ok_or_else(|| "expected permissions in octal that let the owner read and write, as 640".to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn mode_of(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn new_content_is_private_where_the_old_file_was_open_to_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cds.yaml");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert!(!has_mode(&File::open(&path).unwrap(), MODE));
        replace(&path, b"new", MODE).unwrap();
        assert_eq!(
            (fs::read(&path).unwrap().as_slice(), mode_of(&path)),
            (&b"new"[..], MODE)
        );
        assert!(has_mode(&File::open(&path).unwrap(), MODE));
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let [victim, path] = ["victim", "cds.yaml"].map(|name| dir.path().join(name));
        fs::write(&victim, "mine").unwrap();
        let aside = dir.path().join(format!(".cds.yaml.{}", std::process::id()));
        for link in [&path, &aside] {
            symlink(&victim, link).unwrap();
        }
        assert!(create(&path, MODE).is_err());
        replace(&path, b"secret", MODE).unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"mine");
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
    }

    #[test]
    fn permissions_are_read_as_octal() {
        assert_eq!(parse_mode("640"), Ok(0o640));
        assert_eq!(parse_mode("0600"), Ok(0o600));
        for text in ["", "8", "1777", "400", "u=rw", "-1"] {
            assert!(parse_mode(text).is_err(), "{text}");
        }
    }
}
