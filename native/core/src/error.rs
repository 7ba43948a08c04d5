//! What can go wrong in a build, in few kinds that callers may act on.

use faiss_indexer_storage::StorageError;

/// The meaning of a [`BuildError`]. The numbers cross JNI and are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[repr(i32)]
pub enum ErrorKind {
    /// The spec, an argument or a combination of them cannot be built.
    InvalidSpec = 1,
    /// The input holds rows that the policy `badRows=fail` refuses, or is not the same in every stage.
    BadRows = 2,
    /// There are fewer usable rows than the family needs for training.
    TooFewRows = 3,
    /// A shard was encoded with another trained state.
    FingerprintMismatch = 4,
    /// The output directory holds a finished index.
    AlreadyExists = 5,
    /// A file that the build needs is not there.
    NotFound = 6,
    /// The file system refuses access.
    PermissionDenied = 7,
    /// Reading or writing failed; trying again may help.
    Storage = 8,
    /// Faiss raised an exception.
    Faiss = 9,
    /// The stage is closed, finished or failed.
    Closed = 10,
    /// A bug in native code.
    Internal = 11,
    /// The caller cancelled the stage.
    Cancelled = 12,
    /// Another thread is inside the same stage.
    Busy = 13,
    /// An allocation failed.
    OutOfMemory = 14,
    /// The input holds an id more than once.
    DuplicateIds = 15,
    /// A file of ours is truncated or damaged.
    CorruptFile = 16,
}

impl ErrorKind {
    /// The number that crosses JNI.
    #[must_use]
    pub fn number(self) -> i32 {
        #[expect(clippy::as_conversions, reason = "reads the discriminant of a repr(i32) enum")]
        let number = self as i32;
        number
    }
}

/// A failed build step: a kind, and a message that names the culprit.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct BuildError {
    kind: ErrorKind,
    message: String,
    #[source]
    source: Option<StorageError>,
}

/// The result of a build step.
pub type Result<T> = std::result::Result<T, BuildError>;

impl BuildError {
    /// An error of `kind` whose message is complete for a reader.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// What the error means.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidSpec, message)
    }

    pub(crate) fn corrupt(uri: &str, what: impl std::fmt::Display) -> Self {
        Self::new(ErrorKind::CorruptFile, format!("{uri} is damaged: {what}"))
    }
}

impl From<StorageError> for BuildError {
    fn from(source: StorageError) -> Self {
        let kind = match source {
            StorageError::NotFound { .. } => ErrorKind::NotFound,
            StorageError::AlreadyExists { .. } => ErrorKind::AlreadyExists,
            StorageError::PermissionDenied { .. } => ErrorKind::PermissionDenied,
            StorageError::UnsupportedScheme { .. } | StorageError::OutOfReach { .. } => ErrorKind::InvalidSpec,
            _ => ErrorKind::Storage,
        };
        Self { kind, message: source.to_string(), source: Some(source) }
    }
}
