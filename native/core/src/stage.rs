//! One task of a build, as an engine runs it: opened, fed, finished.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, TryLockError};

use faiss_indexer_storage::Storages;

use crate::build_context::BuildContext;
use crate::build_report::{PartialTruth, evaluate_build};
use crate::cancellation::Cancellation;
use crate::error::{BuildError, ErrorKind, Result};
use crate::extension::refuse_bad_rows;
use crate::ledger::BadRow;
use crate::merge::joining::join_parts;
use crate::merge::{MergeResources, merge};
use crate::numbers::{to_u64, to_usize};
use crate::receipts::{Receipt, Receipts, to_json};
use crate::sampler::Sampler;
use crate::shard_builder::ShardBuilder;
use crate::training::{self, train};
use crate::workers::Workers;

/// Which part of a build a task does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StageKind {
    /// Counts the rows of a partition and samples them.
    Sample,
    /// Trains on all samples.
    Train,
    /// Encodes the rows of a partition into a shard.
    Encode,
    /// Merges all shards into one index file, or into a part of it.
    Merge,
    /// Makes one index file of its parts.
    Assemble,
    /// Measures the merged index, for builds with `report=true`.
    Evaluate,
}

impl StageKind {
    /// The name that crosses JNI.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sample => "sample",
            Self::Train => "train",
            Self::Encode => "encode",
            Self::Merge => "merge",
            Self::Assemble => "assemble",
            Self::Evaluate => "evaluate",
        }
    }

    const ALL: [Self; 6] = [Self::Sample, Self::Train, Self::Encode, Self::Merge, Self::Assemble, Self::Evaluate];
}

impl FromStr for StageKind {
    type Err = BuildError;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
            let allowed = Self::ALL.map(Self::name).join(", ");
            BuildError::invalid(format!("unknown stage '{name}'; allowed: {allowed}"))
        })
    }
}

/// What a task needs to begin.
#[derive(Debug)]
pub struct StageRequest {
    /// The part of the build.
    pub kind: StageKind,
    /// The build, as [`crate::start_build`] or [`crate::plan_training`] returned it.
    pub build: String,
    /// Receipts of earlier stages: all samples for `Train`, the trained state for `Encode`, the trained state and all
    /// shards for `Merge`, these and the parts for `Assemble`, and all of these and the merged file for `Evaluate`.
    pub receipts: Vec<String>,
    /// The number of the partition, for names and messages; for `Merge`, of the task; for `Assemble`, of the shard of
    /// the output.
    pub partition: u32,
    /// The task's share of CPUs; the spec's `threads` overrides it.
    pub threads: usize,
    /// Where files are.
    pub storages: Storages,
}

/// A row that an engine could not put into a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RejectedRow {
    /// The row has no id.
    NullId,
    /// The row has no embedding.
    NullEmbedding {
        /// Its id.
        id: i64,
    },
    /// The embedding has another dimension than the index.
    WrongDimension {
        /// Its id.
        id: i64,
        /// Its dimension.
        dimension: usize,
    },
    /// A component of the embedding is null.
    NullComponent {
        /// Its id.
        id: i64,
    },
}

/// How far a stage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProgressReport {
    /// Rows done.
    pub rows: u64,
    /// Bytes written.
    pub bytes: u64,
}

/// One task. Rows are appended by one thread at a time; any thread may cancel it or ask for its progress.
/// Dropping it unfinished leaves no file that a receipt names.
pub struct Stage {
    kind: StageKind,
    dimension: usize,
    output: String,
    temporary_directory: String,
    cancellation: Cancellation,
    progress: Progress,
    task: Mutex<Task>,
}

enum Task {
    Sample(Box<Sampler>),
    Train(Box<SingleTask>),
    Encode(Box<ShardBuilder>),
    Merge(Box<SingleTask>),
    Assemble(Box<SingleTask>),
    Evaluate(Box<SingleTask>),
    Ended,
}

struct SingleTask {
    context: BuildContext,
    partition: u32,
    receipts: Receipts,
    storages: Storages,
    workers: Workers,
}

impl Stage {
    /// Begins a task.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidSpec`] if the request does not fit the stage; storage errors.
    pub fn open(request: StageRequest) -> Result<Self> {
        let context = BuildContext::from_json(&request.build)?;
        let (output, temporary_directory) = (context.output.clone(), context.temporary_directory());
        Self::open_checked(request, context).map_err(|error| with_cause(error, &output, &temporary_directory))
    }

    fn open_checked(request: StageRequest, context: BuildContext) -> Result<Self> {
        let StageRequest { kind, build: _, receipts, partition, threads, storages } = request;
        let storages = context.backends(&storages)?;
        let (output, temporary_directory) = (context.output.clone(), context.temporary_directory());
        let dimension = to_usize(context.spec.dimension)?;
        let threads = context.spec.threads.map_or(Ok(threads), to_usize)?.max(1);
        let receipts = Receipts::parse(&receipts)?;
        let workers = Workers::new(if kind == StageKind::Sample { 1 } else { threads }, kind.name())?;
        let task = match kind {
            StageKind::Sample => Task::Sample(Box::new(Sampler::open(context, partition, storages)?)),
            StageKind::Encode => {
                let trained = training::load(&context, receipts.trained()?, &storages)?;
                let truth = PartialTruth::open(&context, receipts.trained()?, &storages)?;
                Task::Encode(Box::new(ShardBuilder::open(context, partition, trained, workers, storages, truth)?))
            }
            StageKind::Train => Task::Train(Box::new(SingleTask { context, partition, receipts, storages, workers })),
            StageKind::Merge => Task::Merge(Box::new(SingleTask { context, partition, receipts, storages, workers })),
            StageKind::Assemble => {
                Task::Assemble(Box::new(SingleTask { context, partition, receipts, storages, workers }))
            }
            StageKind::Evaluate => {
                Task::Evaluate(Box::new(SingleTask { context, partition, receipts, storages, workers }))
            }
        };
        Ok(Self {
            kind,
            dimension,
            output,
            temporary_directory,
            cancellation: Cancellation::default(),
            progress: Progress::default(),
            task: Mutex::new(task),
        })
    }

    /// Components per row.
    #[must_use]
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// Adds rows: row-major `vectors`, one id each. Rows that no index can hold are counted and left out.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] and [`ErrorKind::Closed`] as on every call that works; after any other error the stage is
    /// closed.
    pub fn append(&self, ids: &[i64], vectors: &[f32]) -> Result<()> {
        self.run(|task, stage| match task {
            Task::Sample(sampler) => sampler.append(ids, vectors, &stage.progress),
            Task::Encode(shard) => shard.append(ids, vectors, &stage.cancellation, &stage.progress),
            _ => Err(stage.takes_no_rows()),
        })
    }

    /// Counts a row that is no number of floats.
    ///
    /// # Errors
    /// As [`Stage::append`].
    pub fn reject(&self, row: RejectedRow) -> Result<()> {
        let (kind, id, dimension) = match row {
            RejectedRow::NullId => (BadRow::NullId, None, None),
            RejectedRow::NullEmbedding { id } => (BadRow::NullEmbedding, Some(id), None),
            RejectedRow::WrongDimension { id, dimension } => {
                (BadRow::WrongDimension, Some(id), Some(to_u64(dimension)))
            }
            RejectedRow::NullComponent { id } => (BadRow::NullComponent, Some(id), None),
        };
        self.run(|task, stage| {
            match task {
                Task::Sample(sampler) => sampler.reject(kind, id, dimension),
                Task::Encode(shard) => shard.reject(kind, id, dimension),
                _ => return Err(stage.takes_no_rows()),
            }
            stage.progress.add_rows(1);
            Ok(())
        })
    }

    /// Does the work that is left and returns the receipt. The stage is closed afterwards.
    ///
    /// # Errors
    /// As [`Stage::append`], and whatever the stage's work can meet.
    pub fn finish(&self) -> Result<String> {
        let (cancellation, progress) = (&self.cancellation, &self.progress);
        let receipt = self.run(|task, _| {
            Ok(match std::mem::replace(task, Task::Ended) {
                Task::Sample(sampler) => Receipt::Sample(sampler.finish(progress)?),
                Task::Encode(shard) => Receipt::Encode(shard.finish(cancellation, progress)?),
                Task::Train(task) => {
                    let SingleTask { context, receipts, storages, workers, .. } = *task;
                    Receipt::Train(train(&context, &receipts, &storages, &workers, cancellation, progress)?)
                }
                Task::Merge(task) => {
                    let SingleTask { context, partition, receipts, storages, workers } = *task;
                    refuse_bad_rows(&context, &receipts)?;
                    let resources = MergeResources::new(&storages, &workers, cancellation, progress);
                    Receipt::Merge(merge(&context, &receipts, partition, &resources)?)
                }
                Task::Assemble(task) => {
                    let SingleTask { context, partition, receipts, storages, .. } = *task;
                    Receipt::Merge(join_parts(&context, &receipts, partition, &storages, cancellation, progress)?)
                }
                Task::Evaluate(task) => {
                    let SingleTask { context, receipts, storages, workers, .. } = *task;
                    let measured = evaluate_build(&context, &receipts, &storages, &workers, cancellation, progress);
                    Receipt::Evaluate(measured?)
                }
                Task::Ended => return Err(self.closed()),
            })
        })?;
        to_json(&receipt)
    }

    /// How far the task is; callable while another thread works.
    #[must_use]
    pub fn progress(&self) -> ProgressReport {
        let Progress { rows, bytes } = &self.progress;
        ProgressReport { rows: rows.load(Ordering::Relaxed), bytes: bytes.load(Ordering::Relaxed) }
    }

    /// Makes the working call, or the next one, fail with [`ErrorKind::Cancelled`].
    pub fn cancel(&self) {
        self.cancellation.cancel();
    }

    fn run<T>(&self, work: impl FnOnce(&mut Task, &Self) -> Result<T>) -> Result<T> {
        let mut task = self.lock()?;
        if matches!(*task, Task::Ended) {
            return Err(self.closed());
        }
        let result = self.cancellation.check().and_then(|()| work(&mut task, self));
        if result.is_err() {
            *task = Task::Ended;
        }
        result.map_err(|error| with_cause(error, &self.output, &self.temporary_directory))
    }

    fn lock(&self) -> Result<MutexGuard<'_, Task>> {
        self.task.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => {
                BuildError::new(ErrorKind::Busy, format!("another thread is inside this {} stage", self.kind.name()))
            }
            TryLockError::Poisoned(_) => self.closed(),
        })
    }

    fn closed(&self) -> BuildError {
        BuildError::new(ErrorKind::Closed, format!("this {} stage is finished, failed or closed", self.kind.name()))
    }

    fn takes_no_rows(&self) -> BuildError {
        BuildError::invalid(format!("the stage {} takes no rows", self.kind.name()))
    }
}

/// Files of a build are gone for one reason above all.
fn with_cause(error: BuildError, output: &str, temporary_directory: &str) -> BuildError {
    let text = error.to_string();
    if error.kind() != ErrorKind::NotFound || !text.contains(temporary_directory) || text.ends_with('?') {
        return error;
    }
    BuildError::new(ErrorKind::NotFound, format!("{text}; has another build published into {output}?"))
}

impl fmt::Debug for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Stage").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Counters that a stage's work raises and any thread reads.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub(crate) rows: AtomicU64,
    pub(crate) bytes: AtomicU64,
}

impl Progress {
    pub(crate) fn add_rows(&self, rows: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
    }

    pub(crate) fn add_bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}
