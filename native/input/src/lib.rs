//! Placeholder of the crate `faiss-indexer-input`: `.npy` files only.

#![forbid(unsafe_code)]

use faiss_indexer_storage::{StorageError, Storages};
use serde::Serialize;

/// The result of a call.
pub type Result<T> = std::result::Result<T, InputError>;

/// Why the input cannot be read.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// The file system failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// There is no file.
    #[error("{uri} holds no file")]
    NoFiles {
        /// The directory.
        uri: String,
    },
    /// Of no known format.
    #[error("{uri} {found}")]
    UnknownFormat {
        /// The file.
        uri: String,
        /// What it is.
        found: &'static str,
    },
    /// Damaged.
    #[error("{uri} cannot be read")]
    Unreadable {
        /// The file.
        uri: String,
    },
    /// Ids are missing.
    #[error("{message}")]
    Ids {
        /// What is wrong.
        message: String,
    },
    /// An id is too large.
    #[error("{id}")]
    IdTooLarge {
        /// The id.
        id: u64,
    },
    /// Another file.
    #[error("{uri} has changed")]
    Changed {
        /// The file.
        uri: String,
    },
    /// Of another input.
    #[error("no split {split}")]
    UnknownSplit {
        /// The split.
        split: String,
    },
    /// No thread.
    #[error("cannot start a reader: {message}")]
    Thread {
        /// Why.
        message: String,
    },
}

/// How rows are read.
#[derive(Debug, Clone)]
pub struct InputOptions {
    /// Column of the ids.
    pub id_column: String,
    /// Column of the embeddings.
    pub embedding_column: String,
    /// File of the ids of `.npy` embeddings.
    pub ids_uri: Option<String>,
    /// Expected dimension; that of the first file when absent.
    pub dimension: Option<usize>,
    /// Most rows of a batch.
    pub batch_rows: usize,
}

/// A range of rows.
#[derive(Debug, Clone, Serialize)]
pub struct Split {
    /// Its rows.
    pub rows: u64,
    /// Its bytes.
    pub bytes: u64,
    first: u64,
}

/// Some rows.
#[derive(Debug)]
pub struct Batch {
    /// One for each vector.
    pub ids: Vec<i64>,
    /// Row-major.
    pub vectors: Vec<f32>,
    /// Rows that are not among them.
    pub rejected: Vec<Rejected>,
}

/// A row that is no number of floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejected {
    /// No id.
    NullId,
    /// No embedding.
    NullEmbedding {
        /// Its id.
        id: i64,
    },
    /// Another dimension.
    WrongDimension {
        /// Its id.
        id: i64,
        /// Its dimension.
        dimension: usize,
    },
    /// A null component.
    NullComponent {
        /// Its id.
        id: i64,
    },
}

/// All rows of a build.
#[derive(Debug)]
pub struct Input {
    storages: Storages,
    vectors: Npy,
    ids: Npy,
    splits: Vec<Split>,
    batch_rows: usize,
}

#[derive(Debug)]
struct Npy {
    uri: String,
    data: u64,
    rows: u64,
    columns: u64,
}

impl Input {
    /// Looks at the files.
    ///
    /// # Errors
    /// Storage errors.
    pub fn open(uris: &[String], options: &InputOptions, storages: &Storages) -> Result<Self> {
        const SPLIT_ROWS: u64 = 16 << 10;
        let [uri] = uris else { return Err(invalid("one .npy file is expected")) };
        let ids_uri = options.ids_uri.as_ref().ok_or_else(|| invalid("--ids is missing"))?;
        let (vectors, ids) = (Npy::open(uri, "<f4", storages)?, Npy::open(ids_uri, "<i8", storages)?);
        if vectors.rows != ids.rows {
            return Err(invalid("another number of ids"));
        }
        let splits = (0..vectors.rows.div_ceil(SPLIT_ROWS))
            .map(|number| {
                let first = number * SPLIT_ROWS;
                let rows = SPLIT_ROWS.min(vectors.rows - first);
                Split { rows, bytes: rows * vectors.columns * 4, first }
            })
            .collect();
        Ok(Self { storages: storages.clone(), vectors, ids, splits, batch_rows: options.batch_rows })
    }

    /// Rows of all files.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.vectors.rows
    }

    /// Components per row.
    ///
    /// # Errors
    /// None.
    pub fn dimension(&self) -> Result<usize> {
        Ok(usize::try_from(self.vectors.columns).unwrap_or_default())
    }

    /// Pieces that may be read apart.
    #[must_use]
    pub fn splits(&self) -> &[Split] {
        &self.splits
    }

    /// What tells this input from others.
    ///
    /// # Errors
    /// None.
    pub fn identity(&self) -> Result<String> {
        Ok(format!("{} {} {}", self.vectors.uri, self.vectors.rows, self.vectors.columns))
    }

    /// The rows of `splits`.
    ///
    /// # Errors
    /// Each batch may be one.
    pub fn read(&self, splits: &[Split], _readers: usize) -> impl Iterator<Item = Result<Batch>> + Send + use<> {
        let (storages, batch_rows) = (self.storages.clone(), u64::try_from(self.batch_rows).unwrap_or(1).max(1));
        let (vectors, ids) = (self.vectors.clone_place(), self.ids.clone_place());
        Vec::from(splits).into_iter().flat_map(move |split| {
            let (storages, vectors, ids) = (storages.clone(), vectors.clone_place(), ids.clone_place());
            (0..split.rows.div_ceil(batch_rows)).map(move |number| {
                let first = split.first + number * batch_rows;
                let rows = batch_rows.min(split.first + split.rows - first);
                let ids = ids.read(first, rows, &storages)?;
                let vectors = vectors.read(first, rows, &storages)?;
                Ok(Batch {
                    ids: ids.as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect(),
                    vectors: vectors.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
                    rejected: Vec::new(),
                })
            })
        })
    }
}

impl Npy {
    fn open(uri: &str, kind: &str, storages: &Storages) -> Result<Self> {
        let damaged = || InputError::Unreadable { uri: uri.to_owned() };
        let reader = storages.resolve(uri)?.open(uri)?;
        let mut start = [0; 10];
        reader.read_exact_at(0, &mut start)?;
        let length = u64::from(u16::from_le_bytes([start[8], start[9]]));
        let mut header = vec![0; usize::try_from(length).map_err(|_| damaged())?];
        reader.read_exact_at(10, &mut header)?;
        let header = String::from_utf8(header).map_err(|_| damaged())?;
        let shape = header.split_once('(').and_then(|(_, rest)| rest.split_once(')')).ok_or_else(damaged)?.0;
        let shape: Vec<u64> = shape.split(',').filter_map(|number| number.trim().parse().ok()).collect();
        if !start.starts_with(b"\x93NUMPY") || !header.contains(kind) || shape.is_empty() {
            return Err(damaged());
        }
        let columns = shape.get(1).copied().unwrap_or(1);
        Ok(Self { uri: uri.to_owned(), data: 10 + length, rows: shape[0], columns })
    }

    fn clone_place(&self) -> Self {
        Self { uri: self.uri.clone(), ..*self }
    }

    fn read(&self, first: u64, rows: u64, storages: &Storages) -> Result<Vec<u8>> {
        let width = self.columns * if self.columns == 1 { 8 } else { 4 };
        let mut bytes = vec![0; usize::try_from(rows * width).map_err(|_| invalid("too many rows"))?];
        let reader = storages.resolve(&self.uri)?.open(&self.uri)?;
        reader.read_exact_at(self.data + first * width, &mut bytes)?;
        Ok(bytes)
    }
}

fn invalid(message: &str) -> InputError {
    InputError::Ids { message: message.to_owned() }
}
