//! Peak memory of encoding one large partition: `cargo bench -p faiss-indexer-core --bench encode_memory [-- rows]`.
//!
//! Prints the peak of the whole process while it encodes, the bound that the project promises for it, and the rate.
//! Exits with 1 when the bound is exceeded.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::as_conversions, reason = "a program for people")]

use std::process::ExitCode;
use std::time::Instant;

use faiss_indexer_core::process_memory::{memory_bytes, restart_peak};
use faiss_indexer_core::{Stage, StageKind, StageRequest, plan_training, start_build};
use faiss_indexer_storage::Storages;

const DIMENSION: usize = 192;
const BATCH_ROWS: usize = 341;
const BOUND_MIB: f64 = 700.0;

fn main() -> ExitCode {
    let rows = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(2_000_000);
    let directory = tempfile::tempdir().unwrap();
    let storages = Storages::new();
    let mut within = true;
    for factory in ["OPQ48,IVF1024,PQ48np", "IVF1024,Flat"] {
        let output = directory.path().join(factory.replace(',', "-"));
        let spec = [("dimension", "192"), ("factoryString", factory), ("sampleRate", "1")];
        let spec = spec.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let build = start_build(&spec, output.to_str().unwrap(), &storages).unwrap();
        let open = |kind, build: &str, receipts: &[String]| {
            let (build, receipts, storages) = (build.to_owned(), receipts.to_vec(), storages.clone());
            Stage::open(StageRequest { kind, build, receipts, partition: 0, threads: 2, storages }).unwrap()
        };

        let sample = open(StageKind::Sample, &build, &[]);
        append(&sample, 3_000);
        let samples = [sample.finish().unwrap()];
        let planned = plan_training(&build, &samples).unwrap().build;
        let trained = open(StageKind::Train, &planned, &samples).finish().unwrap();

        let encode = open(StageKind::Encode, &planned, &[trained]);
        let before = mebibytes("VmRSS");
        restart_peak().unwrap();
        let began = Instant::now();
        append(&encode, rows);
        encode.finish().unwrap();
        let (seconds, peak) = (began.elapsed().as_secs_f64(), mebibytes("VmHWM"));
        within &= peak < BOUND_MIB;
        println!(
            "{factory}: {rows} rows x {DIMENSION}: peak {peak:.0} MiB, {:.0} MiB above the trained state \
             (bound {BOUND_MIB:.0} MiB), {:.0} rows/s",
            peak - before,
            rows as f64 / seconds
        );
    }
    if within { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn append(stage: &Stage, rows: usize) {
    let mut state = 7_u64;
    let mut vectors = vec![0.0_f32; BATCH_ROWS * DIMENSION];
    for first in (0..rows).step_by(BATCH_ROWS) {
        let count = BATCH_ROWS.min(rows - first);
        for component in &mut vectors[..count * DIMENSION] {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *component = (state >> 40) as f32 / 16_777_216.0 - 0.5;
        }
        let ids: Vec<i64> = (first..first + count).map(|id| i64::try_from(id).unwrap()).collect();
        stage.append(&ids, &vectors[..count * DIMENSION]).unwrap();
    }
}

fn mebibytes(field: &str) -> f64 {
    memory_bytes(field).unwrap() as f64 / 1_048_576.0
}
