//! Failures on request, so that a deployment and the tests can see that each kind crosses every boundary.

use std::str::FromStr;

use crate::error::{BuildError, ErrorKind, Result};
use crate::faiss_index;

/// A way to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// An error of this library.
    Error,
    /// A panic, as a bug would raise it.
    Panic,
    /// An exception of Faiss.
    Faiss,
}

impl FromStr for Fault {
    type Err = BuildError;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "error" => Ok(Self::Error),
            "panic" => Ok(Self::Panic),
            "faiss" => Ok(Self::Faiss),
            _ => Err(BuildError::invalid(format!("unknown fault '{name}'; allowed: error, panic, faiss"))),
        }
    }
}

/// Fails as asked.
///
/// # Errors
/// Always, unless it panics.
#[expect(clippy::panic, reason = "a panic is what was asked for")]
pub fn raise(fault: Fault) -> Result<()> {
    match fault {
        Fault::Error => Err(BuildError::new(ErrorKind::Storage, "an error was asked for")),
        Fault::Panic => panic!("a panic was asked for, code {}", ErrorKind::Internal.number()),
        Fault::Faiss => faiss_index::raise(),
    }
}
