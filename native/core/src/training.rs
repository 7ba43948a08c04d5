//! The train stage: reads the sampled rows, puts the chosen ones in id order, and trains.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use faiss_indexer_storage::{CreateMode, Storages};
use log::info;
use sha2::{Digest, Sha256};

use crate::build_context::BuildContext;
use crate::build_report::merge_queries;
use crate::cancellation::Cancellation;
use crate::error::{BuildError, ErrorKind, Result};
use crate::family::Family;
use crate::index_layout::Labels;
use crate::numbers::{to_u64, to_usize};
use crate::quantization::{Encoder, Trainer, encoder_for, trainer_for};
use crate::receipts::{Clock, Receipts, SampleFile, TrainReceipt, to_json};
use crate::row_hash::row_hash;
use crate::run_file::RunLayout;
use crate::stage::Progress;
use crate::workers::Workers;

/// A trained index, ready to encode.
#[derive(Clone)]
pub(crate) struct TrainedState {
    pub(crate) bytes: Arc<[u8]>,
    pub(crate) fingerprint: String,
    pub(crate) encoder: Arc<dyn Encoder>,
}

impl TrainedState {
    /// The layout of runs that are encoded with this state.
    pub(crate) fn run_layout(&self, family: &Family) -> RunLayout {
        let shape = self.encoder.shape();
        RunLayout {
            fingerprint: self.fingerprint.clone(),
            nlist: shape.nlist.max(1),
            code_size: shape.code_size,
            second_code_size: shape.second_code_size,
            positions: shape.nlist > 1 && family.labels() == Labels::Positions,
        }
    }
}

/// Trains on the rows that `receipts` name and writes the trained state.
pub(crate) fn train(
    context: &BuildContext,
    receipts: &Receipts,
    storages: &Storages,
    workers: &Workers,
    cancellation: &Cancellation,
    progress: &Progress,
) -> Result<TrainReceipt> {
    let began = Clock::start();
    let family = context.family()?;
    let wanted = context.training_rows.ok_or_else(|| BuildError::invalid("the build was not planned"))?;
    let files: Vec<&SampleFile> = receipts.samples.iter().filter_map(|sample| sample.sample.as_ref()).collect();
    let vectors = read_sample(context, &files, wanted, storages, cancellation)?;
    let rows = to_u64(vectors.len()) / context.spec.dimension;
    if rows < family.training_rows().needed {
        let (name, needed) = (family.factory_string(), family.training_rows().needed);
        let message = format!("{name} needs at least {needed} training rows, and the sample has {rows}");
        return Err(BuildError::new(ErrorKind::TooFewRows, message));
    }
    info!("training {} with {} threads", family.factory_string(), workers.count());
    let trainer = trainer_for(&family, context.spec.dimension, context.spec.metric);
    let bytes = trainer.train(&vectors, workers, cancellation)?;
    progress.add_rows(rows);
    // Training that cannot be interrupted ends when nobody waits for it any more, and what it wrote would stay.
    cancellation.check()?;

    let uri = context.attempt_file("trained");
    let mut writer = storages.resolve(&uri)?.create(&uri, CreateMode::New)?;
    writer.write_all(&bytes)?;
    let length = writer.finish()?;
    progress.add_bytes(length);
    let queries = merge_queries(context, &receipts.samples, storages, cancellation, progress)?;
    let clock = Clock::stop(began);
    let seconds = Clock::wall_seconds([clock]);
    info!("trained {} on {rows} rows in {seconds:.1} s", family.factory_string());
    let fingerprint = fingerprint_of(context, &bytes)?;
    Ok(TrainReceipt { uri, bytes: length, fingerprint, training_rows: rows, queries, clock })
}

/// Loads the trained state that `receipt` names, once per process however many tasks use it.
pub(crate) fn load(context: &BuildContext, receipt: &TrainReceipt, storages: &Storages) -> Result<TrainedState> {
    // The lock is kept while reading, so that tasks that start together read the state once.
    static LOADED: Mutex<Vec<LoadedState>> = Mutex::new(Vec::new());
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    loaded.retain(|state| state.bytes.strong_count() > 0);
    if let Some(state) = loaded.iter().find_map(|state| state.upgrade(&receipt.fingerprint)) {
        return Ok(state);
    }

    let reader = storages.resolve(&receipt.uri)?.open(&receipt.uri)?;
    let mut bytes = vec![0; to_usize(reader.length())?];
    reader.read_exact_at(0, &mut bytes)?;
    if fingerprint_of(context, &bytes)? != receipt.fingerprint {
        return Err(BuildError::corrupt(&receipt.uri, "its fingerprint is not the one that training reported"));
    }
    let encoder = encoder_for(&bytes, context.family()?.merge_plan())?;
    let state = TrainedState { bytes: bytes.into(), fingerprint: receipt.fingerprint.clone(), encoder };
    loaded.push(LoadedState::of(&state));
    Ok(state)
}

/// Keeps nothing alive: a state goes with the last task that uses it.
struct LoadedState {
    fingerprint: String,
    bytes: Weak<[u8]>,
    encoder: Weak<dyn Encoder>,
}

impl LoadedState {
    fn of(state: &TrainedState) -> Self {
        let (bytes, encoder) = (Arc::downgrade(&state.bytes), Arc::downgrade(&state.encoder));
        Self { fingerprint: state.fingerprint.clone(), bytes, encoder }
    }

    fn upgrade(&self, fingerprint: &str) -> Option<TrainedState> {
        let (bytes, encoder) = (self.bytes.upgrade()?, self.encoder.upgrade()?);
        let same = self.fingerprint == fingerprint;
        same.then(|| TrainedState { bytes, fingerprint: fingerprint.to_owned(), encoder })
    }
}

/// Identifies the trained state: two shards may be merged only if theirs are equal.
fn fingerprint_of(context: &BuildContext, trained: &[u8]) -> Result<String> {
    let mut hash = begin_fingerprint(context, to_u64(trained.len()))?;
    hash.update(trained);
    Ok(hex(&hash.finalize()))
}

/// The hash of everything but the trained bytes, of which `length` follow.
pub(crate) fn begin_fingerprint(context: &BuildContext, length: u64) -> Result<Sha256> {
    let mut hash = Sha256::new();
    let family = context.family()?;
    let metric = to_json(&context.spec.metric)?;
    for part in [family.factory_string().as_bytes(), metric.as_bytes(), &context.spec.dimension.to_le_bytes()] {
        hash.update(to_u64(part.len()).to_le_bytes());
        hash.update(part);
    }
    hash.update(length.to_le_bytes());
    Ok(hash)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A row of a sample file, by where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct SampledRow {
    hash: u64,
    id: i64,
    file: u32,
    row: u64,
}

/// The vectors of the `wanted` rows with the smallest hashes, in id order.
fn read_sample(
    context: &BuildContext,
    files: &[&SampleFile],
    wanted: u64,
    storages: &Storages,
    cancellation: &Cancellation,
) -> Result<Vec<f32>> {
    let wanted = to_usize(wanted)?;
    let mut rows = Vec::new();
    for (number, file) in (0..).zip(files) {
        cancellation.check()?;
        let (seed, ids) = (context.spec.seed, read_ids(context, file, storages)?);
        rows.extend((0..).zip(ids).map(|(row, id)| SampledRow { hash: row_hash(id, seed), id, file: number, row }));
        if rows.len() / 2 > wanted {
            keep_smallest_hashes(&mut rows, wanted);
        }
    }
    keep_smallest_hashes(&mut rows, wanted);

    rows.sort_unstable();
    let dimension = to_usize(context.spec.dimension)?;
    let mut places: Vec<usize> = (0..rows.len()).collect();
    places.sort_unstable_by_key(|place| rows[*place].id);
    let mut destinations: Vec<(u32, u64, usize)> =
        places.iter().enumerate().map(|(to, from)| (rows[*from].file, rows[*from].row, to)).collect();
    destinations.sort_unstable();

    let mut vectors = Vec::new();
    vectors.try_reserve_exact(rows.len() * dimension).map_err(|_| {
        let message = format!("no memory for {} training rows of {dimension} dimensions", rows.len());
        BuildError::new(ErrorKind::OutOfMemory, message)
    })?;
    vectors.resize(rows.len() * dimension, 0.0);
    for (number, file) in (0..).zip(files) {
        let begin = destinations.partition_point(|(other, ..)| *other < number);
        let end = destinations.partition_point(|(other, ..)| *other <= number);
        place_rows(file, &destinations[begin..end], dimension, &mut vectors, storages, cancellation)?;
    }
    order_rows_of_equal_ids(&places.iter().map(|place| rows[*place].id).collect::<Vec<_>>(), dimension, &mut vectors);
    Ok(vectors)
}

/// Keeps the `wanted` rows with the smallest hashes, and all rows of the last one's hash: rows that share an id share
/// the hash, and which of them comes first is chance.
fn keep_smallest_hashes(rows: &mut Vec<SampledRow>, wanted: usize) {
    match wanted.checked_sub(1) {
        None => rows.clear(),
        Some(last) if last < rows.len() => {
            let largest = rows.select_nth_unstable(last).1.hash;
            rows.retain(|row| row.hash <= largest);
        }
        Some(_) => (),
    }
}

fn read_ids(context: &BuildContext, file: &SampleFile, storages: &Storages) -> Result<Vec<i64>> {
    let reader = storages.resolve(&file.uri)?.open(&file.uri)?;
    let vectors = file.rows * context.spec.dimension * 4;
    if reader.length() != vectors + file.rows * 8 {
        return Err(BuildError::corrupt(
            &file.uri,
            format!("{} bytes do not hold {} rows", reader.length(), file.rows),
        ));
    }
    let mut bytes = vec![0; to_usize(file.rows * 8)?];
    reader.read_exact_at(vectors, &mut bytes)?;
    Ok(bytes.as_chunks().0.iter().map(|id| i64::from_le_bytes(*id)).collect())
}

/// Reads a file from front to back and copies the rows of `destinations` (file, row, place) to their places.
fn place_rows(
    file: &SampleFile,
    destinations: &[(u32, u64, usize)],
    dimension: usize,
    vectors: &mut [f32],
    storages: &Storages,
    cancellation: &Cancellation,
) -> Result<()> {
    const READ_BYTES: usize = 4 << 20;
    let reader = storages.resolve(&file.uri)?.open(&file.uri)?;
    let row_bytes = dimension * size_of::<f32>();
    let rows_per_read = (READ_BYTES / row_bytes).max(1);
    let mut buffer = vec![0; rows_per_read * row_bytes];
    let mut next = destinations.iter().peekable();
    let (mut crc32c, mut first) = (0, 0);
    while first < file.rows {
        cancellation.check()?;
        let count = to_u64(rows_per_read).min(file.rows - first);
        let bytes = &mut buffer[..to_usize(count)? * row_bytes];
        reader.read_exact_at(first * to_u64(row_bytes), bytes)?;
        crc32c = crc32c::crc32c_append(crc32c, bytes);
        while let Some((_, row, place)) = next.next_if(|(_, row, _)| *row < first + count) {
            let from = to_usize(row - first)? * row_bytes;
            let target = &mut vectors[place * dimension..(place + 1) * dimension];
            for (component, raw) in target.iter_mut().zip(bytes[from..from + row_bytes].as_chunks().0) {
                *component = f32::from_le_bytes(*raw);
            }
        }
        first += count;
    }
    let mut ids = vec![0; to_usize(file.rows * 8)?];
    reader.read_exact_at(file.rows * to_u64(row_bytes), &mut ids)?;
    if crc32c::crc32c_append(crc32c, &ids) != file.crc32c {
        return Err(BuildError::corrupt(&file.uri, "the checksum does not match"));
    }
    Ok(())
}

/// Rows of one id came in an order that chance gave them; their own bytes order them.
fn order_rows_of_equal_ids(ids: &[i64], dimension: usize, vectors: &mut [f32]) {
    let mut begin = 0;
    for same in ids.chunk_by(|one, next| one == next) {
        let end = begin + same.len();
        if same.len() > 1 {
            let group = &mut vectors[begin * dimension..end * dimension];
            let mut rows: Vec<Vec<f32>> = group.chunks_exact(dimension).map(<[f32]>::to_vec).collect();
            rows.sort_unstable_by(|a, b| a.iter().map(|x| x.to_bits()).cmp(b.iter().map(|x| x.to_bits())));
            group.copy_from_slice(&rows.concat());
        }
        begin = end;
    }
}
