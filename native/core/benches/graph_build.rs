//! Seconds to build graphs in one task: `cargo bench -p faiss-indexer-core --bench graph_build [-- rows dimension]`.
//!
//! Prints the time of Faiss' own add on one thread and ours on 1, 2, … threads, and their ratios. Exits with 1 when
//! the files differ.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::as_conversions, reason = "a program for people")]

use std::process::ExitCode;
use std::thread::available_parallelism;

use faiss_indexer_core::graph_benchmark::fill;

const CENTERS: usize = 200;

fn main() -> ExitCode {
    let mut numbers = std::env::args().filter_map(|argument| argument.parse::<usize>().ok());
    let rows = numbers.next().unwrap_or(50_000);
    let dimension = numbers.next().unwrap_or(64);
    let vectors = clustered(rows, dimension);
    let most = available_parallelism().unwrap().get();
    let threads: Vec<usize> = (0..).map(|power| 1 << power).take_while(|count| *count <= most).collect();
    let mut equal = true;
    for (factory, rows) in [("HNSW32", rows), ("HNSW16,SQ8", rows), ("NSG32", rows / 10)] {
        let vectors = &vectors[..rows * dimension];
        let (stock, expected) = fill(factory, dimension as u64, vectors, None).unwrap();
        println!("{factory}, {rows} rows x {dimension}: Faiss' own add {stock:.2} s");
        let mut alone = 0.0;
        for &threads in &threads {
            let (seconds, file) = fill(factory, dimension as u64, vectors, Some(threads)).unwrap();
            if threads == 1 {
                alone = seconds;
            }
            let bytes = if file == expected { "the same bytes" } else { "OTHER BYTES" };
            equal &= file == expected;
            println!(
                "  {threads:3} threads {seconds:7.2} s, {:.2} times as fast as one, {:.2} times as fast as Faiss, {bytes}",
                alone / seconds,
                stock / seconds
            );
        }
    }
    if equal { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Rows around random centers, as embeddings are; one in twenty has an exact copy.
fn clustered(rows: usize, dimension: usize) -> Vec<f32> {
    let mut state = 11_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / 16_777_216.0 - 0.5
    };
    let centers: Vec<f32> = (0..CENTERS * dimension).map(|_| random()).collect();
    let mut vectors: Vec<f32> = Vec::with_capacity(rows * dimension);
    for row in 0..rows {
        if row % 20 == 19 {
            vectors.extend_from_within((row - 10) * dimension..(row - 9) * dimension);
        } else {
            let center = row * 7_919 % CENTERS;
            vectors
                .extend(centers[center * dimension..(center + 1) * dimension].iter().map(|middle| middle + random()));
        }
    }
    vectors
}
