//! `faiss-indexer evaluate`

use std::sync::Arc;

use faiss_indexer_core::evaluation::{
    Evaluation, ExactSearch, LoadedIndex, Neighbours, Queries, RecallPoint, SearchSettings, Setting, default_sweep,
    evaluate,
};
use faiss_indexer_core::{BuildError, Cancellation, ErrorKind, IndexDescription, Result, Workers, inspect_all};
use faiss_indexer_storage::Storages;
use indicatif::HumanCount;
use log::warn;
use serde::Serialize;

use super::verify::verify_showing;
use super::{all_threads, to_json};
use crate::arguments::{EvaluateFlags, ProgressChoice};
use crate::console;
use crate::own_process;
use crate::progress::Phase;
use crate::rows::Rows;

/// Twice the largest k: rows that are as far as the last true neighbour count as true.
const DEPTH_PER_K: usize = 2;

pub(crate) fn run(flags: &EvaluateFlags) -> Result<()> {
    let how = console::install(&flags.display);
    let storages = Storages::new();
    if flags.input.is_empty() {
        return Err(invalid(
            "--input is missing: recall is against exact search, which needs the rows that the index was built from. \
             For example: faiss-indexer evaluate --index index/ --queries queries.parquet --input embeddings/",
        ));
    }
    let descriptions = inspect_all(&flags.index, &storages)?;
    let has_manifest = descriptions.iter().any(|index| index.manifest.is_some());
    if !has_manifest && !own_process::is_inside()? {
        return own_process::run_inside(&flags.index);
    }
    let subject = Subject::open(descriptions, flags, how, &storages)?;
    let asked = subject.asked_settings(flags)?;
    let ks: Vec<usize> = flags.k.iter().filter_map(|k| usize::try_from(*k).ok()).collect();
    let queries = Arc::new(subject.queries(flags, &storages)?);
    let sweep = if asked.is_empty() {
        default_sweep(&subject.indexes, u64::try_from(queries.count()).unwrap_or(u64::MAX))
    } else {
        asked
    };

    let workers = Workers::new(all_threads(), "evaluate")?;
    let truth = subject.true_neighbours(flags, &queries, &ks, &workers, how, &storages)?;
    let phase = Phase::begin(how, "search", None, 0);
    // Nothing was written: Ctrl-C may end the process as it is.
    let cancellation = Cancellation::default();
    let evaluation = phase
        .show_while(&|| 0, || evaluate(&subject.indexes, &queries, &truth, &ks, &sweep, &workers, &cancellation))?;
    phase.finish(evaluation.queries);
    let outcome = Outcome {
        index: &flags.index,
        family: &subject.descriptions[0].family,
        metric: &subject.metric,
        shards: (subject.indexes.len() > 1).then_some(subject.indexes.len()),
        own_rows_left_out: flags.exclude_own,
        evaluation: &evaluation,
    };
    console::answer(&match flags.json {
        true => to_json(&outcome)? + "\n",
        false => outcome.table(),
    })
}

/// The index, or the shards of one.
struct Subject {
    /// At least one.
    descriptions: Vec<IndexDescription>,
    indexes: Vec<LoadedIndex>,
    metric: String,
    dimension: usize,
}

impl Subject {
    /// Opens the index after its manifest, if it has one, was checked: Faiss trusts the files that it loads.
    fn open(
        descriptions: Vec<IndexDescription>,
        flags: &EvaluateFlags,
        how: ProgressChoice,
        storages: &Storages,
    ) -> Result<Self> {
        let Some(first) = descriptions.first() else {
            return Err(invalid(format!("{} holds no index", flags.index)));
        };
        let metric = first.searched_metric(flags.metric.as_deref())?;
        if first.manifest.is_some() {
            verify_showing(&flags.index, how, storages)?;
        }
        let open = |index: &IndexDescription| match storages.local_path(&index.uri) {
            Some(path) => LoadedIndex::open(&path),
            None => Err(invalid(format!("{} is not on a disk of this machine, where Faiss could open it", index.uri))),
        };
        let indexes: Vec<LoadedIndex> = descriptions.iter().map(open).collect::<Result<_>>()?;
        let dimension = usize::try_from(descriptions[0].dimension).map_err(|error| invalid(error.to_string()))?;
        Ok(Self { descriptions, indexes, metric, dimension })
    }

    /// The settings that the user asks for; none when core is to choose.
    fn asked_settings(&self, flags: &EvaluateFlags) -> Result<Vec<SearchSettings>> {
        let setting = self.indexes.first().and_then(LoadedIndex::setting);
        let (values, others, other_flag): (&[u64], &[u64], _) = match setting {
            Some(Setting::Nprobe) => (&flags.nprobe, &flags.ef_search, "--ef-search"),
            Some(_) => (&flags.ef_search, &flags.nprobe, "--nprobe"),
            None if flags.nprobe.is_empty() => (&[], &flags.ef_search, "--ef-search"),
            None => (&[], &flags.nprobe, "--nprobe"),
        };
        if !others.is_empty() {
            let family = &self.descriptions[0].family;
            let has = setting.map_or("every search compares all rows", |setting| match setting {
                Setting::Nprobe => "it has --nprobe",
                _ => "it has --ef-search",
            });
            return Err(invalid(format!("{other_flag} means nothing to {family}: {has}")));
        }
        let of = |setting| values.iter().map(|value| SearchSettings::of(setting, *value)).collect();
        Ok(setting.map_or_else(Vec::new, of))
    }

    fn queries(&self, flags: &EvaluateFlags, storages: &Storages) -> Result<Queries> {
        let rows = Rows::open_queries(flags, self.dimension, storages)?;
        let (mut ids, mut vectors) = (Vec::new(), Vec::new());
        rows.each_batch_of_a_file(|file, batch| {
            if let Some(rejected) = batch.rejected.first() {
                let message =
                    format!("{file} cannot be the queries of an index of dimension {}: {rejected}", self.dimension);
                return Err(BuildError::new(ErrorKind::BadRows, message));
            }
            ids.extend(batch.ids);
            vectors.extend(batch.vectors);
            Ok(())
        })?;
        if ids.is_empty() {
            return Err(BuildError::new(ErrorKind::TooFewRows, "there are no queries"));
        }
        Queries::new(&vectors, flags.exclude_own.then_some(ids), self.dimension, &self.metric)
    }

    fn true_neighbours(
        &self,
        flags: &EvaluateFlags,
        queries: &Arc<Queries>,
        ks: &[usize],
        workers: &Workers,
        how: ProgressChoice,
        storages: &Storages,
    ) -> Result<Neighbours> {
        let rows = Rows::open(&flags.input, &flags.columns, u64::MAX, Some(self.dimension), storages)?;
        let depth = ks.iter().copied().max().unwrap_or_default() * DEPTH_PER_K;
        let mut exact = ExactSearch::new(Arc::clone(queries), depth)?;
        let cancellation = Cancellation::default();
        let phase = Phase::begin(how, "exact", Some(rows.count()), 0);
        let (mut done, mut vectors): (u64, u64) = (0, 0);
        rows.each_batch(all_threads(), |batch| {
            exact.append(&batch.ids, &batch.vectors, workers, &cancellation)?;
            done += u64::try_from(batch.rows()).unwrap_or_default();
            vectors += u64::try_from(batch.ids.len()).unwrap_or_default();
            phase.set(done);
            Ok(())
        })?;
        phase.finish(done);
        let indexed: u64 = self.descriptions.iter().map(|index| index.rows).sum();
        if vectors != indexed {
            warn!(
                "the index has {indexed} rows and the input {vectors}: unless bad rows and repeated ids make the \
                 difference, this is not what the index was built from, and recall says nothing"
            );
        }
        let mut truth = exact.finish();
        if self.descriptions[0].keeps_first_of_repeated_ids()? {
            truth.keep_nearest_of_each_id();
        }
        Ok(truth)
    }
}

/// What is printed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome<'a> {
    index: &'a str,
    family: &'a str,
    metric: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    shards: Option<usize>,
    own_rows_left_out: bool,
    #[serde(flatten)]
    evaluation: &'a Evaluation,
}

impl Outcome<'_> {
    fn table(&self) -> String {
        let (rows, queries) = (HumanCount(self.evaluation.rows), HumanCount(self.evaluation.queries));
        let shards = self.shards.map(|shards| format!(" in {shards} shards")).unwrap_or_default();
        let own = if self.own_rows_left_out { ", own rows left out" } else { "" };
        let mut table = format!(
            "{}: {}, {}, {rows} rows{shards}; {queries} queries{own}\n\n",
            self.index, self.family, self.metric
        );
        let setting = self.evaluation.setting.map_or("search", Setting::name);
        let line = |cells: &[String]| {
            let cells: Vec<String> = cells.iter().map(|cell| format!("{cell:>10}")).collect();
            cells.join("  ").trim_end().to_owned() + "\n"
        };
        let recall_of = |point: &RecallPoint, cell: &dyn Fn(usize, f64) -> String| -> Vec<String> {
            point.recall.iter().map(|recall| cell(recall.k, recall.share)).collect()
        };
        if let Some(first) = self.evaluation.points.first() {
            let names = recall_of(first, &|k, _| format!("recall@{k}"));
            table += &line(&[vec![setting.to_owned()], names, vec!["ms/query".to_owned()]].concat());
        }
        for point in &self.evaluation.points {
            let value = point.value.map_or("all rows".to_owned(), |value| value.to_string());
            let shares = recall_of(point, &|_, share| format!("{share:.4}"));
            let time = format!("{:.3}", point.seconds_per_query * 1000.0);
            table += &line(&[vec![value], shares, vec![time]].concat());
        }
        table
    }
}

fn invalid(message: impl Into<String>) -> BuildError {
    BuildError::new(ErrorKind::InvalidSpec, message)
}
