//! What one task of a stage takes of memory outside a JVM's heap, known before the stage begins. Engines ask for that
//! much; what it is made of, each function says. Figures are peaks of a process that runs one task at a time.

use crate::build_context::BuildContext;
use crate::encode_memory::EncodeMemory;
use crate::error::Result;
use crate::faiss_index::{FaissIndex, Shape};
use crate::family::{Family, MergePlan};
use crate::memory_estimate::single_task_memory;
use crate::merge::part::PART_BLOCK_BYTES;
use crate::merge::{block_bytes, blocks_bytes};
use crate::numbers::{to_f64, to_u64};
use crate::receipts::{Receipts, TrainReceipt};
use crate::stage::StageKind;

const KIB: f64 = 1024.0;
const MIB: f64 = 1_048_576.0;
const FLOAT: f64 = 4.0;
const ID: f64 = 8.0;
/// The library itself, and what every stage reads and writes through.
const LIBRARY: f64 = 40.0 * MIB;
/// A stack, an arena of the allocator, and the buffer in which OpenBLAS multiplies.
const THREAD: f64 = 6.0 * MIB;
/// The file of the trained state, Faiss' index, and its centroids in the order in which they are compared.
const COPIES_OF_TRAINED: f64 = 3.0;
/// Of a row on its way to a code: spread over the tiles of a multiplication, transformed, gathered, without its
/// centroid (row_encoder.cpp).
const COPIES_WHILE_ENCODING: f64 = 7.0;
/// Ids ahead of the blocks of a merge, and what looks for repeated ones.
const MERGED_IDS: f64 = 48.0 * MIB;
/// List sizes of a run, and its open file.
const RUN: f64 = 112.0 * KIB;
const LIST: f64 = 24.0;
/// A partition is taken to have no more, for nobody counts its rows beforehand.
const LARGEST_PARTITION: f64 = 1024.0 * MIB;

/// Bytes that a task of the stage takes at most, for the build and the receipts that the stage is opened with.
///
/// # Errors
/// As for opening the stage.
pub fn task_memory(kind: StageKind, build: &str, receipts: &[String], threads: usize) -> Result<u64> {
    let context = BuildContext::from_json(build)?;
    let receipts = Receipts::parse(receipts)?;
    let threads = match kind {
        StageKind::Sample => 1,
        _ => context.spec.threads.unwrap_or(to_u64(threads)).max(1),
    };
    let work = match kind {
        StageKind::Sample => sample(&context)?,
        StageKind::Train => train(&context, &receipts)?,
        StageKind::Encode => encode(&context, receipts.trained()?, threads)?,
        StageKind::Merge => merge(&context, &receipts, threads)?,
        StageKind::Assemble => COPIES_OF_TRAINED * trained_bytes(&receipts)? + 16.0 * MIB,
        StageKind::Evaluate => evaluate(&context, &receipts)?,
    };
    Ok(whole_bytes(LIBRARY + THREAD * to_f64(threads) + work))
}

/// Hashes and ids of the rows that are kept, in vectors that grow by doubling, and the rows that may be queries.
fn sample(context: &BuildContext) -> Result<f64> {
    let row_bytes = FLOAT * to_f64(context.spec.dimension) + ID;
    let sampled = LARGEST_PARTITION / row_bytes * context.sample_rate;
    let usable = context.factory_string.is_some().then(|| context.family()).transpose()?;
    let kept = usable.map_or(sampled, |family| sampled.min(2.0 * to_f64(family.training_rows().usable)));
    Ok(2.0 * 2.0 * ID * kept + queries(context))
}

/// The rows of the sample that train, and beside them where they were found, or else what Faiss makes of them.
fn train(context: &BuildContext, receipts: &Receipts) -> Result<f64> {
    const FOUND_ROW: f64 = 32.0;
    /// Places in id order and in the files, and ids.
    const PLACED_ROW: f64 = 8.0 + 24.0 + 8.0;
    let rows = context.training_rows.unwrap_or_default();
    let sampled: Vec<u64> = receipts.samples.iter().filter_map(|sample| Some(sample.sample.as_ref()?.rows)).collect();
    let all: u64 = sampled.iter().sum();
    // Once there are twice the rows that train, the others go.
    let found = to_f64(all.min(2 * rows + sampled.iter().max().copied().unwrap_or_default()));
    let reading = FOUND_ROW * found + PLACED_ROW * to_f64(rows);
    let family = context.family()?;
    let training = family.training_memory(context.spec.dimension, rows)?;
    Ok(FLOAT * to_f64(rows * context.spec.dimension) + reading.max(training) + queries(context))
}

/// The memory limit and the trained state. Wide rows on many threads take more than the half that encoding has.
fn encode(context: &BuildContext, trained: &TrainReceipt, threads: u64) -> Result<f64> {
    const MOST_BLOCK_ROWS: usize = 1024;
    let limit = to_f64(context.spec.memory_limit);
    let shape = shape_of(context, &context.family()?)?;
    let workers = usize::try_from(threads).unwrap_or(usize::MAX);
    let memory = EncodeMemory::share(context.spec.memory_limit, workers, MOST_BLOCK_ROWS, &shape)?;
    let encoding = COPIES_WHILE_ENCODING * FLOAT * to_f64(to_u64(memory.step_rows) * shape.dimension);
    Ok(limit / 2.0 + encoding.max(limit / 2.0) + COPIES_OF_TRAINED * to_f64(trained.bytes) + queries(context))
}

/// Blocks of rows, what is known of lists and runs, and the trained state; a graph is made of all rows at once.
fn merge(context: &BuildContext, receipts: &Receipts, threads: u64) -> Result<f64> {
    let family = context.family()?;
    let runs = || receipts.shards.iter().flat_map(|shard| &shard.runs);
    let bytes = to_f64(runs().map(|run| run.bytes).sum::<u64>().div_ceil(context.spec.shards));
    let lists = LIST * to_f64(shape_of(context, &family)?.nlist);
    let threads = usize::try_from(threads).unwrap_or(usize::MAX);
    let block = if context.merge_parts > 1 { PART_BLOCK_BYTES } else { block_bytes(threads) };
    let blocks = to_f64(to_u64(blocks_bytes(block, threads))) + MERGED_IDS;
    let merging = blocks.min(2.0 * bytes + 16.0 * MIB) + RUN * to_f64(to_u64(runs().count())) + lists;
    let trained = COPIES_OF_TRAINED * trained_bytes(receipts)?;
    if family.merge_plan() != MergePlan::SingleTask {
        return Ok(merging + trained);
    }
    let rows = receipts.shards.iter().map(|shard| shard.rows).sum::<u64>().div_ceil(context.spec.shards);
    let (factory, metric) = (family.inner_factory_string(), context.spec.metric.in_faiss());
    Ok(trained + merging.max(single_task_memory(factory, metric, rows, context.spec.dimension)?))
}

/// All of the index: what is mapped from a file counts, too, once a search has touched it.
fn evaluate(context: &BuildContext, receipts: &Receipts) -> Result<f64> {
    let index = to_f64(receipts.merged.iter().map(|merged| merged.bytes).sum());
    Ok(index + 3.0 * queries(context) + 16.0 * MIB)
}

/// Rows that the report searches for, as they came and as their neighbours are looked for.
fn queries(context: &BuildContext) -> f64 {
    const MOST_QUERIES: f64 = 200.0;
    const MOST_BYTES: f64 = 16.0 * MIB;
    let bytes = (MOST_QUERIES * FLOAT * to_f64(context.spec.dimension)).min(MOST_BYTES);
    if context.spec.report { 3.0 * bytes } else { 0.0 }
}

fn trained_bytes(receipts: &Receipts) -> Result<f64> {
    Ok(to_f64(receipts.trained()?.bytes))
}

fn shape_of(context: &BuildContext, family: &Family) -> Result<Shape> {
    let dimension = context.spec.dimension;
    match family.merge_plan() {
        MergePlan::SingleTask => Ok(Shape::raw_rows(dimension)),
        MergePlan::ByLists | MergePlan::ByPosition => {
            let metric = context.spec.metric.in_faiss();
            Ok(FaissIndex::create(dimension, family.inner_factory_string(), metric)?.shape())
        }
    }
}

#[expect(clippy::as_conversions, reason = "an estimate, above 0 and far below 2^63")]
fn whole_bytes(bytes: f64) -> u64 {
    bytes.ceil() as u64
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use faiss_indexer_storage::Storages;

    use super::*;
    use crate::process_memory::{memory_bytes, restart_peak};
    use crate::stage::{Stage, StageRequest};
    use crate::{plan_training, start_build};

    const CHILD: &str = "FAISS_INDEXER_TASK_MEMORY_OF";
    const THREADS: usize = 2;

    struct Case {
        factory: &'static str,
        rows: usize,
        dimension: usize,
        limit: &'static str,
    }

    const CASES: [Case; 5] = [
        Case { factory: "OPQ8_64,IVF64,PQ8x4fs", rows: 40_000, dimension: 256, limit: "16MiB" },
        Case { factory: "IVF128,Flat", rows: 60_000, dimension: 256, limit: "16MiB" },
        Case { factory: "PCA32,IVF64,SQ8,RFlat", rows: 40_000, dimension: 256, limit: "16MiB" },
        Case { factory: "PQ16np", rows: 100_000, dimension: 128, limit: "16MiB" },
        Case { factory: "HNSW8,SQ8", rows: 40_000, dimension: 128, limit: "80MiB" },
    ];

    /// Asks the estimate and runs the tasks of a build, each in a process of its own.
    #[test]
    fn the_estimate_of_each_stage_is_near_what_a_task_in_a_process_of_its_own_takes() {
        if let Ok(directory) = std::env::var(CHILD) {
            return run_and_print_peak(Path::new(&directory));
        }
        let wrong: Vec<String> = CASES.iter().flat_map(wrong_estimates).collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    /// The tasks of a build whose estimates are wrong.
    fn wrong_estimates(case: &Case) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        let output = directory.path().join("out");
        let dimension = case.dimension.to_string();
        let spec = [
            ("dimension", dimension.as_str()),
            ("factoryString", case.factory),
            ("sampleRate", "1"),
            ("memoryLimit", case.limit),
        ];
        let spec = spec.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let build = start_build(&spec, output.to_str().unwrap(), &Storages::new()).unwrap();
        let mut wrong = Vec::new();
        let mut task = |kind, build: &str, receipts: &[String]| {
            let (receipt, error) = task(case, directory.path(), kind, build, receipts);
            wrong.extend(error);
            receipt
        };
        let samples = [task(StageKind::Sample, &build, &[])];
        let build = plan_training(&build, &samples).unwrap().build;
        let mut receipts = vec![task(StageKind::Train, &build, &samples)];
        receipts.push(task(StageKind::Encode, &build, &receipts));
        receipts.push(task(StageKind::Merge, &build, &receipts));
        task(StageKind::Evaluate, &build, &receipts);
        wrong
    }

    /// The receipt of a task in a process of its own, which has loaded the library before. The estimate may be too low
    /// by a tenth, and too high by a half and by what is there for larger tasks.
    fn task(
        case: &Case,
        directory: &Path,
        kind: StageKind,
        build: &str,
        receipts: &[String],
    ) -> (String, Option<String>) {
        const UNUSED: f64 = 64.0 * MIB;
        let estimate = to_f64(task_memory(kind, build, receipts, THREADS).unwrap()) - LIBRARY;
        let request = serde_json::json!({
            "kind": kind.name(), "build": build, "receipts": receipts, "rows": case.rows, "dimension": case.dimension
        });
        std::fs::write(directory.join("request"), request.to_string()).unwrap();
        let name = "task_memory::tests::the_estimate_of_each_stage_is_near_what_a_task_in_a_process_of_its_own_takes";
        let mut child = Command::new(std::env::current_exe().unwrap());
        let output = child.args(["--exact", name, "--nocapture"]).env(CHILD, directory).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let peak = text.split("peak=").nth(1).and_then(|rest| rest.split(' ').next()).expect(&text);
        let peak: f64 = peak.parse().unwrap();
        let (kind, factory) = (kind.name(), case.factory);
        let what = format!("{kind} of {factory}: {:.0} MiB estimated, {:.0} measured", estimate / MIB, peak / MIB);
        let is_near = estimate >= 0.9 * peak && estimate <= 1.5 * peak + UNUSED;
        (std::fs::read_to_string(directory.join("receipt")).unwrap(), (!is_near).then_some(what))
    }

    #[expect(clippy::print_stdout, reason = "how the child process answers")]
    fn run_and_print_peak(directory: &Path) {
        let request: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(directory.join("request")).unwrap()).unwrap();
        let number = |key: &str| usize::try_from(request[key].as_u64().unwrap()).unwrap();
        let (rows, dimension) = (number("rows"), number("dimension"));
        let receipts = request["receipts"].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned());
        let kind: StageKind = request["kind"].as_str().unwrap().parse().unwrap();
        let before = memory_bytes("VmRSS").unwrap();
        restart_peak().unwrap();
        let stage = Stage::open(StageRequest {
            kind,
            build: request["build"].as_str().unwrap().to_owned(),
            receipts: receipts.collect(),
            partition: 0,
            threads: THREADS,
            storages: Storages::new(),
        })
        .unwrap();
        if matches!(kind, StageKind::Sample | StageKind::Encode) {
            append(&stage, rows, dimension);
        }
        std::fs::write(directory.join("receipt"), stage.finish().unwrap()).unwrap();
        println!("peak={} ", memory_bytes("VmHWM").unwrap() - before);
    }

    /// The same rows in every stage, a few at a time.
    fn append(stage: &Stage, rows: usize, dimension: usize) {
        const BATCH: usize = 341;
        let mut state = 7_u64;
        let mut vectors = vec![0.0_f32; BATCH * dimension];
        for first in (0..rows).step_by(BATCH) {
            let count = BATCH.min(rows - first);
            for component in &mut vectors[..count * dimension] {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                *component = f32::from(u16::try_from(state >> 48).unwrap()) / 32_768.0 - 1.0;
            }
            let ids: Vec<i64> = (first..first + count).map(|id| i64::try_from(id).unwrap()).collect();
            stage.append(&ids, &vectors[..count * dimension]).unwrap();
        }
    }

    #[test]
    fn many_threads_on_wide_rows_and_a_larger_limit_are_counted() {
        let directory = tempfile::tempdir().unwrap();
        let output = directory.path().to_str().unwrap().to_owned();
        let spec = [("dimension", "1536"), ("factoryString", "PQ48np"), ("memoryLimit", "1GiB")];
        let spec = spec.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let build = start_build(&spec, &output, &Storages::new()).unwrap();
        let trained = r#"{"stage":"train","uri":"x","bytes":1000000,"fingerprint":"f","trainingRows":1,
            "clock":{"began":0,"ended":0}}"#;
        let of = |threads| task_memory(StageKind::Encode, &build, &[trained.to_owned()], threads).unwrap();
        assert!(of(1) > 1 << 30 && of(1) < 1_200 << 20, "{}", of(1));
        assert!(of(64) > of(1) + (256 << 20), "{}", of(64));
    }
}
