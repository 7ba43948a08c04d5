//! Speed and peak memory of merging: `cargo bench -p faiss-indexer-core --bench merge`.
//!
//! Prints a table over rows and number of runs, each beside `cat` of the same run files into one file, both made
//! durable. Exits with 1 when a bound is missed. `MERGE_ROWS` (default `10000000,100000000`) and `MERGE_RUNS` (default
//! `2,64,512`) choose the scale; times are held against their bounds from 10^7 rows on.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    clippy::as_conversions,
    reason = "a program for people"
)]

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use faiss_indexer_core::process_memory::{memory_bytes, restart_peak};
use faiss_indexer_core::{Stage, StageKind, StageRequest, plan_training, start_build};
use faiss_indexer_storage::Storages;
use serde_json::{Value, json};

const DIMENSION: usize = 16;
const CODE_BYTES: usize = 64;
const LISTS: u64 = 8192;
const LEAST_RATIO_TO_CAT: f64 = 0.7;
const MOST_PEAK_MIB: f64 = 256.0;
const MOST_SLOWDOWN: f64 = 1.15;
const LEAST_ROWS_FOR_TIMES: u64 = 10_000_000;

fn main() -> ExitCode {
    let numbers = |name: &str, default: &str| -> Vec<u64> {
        let text = std::env::var(name).unwrap_or_else(|_| default.to_owned());
        text.split(',').map(|number| number.trim().parse().unwrap()).collect()
    };
    let mut within = true;
    println!(
        "rows        runs  seconds  CPU s  GB/s  cat s  ratio to cat (>= {LEAST_RATIO_TO_CAT})  peak MiB (<= {MOST_PEAK_MIB})"
    );
    for rows in numbers("MERGE_ROWS", "10000000,100000000") {
        let mut times = Vec::new();
        for runs in numbers("MERGE_RUNS", "2,64,512") {
            let Measured { merge, processor, cat, bytes, peak } = measure(rows, runs);
            let ratio = cat / merge;
            let rate = bytes as f64 / merge / 1e9;
            println!(
                "{rows:<11} {runs:<5} {merge:7.2}  {processor:5.2}  {rate:4.2}  {cat:5.2}  {ratio:5.2}  {peak:5.0}"
            );
            within &= peak <= MOST_PEAK_MIB && (rows < LEAST_ROWS_FOR_TIMES || ratio >= LEAST_RATIO_TO_CAT);
            times.push(merge);
        }
        if let [first, .., last] = times.as_slice() {
            let slowdown = last / first;
            println!(
                "{rows:<11} time with the most runs over time with the fewest: {slowdown:.2} (<= {MOST_SLOWDOWN})"
            );
            within &= rows < LEAST_ROWS_FOR_TIMES || slowdown <= MOST_SLOWDOWN;
        }
    }
    if within { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

struct Measured {
    merge: f64,
    /// Seconds of all cores together.
    processor: f64,
    cat: f64,
    bytes: u64,
    peak: f64,
}

/// Alternates merge and cat and takes the best of each, for the disk is not ours alone.
fn measure(rows: u64, runs: u64) -> Measured {
    let directory = tempfile::tempdir().unwrap();
    let (build, receipts) = prepare(directory.path(), rows);
    let (receipts, files) = write_runs(directory.path(), &receipts, rows, runs);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut best = Measured { merge: f64::MAX, processor: f64::MAX, cat: f64::MAX, bytes: 0, peak: 0.0 };
    for _ in 0..if rows < 50_000_000 { 3 } else { 2 } {
        let merge = open(StageKind::Merge, &build, &receipts, threads);
        restart_peak().unwrap();
        let (began, used) = (Instant::now(), processor_seconds());
        let receipt: Value = serde_json::from_str(&merge.finish().unwrap()).unwrap();
        best.merge = best.merge.min(began.elapsed().as_secs_f64());
        best.processor = best.processor.min(processor_seconds() - used);
        best.peak = best.peak.max(memory_bytes("VmHWM").unwrap() as f64 / 1_048_576.0);
        best.bytes = receipt["bytes"].as_u64().unwrap();
        assert_eq!(receipt["rows"], rows);
        std::fs::remove_file(receipt["uri"].as_str().unwrap()).unwrap();

        let copy = directory.path().join("copy");
        let script = r#"out=$1; shift; cat "$@" > "$out" && sync "$out""#;
        let began = Instant::now();
        let status = Command::new("sh").args(["-c", script, "sh"]).arg(&copy).args(&files).status().unwrap();
        best.cat = best.cat.min(began.elapsed().as_secs_f64());
        assert!(status.success());
        std::fs::remove_file(copy).unwrap();
    }
    best
}

/// A planned and trained build that expects `rows` rows, and its receipts so far.
fn prepare(directory: &Path, rows: u64) -> (String, Vec<String>) {
    let spec = [("dimension", "16"), ("factoryString", "IVF8192,Flat"), ("sampleRate", "1")];
    let spec = spec.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let build = start_build(&spec, directory.to_str().unwrap(), &Storages::new()).unwrap();
    let sample = open(StageKind::Sample, &build, &[], 1);
    let training_rows = 9_000;
    let vectors: Vec<f32> = (0..training_rows * DIMENSION as u64).map(|at| (mix(at) >> 40) as f32 / 1.6e7).collect();
    let ids: Vec<i64> = (0..training_rows as i64).collect();
    sample.append(&ids, &vectors).unwrap();
    let mut receipt: Value = serde_json::from_str(&sample.finish().unwrap()).unwrap();
    receipt["goodRows"] = json!(rows);
    let samples = [receipt.to_string()];
    let planned = plan_training(&build, &samples).unwrap().build;
    let trained = open(StageKind::Train, &planned, &samples, 2).finish().unwrap();
    (planned, vec![trained])
}

fn open(kind: StageKind, build: &str, receipts: &[String], threads: usize) -> Stage {
    let (build, receipts) = (build.to_owned(), receipts.to_vec());
    Stage::open(StageRequest { kind, build, receipts, partition: 0, threads, storages: Storages::new() }).unwrap()
}

/// Row `id` goes to run `id % runs` and to a list that is as good as random. Written as `run_file.rs` describes.
fn write_runs(directory: &Path, receipts: &[String], rows: u64, runs: u64) -> (Vec<String>, Vec<PathBuf>) {
    let trained: Value = serde_json::from_str(&receipts[0]).unwrap();
    let fingerprint = trained["fingerprint"].as_str().unwrap();
    let (mut written, mut files) = (Vec::new(), Vec::new());
    for run in 0..runs {
        let path = directory.join(format!("run-{run}"));
        let count = (rows - run).div_ceil(runs);
        let id = |at: u64| run + at * runs;
        let list = |at: u64| (mix(id(at)) % LISTS) as usize;
        let mut ends = vec![0_u32; LISTS as usize];
        (0..count).for_each(|at| ends[list(at)] += 1);
        let sizes = ends.clone();
        let mut sum = 0;
        for end in &mut ends {
            sum += std::mem::replace(end, sum);
        }
        let mut order = vec![0_u32; count as usize];
        for at in 0..count {
            let end = &mut ends[list(at)];
            order[*end as usize] = at as u32;
            *end += 1;
        }

        let mut file = Sections { file: BufWriter::with_capacity(1 << 20, File::create(&path).unwrap()), crc32c: 0 };
        file.write(b"FIXRUN02");
        file.write(fingerprint.as_bytes());
        [LISTS, CODE_BYTES as u64, 0, 0, count].iter().for_each(|number| file.write(&number.to_le_bytes()));
        file.end();
        sizes.iter().for_each(|size| file.write(&size.to_le_bytes()));
        let list_sizes = file.end();
        order.iter().for_each(|at| file.write(&id(u64::from(*at)).to_le_bytes()));
        let ids = file.end();
        for at in &order {
            let mut code = [0; CODE_BYTES];
            let mut state = mix(id(u64::from(*at)));
            for part in code.chunks_mut(8) {
                part.copy_from_slice(&state.to_le_bytes());
                state = state.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(17);
            }
            file.write(&code);
        }
        let codes = file.end();
        (0..count).for_each(|at| file.write(&id(at).to_le_bytes()));
        let sorted_ids = file.end();
        let file = file.file.into_inner().unwrap();
        file.sync_all().unwrap();
        written.push(json!({
            "uri": path.to_str().unwrap(), "shard": 0, "rows": count, "bytes": file.metadata().unwrap().len(),
            "crc32c": {
                "listSizes": list_sizes, "ids": ids, "codes": codes, "sortedIds": sorted_ids,
                "listNumbers": 0, "secondCodes": 0
            }
        }));
        files.push(path);
    }
    let shard = json!({
        "stage": "encode", "partition": 0, "fingerprint": fingerprint, "rows": rows, "ledger": {}, "runs": written,
        "clock": { "began": 0, "ended": 0 }
    });
    ([receipts, &[shard.to_string()]].concat(), files)
}

struct Sections {
    file: BufWriter<File>,
    crc32c: u32,
}

impl Sections {
    fn write(&mut self, bytes: &[u8]) {
        self.crc32c = crc32c::crc32c_append(self.crc32c, bytes);
        self.file.write_all(bytes).unwrap();
    }

    fn end(&mut self) -> u32 {
        std::mem::take(&mut self.crc32c)
    }
}

fn mix(value: u64) -> u64 {
    let value = (value ^ 0x5DEE_CE66).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 29)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 32)
}

/// User and system time of this process (proc(5), stat), in ticks of 10 ms.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}
