//! Runs the Envoy binary as a child process on a bootstrap, within a time limit, and reads its verdict.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

/// An Envoy binary.
#[derive(Clone, Debug)]
pub struct Binary {
    /// The path of the binary, or a name to be looked up in `PATH`.
    pub path: PathBuf,
    /// The time limit of one run.
    pub limit: Duration,
}

/// The reason why a run has no verdict.
#[derive(Debug, thiserror::Error)]
pub enum EnvoyError {
    /// The binary cannot be started.
    #[error("{path}: {source}")]
    Start {
        /// The binary.
        path: String,
        /// The error of the system.
        source: io::Error,
    },
    /// The binary ended without accepting or refusing the bootstrap.
    #[error("{path} ended with {status} and no verdict: {words}")]
    NoVerdict {
        /// The binary.
        path: String,
        /// The exit status.
        status: ExitStatus,
        /// The end of its standard error.
        words: String,
    },
    /// The binary did not end in time.
    #[error("{path} was still validating after {}", humantime::format_duration(*limit))]
    Slow {
        /// The binary.
        path: String,
        /// The time limit.
        limit: Duration,
    },
    /// The input files cannot be written.
    #[error("the temporary directory for envoy: {0}")]
    Files(#[from] io::Error),
}

/// A refusal as Envoy logs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) words: String,
    /// True if the refusal is about a file that the bootstrap names.
    pub(super) of_file: bool,
}

/// A temporary directory for Envoy's input and output, accessible to its owner only and removed on drop.
#[derive(Debug)]
pub(super) struct Workplace {
    dir: TempDir,
}

/// A running Envoy; dropping it kills the process.
struct Running(Child);

/// The files may hold secrets.
const MODE: u32 = 0o600;
/// The interval between checks for the end of a run.
const PAUSE: Duration = Duration::from_millis(10);
/// Bytes read of each output, at most.
const OUTPUT: u64 = 4 << 20;
/// Characters kept of the output of a run without a verdict.
const SHOWN: usize = 500;
/// The beginnings of log lines that refuse a file.
const FILES: [&str; 2] = [
    "warning: Filesystem config update rejected: ",
    "warning: Filesystem config update failure: ",
];
/// The beginning of the log line that refuses a bootstrap.
const REFUSED: &str = "critical: error initializing configuration ";

// === impl Workplace ===

impl Workplace {
    pub(super) fn new() -> Result<Self, EnvoyError> {
        let dir = tempfile::Builder::new().prefix("chancery-envoy-").tempdir()?;
        Ok(Self { dir })
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Writes the files that the bootstrap names.
    pub(super) fn keep(&self, files: &[(PathBuf, Value)]) -> Result<(), EnvoyError> {
        for (path, content) in files {
            self.write(path, content)?;
        }
        Ok(())
    }

    fn write(&self, path: &Path, content: &Value) -> io::Result<PathBuf> {
        let path = self.path().join(path);
        let mut file = open(&path)?;
        file.write_all(content.to_string().as_bytes())?;
        Ok(path)
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(MODE)
        .open(path)
}

// === impl Binary ===

impl Binary {
    /// Validates a bootstrap; returns the refusal, or `None` if Envoy accepts it.
    pub(super) fn validate(&self, workplace: &Workplace, bootstrap: &Value) -> Result<Option<Said>, EnvoyError> {
        let config = workplace.write(Path::new("bootstrap.json"), bootstrap)?;
        let [out, err] = ["out", "err"].map(|name| workplace.path().join(name));
        let child = Command::new(&self.path)
            .args(["--mode", "validate", "--config-path"])
            .arg(&config)
            .args(["--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"])
            .args(["--log-format", "%l: %v", "--log-format-escaped"])
            .current_dir(workplace.path())
            .stdin(Stdio::null())
            .stdout(open(&out)?)
            .stderr(open(&err)?)
            .spawn()
            .map_err(|source| EnvoyError::Start {
                path: self.name(),
                source,
            })?;
        let status = self.wait(Running(child))?;
        let said = read(&err)?;
        if let Some(refusal) = refusal(&said) {
            return Ok(Some(refusal));
        }
        if status.success() && read(&out)?.trim_end().ends_with(" OK") {
            return Ok(None);
        }
        let end: Vec<char> = said.trim().chars().rev().take(SHOWN).collect();
        Err(EnvoyError::NoVerdict {
            path: self.name(),
            status,
            words: end.into_iter().rev().collect(),
        })
    }

    fn wait(&self, mut running: Running) -> Result<ExitStatus, EnvoyError> {
        let deadline = Instant::now() + self.limit;
        loop {
            if let Some(status) = running.0.try_wait()? {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                return Err(EnvoyError::Slow {
                    path: self.name(),
                    limit: self.limit,
                });
            }
            sleep(PAUSE);
        }
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(OUTPUT).read_to_end(&mut bytes)?;
    fs::write(path, "")?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The first refusal in Envoy's log.
fn refusal(log: &str) -> Option<Said> {
    let said = |words, of_file| Said {
        words: plain(words),
        of_file,
    };
    let whole = log.lines().find_map(|line| {
        let (_, words) = line.strip_prefix(REFUSED)?.split_once("\\': ")?;
        Some(said(words, false))
    });
    let file = || {
        let of_line = |line| FILES.iter().find_map(|prefix| str::strip_prefix(line, prefix));
        log.lines().find_map(of_line).map(|words| said(words, true))
    };
    whole.or_else(file)
}

/// Undoes the escapes of the log, and joins the lines.
fn plain(words: &str) -> String {
    let mut text = String::with_capacity(words.len());
    let mut chars = words.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n' | 'r' | 't') => text.push(' '),
                Some(escaped) => text.push(escaped),
                None => {}
            },
            c => text.push(c),
        }
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_refusal_are_read_from_the_log() {
        for (said, words) in [
            ("", None),
            ("warning: something else\n", None),
            (
                "critical: error initializing configuration \\'/tmp/b.json\\': unknown cluster \\'a\\'\\n in line\n",
                Some("unknown cluster 'a' in line"),
            ),
            (
                "warning: x\nwarning: Filesystem config update rejected: malformed IP address: x\n",
                Some("malformed IP address: x"),
            ),
        ] {
            assert_eq!(refusal(said).map(|said| said.words).as_deref(), words);
        }
    }
}
