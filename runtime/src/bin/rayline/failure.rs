//! How a command fails: in words, and with an exit code.

use rayline::cluster::{ClientError, Ended, HomeError, SecretError, TlsError};
use std::error::Error;
use std::fmt;
use std::process::ExitCode;

/// What went wrong, with its causes.
#[derive(Debug)]
pub struct Failure {
    text: String,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Failed,
    Usage,
    NoCluster,
}

impl Failure {
    /// It failed: exit code 1.
    pub fn failed(error: &dyn Error) -> Failure {
        Failure { text: with_causes(error), kind: Kind::Failed }
    }

    /// It failed, in words: exit code 1.
    pub fn said(text: impl Into<String>) -> Failure {
        Failure { text: text.into(), kind: Kind::Failed }
    }

    /// It was asked for something that makes no sense: exit code 2.
    pub fn usage(text: impl Into<String>) -> Failure {
        Failure { text: text.into(), kind: Kind::Usage }
    }

    /// There is no cluster to talk to: exit code 3.
    pub fn no_cluster(text: impl Into<String>) -> Failure {
        Failure { text: text.into(), kind: Kind::NoCluster }
    }

    /// The exit code.
    pub fn code(&self) -> ExitCode {
        ExitCode::from(self.number())
    }

    /// The exit code, as a number.
    pub fn number(&self) -> u8 {
        match self.kind {
            Kind::Failed => 1,
            Kind::Usage => 2,
            Kind::NoCluster => 3,
        }
    }

    /// What a process with this exit code has failed with.
    pub fn with_number(text: String, number: u8) -> Failure {
        let kind = match number {
            2 => Kind::Usage,
            3 => Kind::NoCluster,
            _ => Kind::Failed,
        };
        Failure { text, kind }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<HomeError> for Failure {
    fn from(error: HomeError) -> Self {
        Self::failed(&error)
    }
}

impl From<SecretError> for Failure {
    fn from(error: SecretError) -> Self {
        Self::failed(&error)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let text = with_causes(&error);
        match error {
            ClientError::Unreachable { .. }
            | ClientError::Silent { .. }
            | ClientError::Tls(TlsError::Unreachable { .. }) => Self::no_cluster(text),
            _ => Self::said(text),
        }
    }
}

impl From<Ended> for Failure {
    fn from(ended: Ended) -> Self {
        let text = with_causes(&ended);
        match ended {
            Ended::Unanswered { .. } => Self::no_cluster(text),
            Ended::Config(_) => Self::usage(text),
            _ => Self::said(text),
        }
    }
}

/// An error and what caused it, in one line.
fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        let said = source.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = source.source();
    }
    text
}
