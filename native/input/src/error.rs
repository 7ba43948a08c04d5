use faiss_indexer_storage::StorageError;
use thiserror::Error;

/// The result of every call of this crate.
pub type Result<T> = std::result::Result<T, InputError>;

/// Why the input cannot be read. Every text names the culprit and what would be right. Rows are counted from 0.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum InputError {
    /// The file system failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Nothing to read was named.
    #[error("no input is named")]
    NoInput,
    /// There is no file.
    #[error("{uri} holds no file to read; names that begin with '_' or '.' are left out")]
    NoFiles {
        /// The directory or pattern.
        uri: String,
    },
    /// A file would be read twice.
    #[error("{uri} is named twice in the input")]
    NamedTwice {
        /// The file.
        uri: String,
    },
    /// The content is of no known format.
    #[error("{uri} {found}; allowed are Parquet, Arrow IPC (file or stream) and .npy")]
    UnknownFormat {
        /// The file.
        uri: String,
        /// What it looks like.
        found: &'static str,
    },
    /// The files are of more than one format.
    #[error("the input mixes formats: {first} is {first_format}, {second} is {second_format}")]
    MixedFormats {
        /// A file.
        first: String,
        /// Its format.
        first_format: &'static str,
        /// A file of another format.
        second: String,
        /// Its format.
        second_format: &'static str,
    },
    /// A file lacks a column.
    #[error("{uri} has no column '{column}'{}; its columns are {columns}", nearest.as_ref().map(|name| format!(" (did you mean '{name}'?)")).unwrap_or_default())]
    MissingColumn {
        /// What was asked for.
        column: String,
        /// The file.
        uri: String,
        /// The nearest name, when one is near.
        nearest: Option<String>,
        /// The names of all columns, for people.
        columns: String,
    },
    /// Two columns have the name.
    #[error("{uri} has more than one column '{column}'")]
    ColumnTwice {
        /// The name.
        column: String,
        /// The file.
        uri: String,
    },
    /// A column is of a type that it cannot have.
    #[error("the column '{column}' of {uri} is of type {found}; allowed are {allowed}")]
    ColumnType {
        /// The column.
        column: String,
        /// The file.
        uri: String,
        /// Its type.
        found: String,
        /// What it may be.
        allowed: &'static str,
    },
    /// The ids of `.npy` files are missing or do not fit.
    #[error("{message}")]
    Ids {
        /// What is wrong and how to put it right.
        message: String,
    },
    /// A type or a shape says that all rows of a file have a wrong dimension.
    #[error("the embeddings of {uri} have dimension {found}; {expected} is expected, {because}")]
    Dimension {
        /// The file.
        uri: String,
        /// What its type or shape says.
        found: usize,
        /// What it should be.
        expected: usize,
        /// Where that comes from.
        because: String,
    },
    /// A type or a shape says that all rows of a file are empty.
    #[error("the embeddings of {uri} have no components")]
    NoComponents {
        /// The file.
        uri: String,
    },
    /// There is no row to learn the dimension from.
    #[error("no row of the input has an embedding, so its dimension is unknown; give the dimension")]
    NoEmbedding,
    /// An unsigned id does not fit into 64 signed bits.
    #[error("the id {id} in column '{column}' of {uri}, row {row}, is above {}, the largest id there is", i64::MAX)]
    IdTooLarge {
        /// The file.
        uri: String,
        /// The column.
        column: String,
        /// The row's number in the file.
        row: u64,
        /// The id.
        id: u64,
    },
    /// The file is damaged, cut short, or uses what cannot be read.
    #[error("{uri} cannot be read ({place}): {message}")]
    Unreadable {
        /// The file.
        uri: String,
        /// Where in it.
        place: String,
        /// What is wrong.
        message: String,
    },
    /// The file is not the one that was opened.
    #[error("{uri} has changed while it was read: it had {expected} bytes and has {found}")]
    Changed {
        /// The file.
        uri: String,
        /// Bytes when the input was opened.
        expected: u64,
        /// Bytes when it was read.
        found: u64,
    },
    /// A split is none of this input.
    #[error("the input has no split '{split}'; did its files change?")]
    UnknownSplit {
        /// The split.
        split: String,
    },
    /// A thread could not be started.
    #[error("cannot start a reader: {message}")]
    Thread {
        /// The operating system's words.
        message: String,
    },
}

impl InputError {
    pub(crate) fn unreadable(uri: &str, place: impl Into<String>, message: impl ToString) -> Self {
        Self::Unreadable { uri: uri.to_owned(), place: place.into(), message: message.to_string() }
    }

    pub(crate) fn ids(message: impl Into<String>) -> Self {
        Self::Ids { message: message.into() }
    }
}
