use std::io;

use thiserror::Error;

/// The result of every storage call.
pub type Result<T> = std::result::Result<T, StorageError>;

/// Why a storage call failed. Every text names the URI.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum StorageError {
    /// Nothing is there.
    #[error("{uri} does not exist")]
    NotFound {
        /// What was looked for.
        uri: String,
    },
    /// Something is there already.
    #[error("{uri} already exists")]
    AlreadyExists {
        /// The name that is taken.
        uri: String,
    },
    /// The file system refuses this user.
    #[error("no permission for {uri}: {message}")]
    PermissionDenied {
        /// What was to be used.
        uri: String,
        /// The file system's own words.
        message: String,
    },
    /// No backend serves URIs of this scheme.
    #[error("no file system for scheme '{scheme}' of {uri}; allowed are {allowed}")]
    UnsupportedScheme {
        /// The URI with the scheme.
        uri: String,
        /// The scheme, without its colon.
        scheme: String,
        /// What would have been served, for people.
        allowed: String,
    },
    /// The backend cannot do here what it is for, whoever tries and when.
    #[error("{uri} is out of reach: {reason}")]
    OutOfReach {
        /// What was to be used.
        uri: String,
        /// What keeps it from that.
        reason: String,
    },
    /// Anything else, such as a full disk or a broken connection.
    #[error("cannot {operation} {uri}: {message}")]
    Io {
        /// What was attempted, as a verb: `read`, `write`, ...
        operation: &'static str,
        /// What it was attempted on.
        uri: String,
        /// The file system's own words.
        message: String,
    },
}

impl StorageError {
    /// Tells an operating system error apart by its kind.
    pub fn from_io(operation: &'static str, uri: &str, error: &io::Error) -> Self {
        let uri = uri.to_owned();
        match error.kind() {
            io::ErrorKind::NotFound => Self::NotFound { uri },
            io::ErrorKind::AlreadyExists => Self::AlreadyExists { uri },
            io::ErrorKind::PermissionDenied => Self::PermissionDenied { uri, message: error.to_string() },
            _ => Self::Io { operation, uri, message: error.to_string() },
        }
    }

    /// A file was expected and a directory found.
    pub fn is_a_directory(operation: &'static str, uri: &str) -> Self {
        Self::Io { operation, uri: uri.to_owned(), message: "it is a directory".to_owned() }
    }

    /// A read reaches past the end of a file of `length` bytes.
    pub fn range_past_end(uri: &str, offset: u64, asked: usize, length: u64) -> Self {
        let message = format!("{asked} bytes at offset {offset} were asked for, the file has {length}");
        Self::Io { operation: "read", uri: uri.to_owned(), message }
    }

    /// A write reaches past the end of a file that was to have `length` bytes.
    pub fn write_past_end(uri: &str, offset: u64, bytes: usize, length: u64) -> Self {
        let message = format!("{bytes} bytes at offset {offset} do not fit into a file of {length}");
        Self::Io { operation: "write", uri: uri.to_owned(), message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operating_system_errors_keep_their_meaning_and_name_the_uri() {
        let uri = "/data/shard".to_owned();
        let io = |message: &str| StorageError::Io { operation: "write", uri: uri.clone(), message: message.to_owned() };
        for (kind, expected) in [
            (io::ErrorKind::NotFound, StorageError::NotFound { uri: uri.clone() }),
            (io::ErrorKind::AlreadyExists, StorageError::AlreadyExists { uri: uri.clone() }),
            (
                io::ErrorKind::PermissionDenied,
                StorageError::PermissionDenied { uri: uri.clone(), message: "permission denied".to_owned() },
            ),
            (io::ErrorKind::NotADirectory, io("not a directory")),
            (io::ErrorKind::ReadOnlyFilesystem, io("read-only filesystem or storage medium")),
            (io::ErrorKind::StorageFull, io("no storage space")),
        ] {
            let error = StorageError::from_io("write", &uri, &io::Error::from(kind));
            assert_eq!(error, expected);
            assert!(error.to_string().contains(&uri), "{error}");
        }
    }
}
