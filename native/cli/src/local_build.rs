//! The stages of a build on this machine: one task after another, each with all threads, so that the memory of a
//! build is that of one task whatever the number of cores.

use std::sync::Arc;

use faiss_indexer_core::{
    BuildError, ErrorKind, ImportControl, Result, Stage, StageKind, StageRequest, abandon, assemble_tasks,
    delete_unnamed_files, evaluates, import_index, merge_tasks, plan_training, publish,
};
use faiss_indexer_storage::Storages;
use log::{info, warn};
use serde::Deserialize;

use crate::arguments::ProgressChoice;
use crate::interruption::Interruption;
use crate::journal::Journal;
use crate::progress::Phase;
use crate::rows::Rows;

/// A started build and what it is made with.
#[derive(Debug)]
pub(crate) struct LocalBuild {
    /// As core returned it last.
    pub(crate) build: String,
    pub(crate) journal: Journal,
    pub(crate) interruption: Arc<Interruption>,
    pub(crate) storages: Storages,
    pub(crate) threads: usize,
    pub(crate) progress: ProgressChoice,
    /// Whether `--resume` could go on with it.
    pub(crate) resumable: bool,
}

/// A published index whose rows become part of a build.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) directory: String,
    pub(crate) rows: u64,
}

/// Numbers and names of what was published, as [`publish`] returns them.
pub(crate) type Published = Vec<(String, String)>;

impl LocalBuild {
    /// All stages, from the first row to the published index.
    pub(crate) fn run(mut self, rows: &Rows) -> Result<Published> {
        self.stages(rows).map_err(|error| self.settle(error))
    }

    /// What follows training, for a build that begins with the trained state and the rows of published indexes. New
    /// rows may come with them.
    pub(crate) fn extend(mut self, trained: &str, sources: &[Source], rows: Option<&Rows>) -> Result<Published> {
        self.stages_of_extension(trained, sources, rows).map_err(|error| self.settle(error))
    }

    /// Cleans up after a build that stopped with `error`: temporary files stay only where `--resume` can use them.
    pub(crate) fn settle(&self, error: BuildError) -> BuildError {
        // A file system that is away for a moment seems to have lost its files.
        let later = matches!(
            error.kind(),
            ErrorKind::Cancelled
                | ErrorKind::NotFound
                | ErrorKind::OutOfMemory
                | ErrorKind::PermissionDenied
                | ErrorKind::Storage
        );
        let receipts = self.journal.receipts();
        let settled = if later && self.resumable && !receipts.is_empty() {
            info!("{} finished steps are kept: the same command with --resume goes on after them", receipts.len());
            delete_unnamed_files(&self.build, &receipts, &self.storages)
        } else {
            abandon(&self.build, &self.storages).map(drop)
        };
        if let Err(left) = settled {
            warn!("temporary files are left behind: {left}");
        }
        error
    }

    fn stages(&mut self, rows: &Rows) -> Result<Published> {
        let samples = self.sample_and_plan(rows)?;
        let trained = self.train(&samples)?;
        let shards = self.encode(&trained, rows, 0)?;
        let encoded = [vec![trained], shards].concat();
        let merged = self.merge(&encoded, rows.count())?;
        let measured = self.evaluate(&encoded, &merged)?;
        self.publish(&[samples, encoded, merged, measured].concat())
    }

    fn stages_of_extension(&mut self, trained: &str, sources: &[Source], rows: Option<&Rows>) -> Result<Published> {
        let imported = self.import(trained, sources)?;
        let mut encoded = [vec![trained.to_owned()], imported].concat();
        let mut total: u64 = sources.iter().map(|source| source.rows).sum();
        if let Some(rows) = rows {
            let first_partition = u32::try_from(sources.len())
                .map_err(|_| BuildError::new(ErrorKind::InvalidSpec, "there are too many indexes"))?;
            encoded.extend(self.encode(trained, rows, first_partition)?);
            total += rows.count();
        }
        let merged = self.merge(&encoded, total)?;
        let measured = self.evaluate(&encoded, &merged)?;
        self.publish(&[encoded, merged, measured].concat())
    }

    /// Takes over the rows of published indexes as they are encoded.
    fn import(&mut self, trained: &str, sources: &[Source]) -> Result<Vec<String>> {
        let total = sources.iter().map(|source| source.rows).sum();
        let phase = Phase::begin(self.progress, "import", Some(total), 0);
        let mut done = 0;
        let mut receipts = Vec::new();
        for (source, number) in sources.iter().zip(0..) {
            let control = Arc::new(ImportControl::default());
            let stopped = Arc::clone(&control);
            self.interruption.stop_with(move || stopped.cancel())?;
            let directory = &source.directory;
            let receipt = phase.show_while(&|| done + control.progress().rows, || {
                import_index(&self.build, trained, directory, number, &self.storages, &control)
            })?;
            receipts.push(self.journal.record(&format!("import-{number:05}"), receipt)?);
            done += source.rows;
        }
        phase.finish(done);
        Ok(receipts)
    }

    /// Samples, and samples again at a higher rate where the plan asks for it; returns the receipts of the last round.
    fn sample_and_plan(&mut self, rows: &Rows) -> Result<Vec<String>> {
        for round in 0_u32.. {
            let samples = self.every_partition(StageKind::Sample, &format!("sample-{round}"), &[], rows, 0)?;
            let decision = plan_training(&self.build, &samples)?;
            decision.notes.iter().for_each(|note| info!("{note}"));
            self.build = decision.build;
            if !decision.resample {
                return Ok(samples);
            }
        }
        Err(BuildError::new(ErrorKind::Internal, "the plan never had enough samples"))
    }

    fn train(&mut self, samples: &[String]) -> Result<String> {
        if let Some(receipt) = self.journal.get("train") {
            info!("train: done before");
            return Ok(receipt);
        }
        let phase = Phase::begin(self.progress, "train", None, 0);
        let stage = self.open(StageKind::Train, samples, 0)?;
        let receipt = self.journal.record("train", show(&stage, &phase, 0, || stage.finish())?)?;
        phase.finish(stage.progress().rows);
        Ok(receipt)
    }

    /// Encodes all rows in tasks that are numbered from `first_partition` on.
    fn encode(&mut self, trained: &str, rows: &Rows, first_partition: u32) -> Result<Vec<String>> {
        self.every_partition(StageKind::Encode, "encode", &[trained.to_owned()], rows, first_partition)
    }

    /// Merges into one index, or into one for each shard of the spec. Returns the receipts of parts too.
    fn merge(&mut self, encoded: &[String], rows: u64) -> Result<Vec<String>> {
        let tasks = (0..merge_tasks(&self.build)?).map(|shard| (shard, format!("merge-{shard:05}")));
        let finished = tasks.clone().filter_map(|(_, name)| self.journal.get(&name));
        // A part does not say how many of the rows it has.
        let is_whole = assemble_tasks(&self.build)? == 0;
        let mut done = if is_whole { finished.map(|receipt| rows_of(&receipt)).sum::<Result<u64>>()? } else { 0 };
        let phase = Phase::begin(self.progress, "merge", Some(rows), done);
        let mut receipts = Vec::new();
        for (shard, name) in tasks {
            if let Some(receipt) = self.journal.get(&name) {
                receipts.push(receipt);
                continue;
            }
            let stage = self.open(StageKind::Merge, encoded, shard)?;
            receipts.push(self.journal.record(&name, show(&stage, &phase, done, || stage.finish())?)?);
            done += stage.progress().rows;
        }
        phase.finish(done);
        let assembled = self.assemble(encoded, &receipts)?;
        receipts.extend(assembled);
        Ok(receipts)
    }

    /// Joins what was merged in parts, if it was.
    fn assemble(&mut self, encoded: &[String], merged: &[String]) -> Result<Vec<String>> {
        let mut receipts = Vec::new();
        for shard in 0..assemble_tasks(&self.build)? {
            let name = format!("assemble-{shard:05}");
            if let Some(receipt) = self.journal.get(&name) {
                receipts.push(receipt);
                continue;
            }
            let phase = Phase::begin(self.progress, "assemble", None, 0);
            let stage = self.open(StageKind::Assemble, &[encoded, merged].concat(), shard)?;
            receipts.push(self.journal.record(&name, show(&stage, &phase, 0, || stage.finish())?)?);
            phase.finish(stage.progress().rows);
        }
        Ok(receipts)
    }

    /// Measures what was merged, if the build asks for it; returns the receipt then.
    fn evaluate(&mut self, encoded: &[String], merged: &[String]) -> Result<Vec<String>> {
        if !evaluates(&self.build)? {
            return Ok(Vec::new());
        }
        if let Some(receipt) = self.journal.get("evaluate") {
            info!("evaluate: done before");
            return Ok(vec![receipt]);
        }
        let phase = Phase::begin(self.progress, "evaluate", None, 0);
        let stage = self.open(StageKind::Evaluate, &[encoded, merged].concat(), 0)?;
        let receipt = self.journal.record("evaluate", show(&stage, &phase, 0, || stage.finish())?)?;
        phase.finish(stage.progress().rows);
        Ok(vec![receipt])
    }

    fn publish(&self, receipts: &[String]) -> Result<Published> {
        // Once begun it is not interrupted: it takes a moment and leaves no half-published output.
        self.interruption.check()?;
        publish(&self.build, receipts, &self.storages)
    }

    fn every_partition(
        &mut self,
        kind: StageKind,
        name: &str,
        receipts: &[String],
        rows: &Rows,
        first_partition: u32,
    ) -> Result<Vec<String>> {
        let tasks: Vec<_> = rows
            .partition_rows()
            .enumerate()
            .zip(first_partition..)
            .map(|((partition, count), number)| (partition, count, number, format!("{name}-{number:05}")))
            .collect();
        let finished = tasks.iter().filter(|(.., name)| self.journal.get(name).is_some());
        let mut done: u64 = finished.map(|(_, count, ..)| count).sum();
        let phase = Phase::begin(self.progress, kind.name(), Some(rows.count()), done);
        let mut all = Vec::new();
        for (partition, count, number, name) in tasks {
            if let Some(receipt) = self.journal.get(&name) {
                all.push(receipt);
                continue;
            }
            let stage = self.open(kind, receipts, number)?;
            let receipt = show(&stage, &phase, done, || {
                rows.feed(partition, self.threads, &stage, &self.interruption)?;
                stage.finish()
            })?;
            all.push(self.journal.record(&name, receipt)?);
            done += count;
        }
        phase.finish(done);
        Ok(all)
    }

    fn open(&self, kind: StageKind, receipts: &[String], partition: u32) -> Result<Arc<Stage>> {
        self.interruption.check()?;
        let stage = Arc::new(Stage::open(StageRequest {
            kind,
            build: self.build.clone(),
            receipts: receipts.to_vec(),
            partition,
            threads: self.threads,
            storages: self.storages.clone(),
        })?);
        self.interruption.watch(&stage)?;
        Ok(stage)
    }
}

/// Rows in the index that a task of the merge made.
fn rows_of(receipt: &str) -> Result<u64> {
    #[derive(Deserialize)]
    struct Merged {
        rows: u64,
    }
    let merged: Merged = serde_json::from_str(receipt)
        .map_err(|error| BuildError::new(ErrorKind::CorruptFile, format!("a receipt cannot be read: {error}")))?;
    Ok(merged.rows)
}

/// Does `work` while `phase` shows how far `stage` is, after the rows done `before`.
fn show<T>(stage: &Stage, phase: &Phase, before: u64, work: impl FnOnce() -> Result<T>) -> Result<T> {
    phase.show_while(&|| before + stage.progress().rows, work)
}
