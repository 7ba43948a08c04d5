use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;

use faiss_indexer_storage::Storages;
use sha2::{Digest, Sha256};

use crate::arrow_file::ArrowFile;
use crate::arrow_message::Messages;
use crate::error::{InputError, Result};
use crate::file_bytes::FileBytes;
use crate::file_format::FileFormat;
use crate::listing::list_files;
use crate::npy_array::NpyArray;
use crate::npy_file::{NpyFile, NpyIds};
use crate::number::to_u64;
use crate::parquet_file::ParquetFile;
use crate::row_file::{FirstEmbedding, RowFile, guarded};
use crate::split::Split;
use crate::stream::BatchStream;

/// The column of ids when none is named.
pub const USUAL_ID_COLUMN: &str = "entityId";
/// The column of embeddings when none is named.
pub const USUAL_EMBEDDING_COLUMN: &str = "embedding";

/// What to read of the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputOptions {
    /// The column of ids: a name, or a path such as `item.id` through structs. Without meaning for `.npy`.
    pub id_column: String,
    /// The column of embeddings, in the same way.
    pub embedding_column: String,
    /// The file, directory or pattern of the ids that belong to `.npy` files.
    pub ids_uri: Option<String>,
    /// Whether rows of `.npy` files without such ids have their number as id. Without it they are refused.
    pub number_rows: bool,
    /// Number of components of an embedding; `None` takes it from the files.
    pub dimension: Option<usize>,
    /// The most rows in a batch.
    pub batch_rows: usize,
}

impl Default for InputOptions {
    fn default() -> Self {
        Self {
            id_column: USUAL_ID_COLUMN.to_owned(),
            embedding_column: USUAL_EMBEDDING_COLUMN.to_owned(),
            ids_uri: None,
            number_rows: false,
            dimension: None,
            batch_rows: 16_384,
        }
    }
}

/// Files of one format whose descriptions have been read and checked. Clones share them.
#[derive(Debug, Clone)]
pub struct Input(Arc<Files>);

#[derive(Debug)]
pub(crate) struct Files {
    /// Sorted by URI.
    files: Vec<OpenedFile>,
    /// Sorted, because the files are and their parts are.
    splits: Vec<Split>,
    ids: Option<Arc<NpyIds>>,
    fixed_dimension: Option<usize>,
    learned_dimension: OnceLock<LearnedDimension>,
    pub(crate) batch_rows: usize,
    pub(crate) storages: Storages,
}

/// The dimension that one row has, when neither options nor types nor shapes say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LearnedDimension {
    /// Number of components of the row.
    pub dimension: usize,
    /// The file of the row.
    pub uri: String,
    /// Its number in the file, from 0.
    pub row: u64,
}

#[derive(Debug)]
pub(crate) struct OpenedFile {
    pub(crate) uri: String,
    length: u64,
    pub(crate) rows: Box<dyn RowFile>,
}

/// Threads that read descriptions: enough to hide the latency of a remote store.
const OPENING_THREADS: usize = 8;

impl Input {
    /// Lists the files of `uris`, tells their format by their content, and reads and checks what describes them.
    ///
    /// A URI is a file, a directory with all below it (but for names that begin with `_` or `.`), or a pattern with
    /// `*` and `?` in its last part.
    ///
    /// # Errors
    /// When there is no file, formats are mixed, a column is missing or of a wrong type, a fixed dimension is not the
    /// expected one, or a description cannot be read. The text names file and column.
    pub fn open(uris: &[String], options: &InputOptions, storages: &Storages) -> Result<Self> {
        let uris = list_files(uris, storages)?;
        let formats = Mutex::new(BTreeMap::new());
        let opened = in_parallel(&uris, |uri| {
            guarded(uri, "its description", || {
                let file = open_file(uri, None, storages)?;
                let format = FileFormat::of(&file)?;
                formats.lock().unwrap_or_else(PoisonError::into_inner).insert(uri.to_owned(), format);
                Ok((file.length(), Description::read(&file, format, options)?))
            })
        });
        // Goes before what else is wrong with a file that does not belong to the others.
        refuse_mixed_formats(&formats.into_inner().unwrap_or_else(PoisonError::into_inner))?;
        let opened = opened?;
        let mut files = Vec::new();
        let mut tables = Vec::new();
        for (uri, (length, description)) in uris.iter().zip(opened) {
            match description {
                Description::Rows(rows) => files.push(OpenedFile { uri: uri.clone(), length, rows }),
                Description::Npy(array) => tables.push((uri.as_str(), length, array)),
            }
        }
        let mut ids = None;
        if !tables.is_empty() {
            let list = Arc::new(open_ids(&tables, options, storages)?);
            let mut first_id = 0_u64;
            for (uri, length, array) in tables {
                let rows = array.table(uri)?.0;
                let table = Box::new(NpyFile::new(array, uri, Arc::clone(&list), first_id)?);
                files.push(OpenedFile { uri: uri.to_owned(), length, rows: table });
                first_id = first_id.saturating_add(rows);
            }
            ids = Some(list);
        } else if let Some(given) = &options.ids_uri {
            let message = format!("a file of ids ({given}) is given, but the input is not .npy and has its own ids");
            return Err(InputError::ids(message));
        }
        let fixed_dimension = common_dimension(&files, options.dimension)?;
        let splits = files.iter().flat_map(OpenedFile::splits).collect();
        Ok(Self(Arc::new(Files {
            files,
            splits,
            ids,
            fixed_dimension,
            learned_dimension: OnceLock::new(),
            batch_rows: options.batch_rows,
            storages: storages.clone(),
        })))
    }

    /// Number of rows by the descriptions of the files, rejected ones included.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.0.splits.iter().fold(0, |sum, split| sum.saturating_add(split.rows))
    }

    /// Number of components of an embedding: as the options say, as types or shapes say, or as the first row has that
    /// has any, which is then read.
    ///
    /// # Errors
    /// When no row has an embedding, or a file cannot be read.
    pub fn dimension(&self) -> Result<usize> {
        self.0.dimension()
    }

    /// The row that [`Input::dimension`] had to read.
    #[must_use]
    pub fn learned_dimension(&self) -> Option<&LearnedDimension> {
        self.0.learned_dimension.get()
    }

    /// All pieces of the input, ordered by file and place.
    #[must_use]
    pub fn splits(&self) -> &[Split] {
        &self.0.splits
    }

    /// A digest of every file's URI, length, time of change where the file system tells it, and what describes its
    /// content: the footer of Parquet; for Arrow IPC and `.npy` also 64 KiB spread over the file. Equal as long as
    /// nobody writes the files; different when one was written, unless neither its time nor any of that changed.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn identity(&self) -> Result<String> {
        let storages = &self.0.storages;
        let mut digest = Sha256::new();
        let mut add = |uri: &str, length: u64, checksum: u32| -> Result<()> {
            digest.update(to_u64(uri.len()).to_le_bytes());
            digest.update(uri.as_bytes());
            digest.update(length.to_le_bytes());
            digest.update(storages.resolve(uri)?.modified(uri)?.unwrap_or_default().to_le_bytes());
            digest.update(checksum.to_le_bytes());
            Ok(())
        };
        for file in &self.0.files {
            let open = || open_file(&file.uri, Some(file.length), storages);
            add(&file.uri, file.length, file.rows.checksum(&open)?)?;
        }
        if let Some(ids) = &self.0.ids {
            for (uri, length, checksum) in ids.checksums(&|uri| open_file(uri, None, storages))? {
                add(uri, length, checksum)?;
            }
        }
        Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Decodes `splits`, some of [`Input::splits`], on `readers` threads. Batches come in any order; the rows of a
    /// split keep theirs. The first error ends the stream.
    #[must_use]
    pub fn read(&self, splits: &[Split], readers: usize) -> BatchStream {
        BatchStream::start(&self.0, splits, readers)
    }
}

impl Files {
    pub(crate) fn dimension(&self) -> Result<usize> {
        let learned = || self.learned_dimension.get().map(|learned| learned.dimension);
        if let Some(known) = self.fixed_dimension.or_else(learned) {
            return Ok(known);
        }
        for file in &self.files {
            let found = guarded(&file.uri, "its first embedding", || {
                file.rows.first_embedding(&open_file(&file.uri, Some(file.length), &self.storages)?)
            })?;
            if let Some(FirstEmbedding { row, components: dimension }) = found {
                let learned = || LearnedDimension { dimension, uri: file.uri.clone(), row };
                return Ok(self.learned_dimension.get_or_init(learned).dimension);
            }
        }
        Err(InputError::NoEmbedding)
    }

    /// The file of a split of this input.
    pub(crate) fn file_of(&self, split: &Split) -> Result<&OpenedFile> {
        let known = self.splits.binary_search(split).ok();
        let file = known.and_then(|_| self.files.binary_search_by(|file| file.uri.cmp(&split.file)).ok());
        file.and_then(|number| self.files.get(number))
            .ok_or_else(|| InputError::UnknownSplit { split: split.to_string() })
    }
}

impl OpenedFile {
    /// Opens the file for a reader that gives up when `stop` is set.
    pub(crate) fn open(&self, storages: &Storages, stop: &Arc<AtomicBool>) -> Result<Arc<FileBytes>> {
        FileBytes::open(&self.uri, storages, Some(self.length), Arc::clone(stop))
    }

    fn splits(&self) -> Vec<Split> {
        let parts = self.rows.parts().into_iter();
        parts.map(|(part, rows, bytes)| Split { file: self.uri.clone(), part, rows, bytes }).collect()
    }
}

/// A file as far as it is known before its ids are.
enum Description {
    Rows(Box<dyn RowFile>),
    Npy(NpyArray),
}

impl Description {
    fn read(file: &FileBytes, format: FileFormat, options: &InputOptions) -> Result<Self> {
        let (id, embedding) = (&options.id_column, &options.embedding_column);
        let rows: Box<dyn RowFile> = match format {
            FileFormat::Npy => {
                let array = NpyArray::read(file)?;
                array.table(file.uri())?;
                return Ok(Self::Npy(array));
            }
            FileFormat::Parquet => Box::new(ParquetFile::open(file, id, embedding)?),
            FileFormat::ArrowFile => Box::new(ArrowFile::open(file, Messages::of_file(file)?, id, embedding)?),
            FileFormat::ArrowStream => Box::new(ArrowFile::open(file, Messages::of_stream(file)?, id, embedding)?),
        };
        Ok(Self::Rows(rows))
    }
}

fn open_file(uri: &str, length: Option<u64>, storages: &Storages) -> Result<Arc<FileBytes>> {
    FileBytes::open(uri, storages, length, Arc::new(AtomicBool::new(false)))
}

fn open_ids(tables: &[(&str, u64, NpyArray)], options: &InputOptions, storages: &Storages) -> Result<NpyIds> {
    let Some(uri) = &options.ids_uri else {
        if options.number_rows {
            return Ok(NpyIds::row_numbers());
        }
        let first = tables.first().map_or("", |(uri, _, _)| uri);
        return Err(InputError::ids(format!(
            "{first} has embeddings without ids; name the .npy file (or directory) that has an integer id for each row"
        )));
    };
    let rows: Vec<(&str, u64)> =
        tables.iter().map(|(uri, _, array)| Ok((*uri, array.table(uri)?.0))).collect::<Result<_>>()?;
    let uris = list_files(std::slice::from_ref(uri), storages)?;
    let open = |uri: &str| {
        let file = open_file(uri, None, storages)?;
        match FileFormat::of(&file)? {
            FileFormat::Npy => Ok(file),
            other => Err(InputError::ids(format!("the ids in {uri} are {}; they have to be .npy", other.name()))),
        }
    };
    let ids = NpyIds::open(&uris, &open)?;
    ids.check(&rows)?;
    Ok(ids)
}

fn refuse_mixed_formats(formats: &BTreeMap<String, FileFormat>) -> Result<()> {
    let Some((first, first_format)) = formats.first_key_value() else { return Ok(()) };
    match formats.iter().find(|(_, format)| *format != first_format) {
        None => Ok(()),
        Some((second, format)) => Err(InputError::MixedFormats {
            first: first.clone(),
            first_format: first_format.name(),
            second: second.clone(),
            second_format: format.name(),
        }),
    }
}

/// The dimension that the options or the types and shapes of the files give, which all have to give the same.
fn common_dimension(files: &[OpenedFile], asked: Option<usize>) -> Result<Option<usize>> {
    let mut common = asked.map(|asked| (asked, "it was given".to_owned()));
    for file in files {
        match (file.rows.fixed_dimension(), &common) {
            (Some(found), Some((expected, because))) if found != *expected => {
                let (uri, expected, because) = (file.uri.clone(), *expected, because.clone());
                return Err(InputError::Dimension { uri, found, expected, because });
            }
            (Some(0), None) => return Err(InputError::NoComponents { uri: file.uri.clone() }),
            (Some(found), None) => common = Some((found, format!("{} has it", file.uri))),
            _ => {}
        }
    }
    Ok(common.map(|(dimension, _)| dimension))
}

/// The results of `work` in the order of `uris`, or the error of the first that fails.
fn in_parallel<T: Send>(uris: &[String], work: impl Fn(&str) -> Result<T> + Sync) -> Result<Vec<T>> {
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let results: Mutex<Vec<(usize, Result<T>)>> = Mutex::new(Vec::new());
    let run = || {
        while !failed.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(uri) = uris.get(number) else { break };
            let result = work(uri);
            failed.fetch_or(result.is_err(), Ordering::Relaxed);
            results.lock().unwrap_or_else(PoisonError::into_inner).push((number, result));
        }
    };
    thread::scope(|scope| {
        for _ in 1..OPENING_THREADS.min(uris.len()) {
            // This thread does the work of those that cannot be started.
            drop(thread::Builder::new().spawn_scoped(scope, run));
        }
        run();
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(number, _)| *number);
    results.into_iter().map(|(_, result)| result).collect()
}
