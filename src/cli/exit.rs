//! Exit codes, and the conversions from errors to them.

use std::{fmt, io, process::ExitCode};

use prost::Message as _;
use tonic::{Code, Status};

use super::{findings, output::escape};
use crate::proto::admin::{Finding, Rejection};

/// The result of a command. The numbers are part of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Exit {
    Ok = 0,
    /// `diff` found a difference, or a node refused the revision that `--wait` waited for.
    Difference = 1,
    Usage = 2,
    /// Refused by validation.
    Refused = 3,
    NotFound = 4,
    Conflict = 5,
    /// The server cannot be reached, cannot answer, or not in time.
    Unavailable = 6,
    Denied = 7,
}

/// The reason why a command failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) exit: Exit,
    /// Empty if everything was printed already.
    message: String,
    findings: Vec<Finding>,
}

// === impl Exit ===

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl From<Code> for Exit {
    fn from(code: Code) -> Self {
        match code {
            Code::Ok => Self::Ok,
            Code::InvalidArgument | Code::OutOfRange | Code::FailedPrecondition => Self::Refused,
            Code::NotFound => Self::NotFound,
            Code::Aborted | Code::AlreadyExists => Self::Conflict,
            Code::PermissionDenied | Code::Unauthenticated => Self::Denied,
            Code::Cancelled
            | Code::Unknown
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss => Self::Unavailable,
        }
    }
}

// === impl Failure ===

impl Failure {
    pub(super) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            findings: Vec::new(),
        }
    }

    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// A refusal with its findings, which are printed with it.
    pub(super) fn rejected(findings: Vec<Finding>, message: impl Into<String>) -> Self {
        Self {
            findings,
            ..Self::new(Exit::Refused, message)
        }
    }

    pub(super) fn refused(message: impl Into<String>) -> Self {
        Self::new(Exit::Refused, message)
    }
}

impl fmt::Display for Failure {
    /// Writes findings, one a line, then the error; every line ends.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            writeln!(f, "{}", findings::line(finding))?;
        }
        if self.message.is_empty() {
            return Ok(());
        }
        writeln!(f, "error: {}", self.message)
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let rejection = rejection(&status);
        let message = match &rejection {
            Some(rejection) => findings::summary(rejection),
            None if status.message().is_empty() => format!("the server answered {:?}", status.code()),
            None => escape(status.message()),
        };
        Self {
            exit: status.code().into(),
            message,
            findings: rejection.map(|rejection| rejection.findings).unwrap_or_default(),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // The reader of the output closed it on purpose.
            io::ErrorKind::BrokenPipe => Self::new(Exit::Ok, ""),
            _ => Self::new(Exit::Unavailable, error.to_string()),
        }
    }
}

/// The findings in the details of a status.
fn rejection(status: &Status) -> Option<Rejection> {
    let details = tonic_types::Status::decode(status.details()).ok()?.details;
    let any = details
        .iter()
        .find(|any| any.type_url.ends_with("/chancery.admin.v1.Rejection"))?;
    Rejection::decode(any.value.as_slice()).ok()
}
