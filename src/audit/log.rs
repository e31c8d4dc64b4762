//! Output of the audit log: a file that is rotated by size, or standard output.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use super::chain::{Chain, Event};

/// Refusals written per second: a refused client chooses their rate, and must not push all else out of the log.
const REFUSALS: u64 = 100;
/// Bytes at the end of a file that are searched for its last line; lines are far shorter.
const TAIL: u64 = 256 * 1024;

/// The destination of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditSettings {
    /// The path of the file; `-` for standard output, `None` for no log.
    pub file: Option<PathBuf>,
    /// The size in bytes at which a new file is begun.
    pub max_bytes: u64,
    /// The number of older files that are kept.
    pub keep: NonZeroUsize,
}

/// An audit log that cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("audit log {}: {cause}", file.display())]
pub struct AuditError {
    file: PathBuf,
    cause: io::Error,
}

/// Writes events, one at a time.
pub struct AuditLog {
    settings: AuditSettings,
    writer: Mutex<Writer>,
}

struct Writer {
    chain: Chain,
    target: Target,
    /// The second in which `refusals` are counted; `left_out` counts those not written since the last line.
    window: u64,
    refusals: u64,
    left_out: u64,
}

enum Target {
    Nowhere,
    Stdout,
    File { file: File, bytes: u64 },
}

// === impl AuditLog ===

impl AuditLog {
    /// Opens the log and continues its chain.
    ///
    /// # Errors
    ///
    /// [`AuditError`] if the file cannot be read or written.
    pub fn open(settings: AuditSettings) -> Result<Self, AuditError> {
        let failed = |path: &Path| {
            let file = path.to_owned();
            move |cause| AuditError { file, cause }
        };
        let (target, chain) = match &settings.file {
            None => (Target::Nowhere, Chain::default()),
            Some(path) if path.as_os_str() == "-" => (Target::Stdout, Chain::default()),
            Some(path) => {
                let (mut file, bytes, chain) = open(path).map_err(failed(path))?;
                let before = rotated(path, 1);
                let chain = match chain {
                    Some(chain) => chain,
                    None if before.exists() => {
                        let (chain, _) =
                            last(&mut File::open(&before).map_err(failed(&before))?).map_err(failed(&before))?;
                        chain.unwrap_or_default()
                    }
                    None => Chain::default(),
                };
                let bytes = bytes + end_line(&mut file).map_err(failed(path))?;
                (Target::File { file, bytes }, chain)
            }
        };
        Ok(Self {
            settings,
            writer: Mutex::new(Writer {
                chain,
                target,
                window: 0,
                refusals: 0,
                left_out: 0,
            }),
        })
    }

    /// A log that discards every event.
    #[must_use]
    pub fn off() -> Self {
        let settings = AuditSettings {
            file: None,
            ..AuditSettings::default()
        };
        Self {
            settings,
            writer: Mutex::new(Writer {
                chain: Chain::default(),
                target: Target::Nowhere,
                window: 0,
                refusals: 0,
                left_out: 0,
            }),
        }
    }

    /// Writes an event. Refusals beyond 100 a second are only counted, and the next line gives the count.
    ///
    /// # Errors
    ///
    /// If the line cannot be written; the chain then stays at the line before.
    pub fn write(&self, event: &Event<'_>, now: SystemTime) -> io::Result<()> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(writer.target, Target::Nowhere) || (!event.allowed && !writer.has_room(now)) {
            return Ok(());
        }
        let mut chain = writer.chain.clone();
        let mut line = chain.next(event, writer.left_out, now);
        line.push('\n');
        if let (Target::File { bytes, .. }, Some(path)) = (&writer.target, &self.settings.file)
            && *bytes > 0
            && bytes.saturating_add(line.len() as u64) > self.settings.max_bytes
        {
            writer.target = rotate(path, self.settings.keep)?;
        }
        match &mut writer.target {
            Target::Nowhere => {}
            Target::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(line.as_bytes())?;
                stdout.flush()?;
            }
            Target::File { file, bytes } => {
                if let Err(error) = file.write_all(line.as_bytes()) {
                    // The next line must not follow an incomplete one.
                    file.set_len(*bytes)?;
                    return Err(error);
                }
                *bytes += line.len() as u64;
            }
        }
        writer.chain = chain;
        writer.left_out = 0;
        Ok(())
    }
}

impl fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditLog")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

// === impl AuditSettings ===

impl Default for AuditSettings {
    fn default() -> Self {
        Self {
            file: None,
            // A day of refusals at a few per second.
            max_bytes: 100 << 20,
            keep: const { NonZeroUsize::new(10).expect("it is more than 0") },
        }
    }
}

// === impl Writer ===

impl Writer {
    fn has_room(&mut self, now: SystemTime) -> bool {
        let second = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or(Duration::ZERO)
            .as_secs();
        if second != self.window {
            (self.window, self.refusals) = (second, 0);
        }
        self.refusals += 1;
        let has_room = self.refusals <= REFUSALS;
        self.left_out += u64::from(!has_room);
        has_room
    }
}

/// The files of a log, the oldest first.
///
/// # Errors
///
/// If the log has no file.
pub fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = (1..)
        .map(|number| rotated(path, number))
        .take_while(|file| file.exists())
        .collect();
    files.reverse();
    if path.exists() || files.is_empty() {
        fs::metadata(path)?;
        files.push(path.to_owned());
    }
    Ok(files)
}

fn rotated(path: &Path, number: usize) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

fn rotate(path: &Path, keep: NonZeroUsize) -> io::Result<Target> {
    for number in (1..keep.get()).rev() {
        let from = rotated(path, number);
        if from.exists() {
            fs::rename(from, rotated(path, number + 1))?;
        }
    }
    fs::rename(path, rotated(path, 1))?;
    let (file, bytes, _) = open(path)?;
    Ok(Target::File { file, bytes })
}

/// The file, its length, and the chain after its last line; `None` for a file without a valid line.
fn open(path: &Path) -> io::Result<(File, u64, Option<Chain>)> {
    let mut options = OpenOptions::new();
    options.create(true).append(true).read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    let (chain, bytes) = last(&mut file)?;
    Ok((file, bytes, chain))
}

/// The chain after the last valid line of a file, and the file's length. A line that a crash cut off stays in place;
/// `chancery audit verify` reports it.
fn last(file: &mut File) -> io::Result<(Option<Chain>, u64)> {
    let bytes = file.metadata()?.len();
    file.seek(SeekFrom::Start(bytes.saturating_sub(TAIL)))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let tail = String::from_utf8_lossy(&tail);
    Ok((tail.lines().rev().find_map(Chain::after), bytes))
}

/// Ends an unfinished last line; returns the number of bytes written.
fn end_line(file: &mut File) -> io::Result<u64> {
    let bytes = file.metadata()?.len();
    if bytes == 0 {
        return Ok(0);
    }
    file.seek(SeekFrom::Start(bytes - 1))?;
    let mut end = [0];
    file.read_exact(&mut end)?;
    if end == *b"\n" {
        return Ok(0);
    }
    file.write_all(b"\n")?;
    Ok(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::verify;

    fn settings(path: &Path, max_bytes: u64, keep: usize) -> AuditSettings {
        AuditSettings {
            file: Some(path.to_owned()),
            max_bytes,
            keep: NonZeroUsize::new(keep).unwrap(),
        }
    }

    fn event(allowed: bool) -> Event<'static> {
        Event {
            who: "token:ci",
            action: "/a/B",
            allowed,
            ..Event::default()
        }
    }

    fn time(second: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(second)
    }

    /// The number of lines in all files, verified as one chain.
    fn checked(path: &Path) -> usize {
        let (mut chain, mut count) = (None, 0);
        for file in files(path).unwrap() {
            let text = fs::read_to_string(file).unwrap();
            count += text.lines().count();
            chain = verify(chain, text.lines()).unwrap();
        }
        count
    }

    #[test]
    fn the_chain_goes_on_over_restarts_and_rotations() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        for _ in 0..4 {
            let log = AuditLog::open(settings(&path, 2000, 50)).unwrap();
            for _ in 0..10 {
                log.write(&event(true), time(1)).unwrap();
            }
        }
        assert_eq!(checked(&path), 40);
        let all = files(&path).unwrap();
        assert!(all.len() > 3, "{all:?}");
        assert!(all.iter().all(|file| fs::metadata(file).unwrap().len() <= 2000));
        fs::remove_file(&all[1]).unwrap();
        fs::rename(&all[0], &all[1]).unwrap();
        let broken = files(&path).unwrap().into_iter().try_fold(None, |chain, file| {
            verify(chain, fs::read_to_string(file).unwrap().lines())
        });
        assert!(broken.is_err(), "a file is gone");
    }

    #[test]
    fn older_files_beyond_the_limit_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        let log = AuditLog::open(settings(&path, 1000, 2)).unwrap();
        for _ in 0..50 {
            log.write(&event(true), time(1)).unwrap();
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
        assert!(checked(&path) < 50);
    }

    #[test]
    fn the_chain_goes_on_where_the_last_file_was_just_begun() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        AuditLog::open(settings(&path, 2000, 2))
            .unwrap()
            .write(&event(true), time(1))
            .unwrap();
        fs::rename(&path, rotated(&path, 1)).unwrap();
        AuditLog::open(settings(&path, 2000, 2))
            .unwrap()
            .write(&event(true), time(1))
            .unwrap();
        assert_eq!(checked(&path), 2);
    }

    #[test]
    fn an_unfinished_line_is_reported_and_leaves_the_next_one_intact() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        AuditLog::open(settings(&path, 2000, 2))
            .unwrap()
            .write(&event(true), time(1))
            .unwrap();
        let whole = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{whole}{}", &whole[..50])).unwrap();
        AuditLog::open(settings(&path, 2000, 2))
            .unwrap()
            .write(&event(true), time(1))
            .unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(verify(None, text.lines()), Err(crate::audit::Break::Changed(2)));
        let sound: Vec<&str> = text.lines().filter(|line| Chain::after(line).is_some()).collect();
        assert_eq!(verify(None, sound).unwrap().unwrap().number(), 2);
    }

    #[test]
    fn refusals_cannot_flood_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        let log = AuditLog::open(settings(&path, 1 << 20, 2)).unwrap();
        for _ in 0..1000 {
            log.write(&event(false), time(7)).unwrap();
        }
        log.write(&event(true), time(7)).unwrap();
        assert_eq!(checked(&path), REFUSALS as usize + 1);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.lines().last().unwrap().contains("\"left_out\":900"), "{text}");
        log.write(&event(false), time(8)).unwrap();
        assert_eq!(checked(&path), REFUSALS as usize + 2);
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_can_read_the_log() {
        use std::os::unix::fs::PermissionsExt as _;

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        AuditLog::open(settings(&path, 2000, 2)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
