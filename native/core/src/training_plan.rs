//! Between the sample stage and training: bad rows, the family, and how many rows train.

use crate::build_context::BuildContext;
use crate::error::{BuildError, ErrorKind, Result};
use crate::faiss_index::FaissIndex;
use crate::family::{Family, MergePlan};
use crate::ledger::{BadRow, Ledger};
use crate::memory_estimate::check_single_task_memory;
use crate::numbers::to_u32;
use crate::receipts::{Receipts, to_json};
use crate::spec::{BadRows, IndexSpec, MOST_MERGE_PARTS};

/// What the sample stage led to.
#[derive(Debug, Clone)]
pub struct TrainingDecision {
    /// The build with what was decided; replaces the one before.
    pub build: String,
    /// The sample is too small: run the sample stage again with [`TrainingDecision::build`], then decide again on
    /// the receipts of that round.
    pub resample: bool,
    /// Sentences for the user.
    pub notes: Vec<String>,
    /// Tasks of the merge stage, numbered from 0 as partitions are: one for every index file, or several that each make
    /// a part of it.
    pub merge_tasks: u32,
    /// Tasks of the stage assemble, which follows where parts are made: one for every index file, else none.
    pub assemble_tasks: u32,
    /// Whether the stage evaluate, one task, follows the merge.
    pub evaluates: bool,
}

/// Applies the policy for bad rows, chooses the family if the spec names none, and fixes the number of training rows.
///
/// # Errors
/// [`ErrorKind::BadRows`] under the policy `fail`, [`ErrorKind::TooFewRows`], [`ErrorKind::InvalidSpec`].
pub fn plan_training(build: &str, receipts: &[String]) -> Result<TrainingDecision> {
    let mut context = BuildContext::from_json(build)?;
    let samples = Receipts::parse(receipts)?.samples;
    let mut notes = Vec::new();
    let mut final_notes = Vec::new();

    let ledger = total_ledger(samples.iter().map(|sample| &sample.ledger));
    if ledger.rows() > 0 {
        if context.spec.bad_rows == BadRows::Fail {
            return Err(ledger.to_error(context.spec.dimension));
        }
        final_notes.push(format!("left out {} bad rows: {}", ledger.rows(), ledger.describe(context.spec.dimension)));
    }
    let rows: u64 = samples.iter().map(|sample| sample.good_rows).sum();
    if rows == 0 {
        return Err(BuildError::new(ErrorKind::TooFewRows, "the input has no rows that an index can hold"));
    }
    refuse_unusual_dimension(&ledger, rows, context.spec.dimension)?;
    context.good_rows = Some(rows);

    if context.factory_string.is_none() {
        let spec = &context.spec;
        let (factory_string, reason) = spec.family_rule.choose(rows, spec.dimension, spec.metric);
        notes.push(format!("chose factoryString={factory_string}: {reason}"));
        context.factory_string = Some(factory_string);
    }
    let family = context.family()?;
    check_memory(&context.spec, &family, rows)?;
    let kept: u64 = samples.iter().filter_map(|sample| sample.sample.as_ref()).map(|file| file.rows).sum();
    let wanted = training_rows(&context, &family, rows, &mut final_notes)?;
    context.training_rows = Some(wanted);

    let resample = kept < wanted && context.sample_rate < 1.0;
    if resample {
        context.sample_rate = rate_for(wanted, rows).max(context.sample_rate * 2.0).min(1.0);
        notes.push(format!("sampling again: {kept} rows were sampled, {wanted} are wanted"));
    } else {
        notes.append(&mut final_notes);
    }
    context.merge_parts = merge_parts(&context, &family, rows)?;
    let (merge_tasks, assemble_tasks) = (context.merge_tasks()?, context.assemble_tasks()?);
    let evaluates = context.spec.report;
    Ok(TrainingDecision { build: to_json(&context)?, resample, notes, merge_tasks, assemble_tasks, evaluates })
}

/// The tasks that merge one of the index files of `rows` rows.
fn merge_parts(context: &BuildContext, family: &Family, rows: u64) -> Result<u32> {
    const ID: u64 = 8;
    let rows = rows.div_ceil(context.spec.shards);
    let dimension = context.spec.dimension;
    // Codes are hardly ever larger than the rows, which tell in most cases that there is nothing to choose.
    let may_be_large = context.joins_files && rows.saturating_mul(dimension * 8 + 2 * ID) > BYTES_PER_PART;
    let bytes = match (context.spec.merge_parts, family.merge_plan()) {
        (_, MergePlan::SingleTask) => return Ok(1),
        (None, _) if may_be_large => {
            let empty = FaissIndex::create(dimension, family.inner_factory_string(), context.spec.metric.in_faiss())?;
            rows.saturating_mul(empty.shape().row_bytes() + ID)
        }
        _ => 0,
    };
    parts_for(context, bytes)
}

/// An index file that would take one task long to write.
const BYTES_PER_PART: u64 = 1 << 30;

/// As many parts of a file of `bytes` as were asked for, else one for each GiB where the file system joins them.
pub(crate) fn parts_for(context: &BuildContext, bytes: u64) -> Result<u32> {
    match context.spec.merge_parts {
        Some(parts) => to_u32(parts),
        None if context.joins_files => to_u32((bytes / BYTES_PER_PART).clamp(1, MOST_MERGE_PARTS)),
        None => Ok(1),
    }
}

/// Refuses a family that one task builds in memory when `rows` rows need more than the limit.
pub(crate) fn check_memory(spec: &IndexSpec, family: &Family, rows: u64) -> Result<()> {
    if family.merge_plan() != MergePlan::SingleTask {
        return Ok(());
    }
    let rows = rows.div_ceil(spec.shards);
    let (factory_string, metric) = (family.inner_factory_string(), spec.metric.in_faiss());
    check_single_task_memory(factory_string, metric, rows, spec.dimension, spec.memory_limit)
}

/// The dimension may have been taken from the first row. Skipping most rows because that one was unusual is never
/// what was meant.
fn refuse_unusual_dimension(ledger: &Ledger, good_rows: u64, dimension: u64) -> Result<()> {
    let others = ledger.rows_of(BadRow::WrongDimension);
    if others <= good_rows {
        return Ok(());
    }
    let message = format!("dimension={dimension} fits {good_rows} rows only, and {others} rows have another dimension");
    Err(BuildError::new(ErrorKind::BadRows, message))
}

pub(crate) fn total_ledger<'a>(ledgers: impl IntoIterator<Item = &'a Ledger>) -> Ledger {
    ledgers.into_iter().fold(Ledger::default(), |mut total, ledger| {
        total.merge(ledger.clone());
        total
    })
}

/// The number of training rows: a function of the rows and the spec alone.
fn training_rows(context: &BuildContext, family: &Family, rows: u64, notes: &mut Vec<String>) -> Result<u64> {
    let limits = family.training_rows();
    let factory_string = family.factory_string();
    if rows < limits.needed {
        let needed = limits.needed;
        let message = format!("{factory_string} needs at least {needed} training rows, and the input has {rows}");
        return Err(BuildError::new(ErrorKind::TooFewRows, message));
    }
    if limits.usable == 0 {
        return Ok(0);
    }
    let asked = share_of(rows, context.spec.sample_rate);
    let chosen = asked.max(limits.wanted).min(limits.usable).min(rows);
    if chosen > asked {
        notes.push(format!(
            "raised the training sample from {asked} to {chosen} of {rows} rows, which {factory_string} wants"
        ));
    } else if chosen < asked {
        notes.push(format!("capped the training sample at {chosen} rows, all that {factory_string} trains on"));
    }
    if chosen < limits.wanted {
        let wanted = limits.wanted;
        notes.push(format!("{factory_string} wants {wanted} training rows and gets all {chosen}: expect lower recall"));
    }
    Ok(chosen)
}

#[expect(clippy::as_conversions, reason = "a share needs no more than a double's precision, and 0 < rate <= 1")]
fn share_of(rows: u64, rate: f64) -> u64 {
    (rows as f64 * rate).ceil() as u64
}

/// A rate that keeps `wanted` of `rows` rows but for one chance in a billion (six standard deviations).
#[expect(clippy::as_conversions, reason = "a rate needs no more than a double's precision")]
fn rate_for(wanted: u64, rows: u64) -> f64 {
    let wanted = wanted as f64;
    ((wanted + 6.0 * wanted.sqrt() + 16.0) / rows as f64).min(1.0)
}
