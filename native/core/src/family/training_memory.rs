//! What training takes of memory beside the rows: the copies that Faiss makes of them, and what it learns.
//! Follows train_shim.cpp, VectorTransform.cpp, Clustering.cpp, IndexIVF.cpp and impl/*Quantizer.cpp of Faiss.

use super::codes::{Additive, Codes};
use super::fit::{list_count, transformed_dimension};
use super::grammar::{Base, Coarse, Factory, Transform};
use super::training_rows::{rows_of_codes, rows_of_transform};
use crate::numbers::{to_f64, to_u64};

const FLOAT: f64 = 4.0;
const DOUBLE: f64 = 8.0;
/// Distances between a block of rows and a block of centroids (utils/distances.cpp).
const DISTANCES: f64 = FLOAT * 4096.0 * 1024.0;
/// The list that a row is assigned to and its distance.
const ASSIGNMENT: f64 = 8.0 + FLOAT;
/// Hypotheses that a residual quantizer follows (`max_beam_size`).
const BEAM: f64 = 5.0;
/// Rows that a local search works on at a time (`chunk_size`).
const CHUNK: f64 = 10_000.0;
/// What was learned is in Faiss' index, in the file that is written of it, and once more while that one grows.
const COPIES_OF_LEARNED: f64 = 3.0;

/// Bytes at the peak of training on `rows` rows of `dimension`, beside those rows.
pub(super) fn training_memory(factory: &Factory, dimension: u64, rows: u64) -> f64 {
    let (mut peak, mut learned, mut width, mut transformed) = (0.0_f64, 0.0, dimension, 0.0);
    for transform in &factory.transforms {
        let output = transformed_dimension(*transform, width).unwrap_or(width);
        peak = peak.max(transformed + transform_memory(*transform, width, output, rows));
        learned += FLOAT * to_f64(width * width.max(output));
        let before = std::mem::replace(&mut transformed, floats(rows, output));
        peak = peak.max(before + transformed);
        width = output;
    }
    let codes = match &factory.base {
        Base::Codes(codes) | Base::Graph { codes, .. } => {
            peak = peak.max(transformed + codes_memory(codes, width, rows));
            codes
        }
        Base::Lists { coarse, codes } => {
            let (while_clustering, centroids) = coarse_memory(*coarse, width, rows);
            learned += centroids;
            peak = peak.max(transformed + while_clustering);
            // What the centroids of lists leave over of a row.
            let usable = rows_of_codes(codes, width).usable.min(rows);
            let residuals = floats(usable, width) + ASSIGNMENT * to_f64(usable);
            peak = peak.max(transformed + residuals + codes_memory(codes, width, rows));
            codes
        }
    };
    learned += codebook_memory(codes, width);
    if let Some(refinement) = &factory.refinement {
        peak = peak.max(codes_memory(refinement, dimension, rows));
        learned += codebook_memory(refinement, dimension);
    }
    peak + COPIES_OF_LEARNED * learned
}

fn floats(rows: u64, width: u64) -> f64 {
    FLOAT * to_f64(rows) * to_f64(width)
}

/// The copy of the rows that are trained on, when these are not all.
fn chosen_rows(rows: u64, usable: u64, width: u64) -> f64 {
    if usable < rows { floats(usable, width) } else { 0.0 }
}

fn transform_memory(transform: Transform, width: u64, output: u64, rows: u64) -> f64 {
    let usable = rows_of_transform(transform, width).usable.min(rows);
    let chosen = chosen_rows(rows, usable, width);
    let squares = to_f64(width * width);
    match transform {
        Transform::Normalization | Transform::Rotation { .. } | Transform::Padding { .. } => 0.0,
        Transform::Pca { .. } => chosen + 4.0 * DOUBLE * squares,
        Transform::Itq { .. } => {
            chosen + floats(usable, width) + (FLOAT + 2.0 * DOUBLE) * to_f64(usable * output) + 8.0 * DOUBLE * squares
        }
        Transform::Opq { subquantizers, .. } => {
            // Centred rows, a product of as many floats, and projections with what their codes stand for.
            let slice = floats(usable, output / subquantizers.max(1)) + ASSIGNMENT * to_f64(usable);
            let copies = 2.0 * floats(usable, width.max(output)) + 2.0 * floats(usable, output);
            chosen + copies + slice + to_f64(usable * subquantizers) + 6.0 * FLOAT * squares
        }
    }
}

/// While lists are found, and what their centroids take.
fn coarse_memory(coarse: Coarse, width: u64, rows: u64) -> (f64, f64) {
    let (centroids, columns) = match coarse {
        Coarse::Multi { bits } => (1_u64 << bits.min(31), width.div_ceil(2)),
        Coarse::Flat { .. } | Coarse::Graph { .. } => (list_count(coarse).unwrap_or_default(), width),
    };
    let usable = centroids.saturating_mul(super::training_rows::USABLE_PER_CENTROID).min(rows);
    let slice = match coarse {
        Coarse::Multi { .. } => floats(usable, columns),
        Coarse::Flat { .. } | Coarse::Graph { .. } => chosen_rows(rows, usable, width),
    };
    // The centroids are also in the index that rows are compared with.
    let while_clustering = slice + ASSIGNMENT * to_f64(usable) + DISTANCES + floats(centroids, columns);
    let links = match coarse {
        Coarse::Graph { degree, .. } => FLOAT * to_f64(centroids.saturating_mul(2 * degree + 4)),
        Coarse::Flat { .. } | Coarse::Multi { .. } => 0.0,
    };
    (while_clustering, floats(centroids, width) + links)
}

fn codes_memory(codes: &Codes, width: u64, rows: u64) -> f64 {
    let usable = rows_of_codes(codes, width).usable.min(rows);
    let chosen = chosen_rows(rows, usable, width);
    let copy = floats(usable, width);
    chosen
        + match codes {
            Codes::Flat => 0.0,
            Codes::Product { subquantizers, .. } | Codes::ProductFastScan { subquantizers, .. } => {
                product_memory(*subquantizers, width, usable)
            }
            // The codes and what they leave over.
            Codes::Refined { first, second } => {
                2.0 * copy + to_f64(usable * first) + product_memory(*second.min(first), width, usable)
            }
            Codes::Additive(additive) | Codes::AdditiveFastScan { additive, .. } => {
                additive_memory(additive, width, usable)
            }
            Codes::Scalar(_) | Codes::Lsh { .. } | Codes::RaBitQ => 2.0 * copy,
            Codes::SpectralHash { .. } => 2.0 * copy + 2.0 * DOUBLE * to_f64(usable * width),
        }
}

fn product_memory(subquantizers: u64, width: u64, rows: u64) -> f64 {
    floats(rows, width / subquantizers.max(1)) + ASSIGNMENT * to_f64(rows) + DISTANCES / 4.0
}

fn additive_memory(additive: &Additive, width: u64, rows: u64) -> f64 {
    let width = width / additive.splits.max(1);
    let books = to_u64(additive.bits.len());
    let largest = additive.bits.iter().max().map_or(1, |bits| 1_u64 << bits.min(&31));
    let part = if additive.splits > 1 { floats(rows, width) } else { 0.0 };
    if additive.is_local_search() {
        return part + 4.0 * floats(rows, width) + 2.0 * FLOAT * CHUNK * to_f64(books * largest);
    }
    // What each hypothesis leaves over, before and after a step, and its distance to every codeword.
    let hypotheses = 2.0 * BEAM * (floats(rows, width) + FLOAT * to_f64(rows * books));
    part + floats(rows, width) + hypotheses + BEAM * floats(rows, largest)
}

fn codebook_memory(codes: &Codes, width: u64) -> f64 {
    let codewords = match codes {
        Codes::Flat | Codes::RaBitQ => 1,
        Codes::Scalar(_) => 2,
        Codes::Product { bits, .. } => 1 << bits.min(&31),
        Codes::ProductFastScan { .. } => 16,
        Codes::Refined { .. } => 512,
        Codes::Additive(additive) | Codes::AdditiveFastScan { additive, .. } => {
            additive.bits.iter().map(|bits| 1_u64 << bits.min(&31)).sum()
        }
        Codes::Lsh { bits, .. } | Codes::SpectralHash { bits, .. } => 2 * bits.unwrap_or(width),
    };
    floats(codewords, width)
}
