//! Whether the numbers in a factory string fit the dimension and what a machine can hold.

use super::codes::{Additive, Codes, FastScan};
use super::grammar::{Base, Coarse, Factory, Graph, Transform};

/// Each list costs Faiss 48 bytes before it holds a row.
const MOST_LISTS: u64 = 1 << 26;
/// Floats of one table of centroids or of one matrix: 1 GiB.
pub(super) const MOST_FLOATS: u64 = 1 << 28;
/// Faiss keeps a table of all pairs of codewords.
const MOST_CODEWORDS: u64 = 1 << 14;
/// Each sub-quantizer has 2^bits centroids.
const MOST_BITS: u64 = 16;
/// The polysemous order compares all pairs of centroids.
const MOST_POLYSEMOUS_BITS: u64 = 10;
/// A graph with fewer is not connected; Faiss reads beyond its tables with one.
const LEAST_DEGREE: u64 = 2;
const MOST_DEGREE: u64 = 1024;
/// Faiss reads beyond the neighbours of a centroid whose ten random ones all happen to be among its 64 nearest, because
/// NN-descent then never finds farther ones (NNDescent.cpp, `Nhood::insert` and `build`). From here on that is once in
/// 10^9 trainings: n (64 / n)^10.
const LEAST_LISTS_OF_NSG: u64 = 1024;

/// Checks `factory` for rows of `dimension`; returns the dimension of the rows that are encoded.
pub(super) fn fit(factory: &Factory, dimension: u64) -> Result<u64, String> {
    let mut current = dimension;
    for transform in &factory.transforms {
        current = transformed_dimension(*transform, current)?;
    }
    match &factory.base {
        Base::Codes(codes) => fit_codes(codes, current)?,
        Base::Lists { coarse, codes } => {
            fit_coarse(*coarse, current)?;
            fit_codes(codes, current)?;
        }
        Base::Graph { kind, degree, codes } => {
            fit_degree(*kind, *degree)?;
            fit_codes(codes, current)?;
            if let Codes::Product { subquantizers, bits, .. } = codes {
                let pairs = subquantizers.checked_shl(u32::try_from(2 * bits).unwrap_or(64));
                check_floats("the distances between the codewords that the graph is made with", pairs)?;
            }
        }
    }
    if let Some(codes) = &factory.refinement {
        fit_codes(codes, dimension)?;
    }
    Ok(current)
}

/// The dimension that leaves `transform`.
pub(super) fn transformed_dimension(transform: Transform, dimension: u64) -> Result<u64, String> {
    let (name, output) = match transform {
        Transform::Normalization => return Ok(dimension),
        Transform::Padding { output } if output < dimension => {
            return Err(format!("Pad{output} is below dimension={dimension}, and padding only adds dimensions"));
        }
        Transform::Padding { output } => ("Pad", output),
        Transform::Rotation { output } => ("RR", output.unwrap_or(dimension)),
        Transform::Pca { output } => ("PCA", at_most_dimension("PCA", output, dimension)?),
        Transform::Itq { output } => ("ITQ", at_most_dimension("ITQ", output.unwrap_or(dimension), dimension)?),
        Transform::Opq { subquantizers, output } => {
            let output = at_most_dimension("OPQ", output.unwrap_or(dimension), dimension)?;
            check_divides(&format!("OPQ{subquantizers}"), subquantizers, output)?;
            ("OPQ", output)
        }
    };
    check_floats(&format!("the matrix of {name}"), output.checked_mul(output.max(dimension)))?;
    Ok(output)
}

fn at_most_dimension(name: &str, output: u64, dimension: u64) -> Result<u64, String> {
    if output > dimension {
        return Err(format!("{name} cannot turn {dimension} dimensions into {output}"));
    }
    Ok(output)
}

fn fit_coarse(coarse: Coarse, dimension: u64) -> Result<(), String> {
    match coarse {
        Coarse::Flat { .. } => (),
        Coarse::Graph { kind, lists, degree } => {
            fit_degree(kind, degree)?;
            if kind == Graph::Nsg && lists < LEAST_LISTS_OF_NSG {
                return Err(format!("NSG over {lists} centroids: it needs at least {LEAST_LISTS_OF_NSG} lists"));
            }
        }
        Coarse::Multi { .. } => check_divides("IMI2x", 2, dimension)?,
    }
    match list_count(coarse) {
        Some(lists) if lists <= MOST_LISTS => Ok(()),
        Some(lists) => Err(format!("{lists} lists are too many; the limit is {MOST_LISTS}")),
        None => Err(format!("the lists are too many; the limit is {MOST_LISTS}")),
    }
}

/// The number of inverted lists, unless it is beyond any number.
pub(super) fn list_count(coarse: Coarse) -> Option<u64> {
    match coarse {
        Coarse::Flat { lists } | Coarse::Graph { lists, .. } => Some(lists),
        Coarse::Multi { bits } => 1_u64.checked_shl(u32::try_from(bits.checked_mul(2)?).ok()?),
    }
}

fn fit_degree(kind: Graph, degree: u64) -> Result<(), String> {
    if (LEAST_DEGREE..=MOST_DEGREE).contains(&degree) {
        return Ok(());
    }
    let name = match kind {
        Graph::Hnsw => "HNSW",
        Graph::Nsg => "NSG",
    };
    Err(format!("{name}{degree}: the number of neighbours must be from {LEAST_DEGREE} to {MOST_DEGREE}"))
}

fn fit_codes(codes: &Codes, dimension: u64) -> Result<(), String> {
    match codes {
        Codes::Flat | Codes::Scalar(_) | Codes::RaBitQ => Ok(()),
        Codes::Product { subquantizers, bits, polysemous } => {
            let name = format!("PQ{subquantizers}x{bits}");
            check_divides(&format!("PQ{subquantizers}"), *subquantizers, dimension)?;
            check_bits(&name, *bits)?;
            if *polysemous && *bits > MOST_POLYSEMOUS_BITS {
                return Err(format!("{name} takes hours to order its centroids; write {name}np to leave that out"));
            }
            check_floats(&format!("the centroids of {name}"), dimension.checked_shl(u32::try_from(*bits).unwrap_or(64)))
        }
        Codes::ProductFastScan { subquantizers, fast_scan } => {
            check_divides(&format!("PQ{subquantizers}x4fs"), *subquantizers, dimension)?;
            fit_fast_scan(*fast_scan)
        }
        Codes::Refined { first, second } => {
            check_divides(&format!("PQ{first}"), *first, dimension)?;
            check_divides(&format!("PQ{second}"), *second, dimension)
        }
        Codes::Additive(additive) => fit_additive(additive, dimension),
        Codes::AdditiveFastScan { additive, fast_scan } => {
            fit_fast_scan(*fast_scan)?;
            fit_additive(additive, dimension)
        }
        Codes::Lsh { bits, rotated, .. } => {
            let bits = bits.unwrap_or(dimension);
            if !rotated && bits > dimension {
                return Err(format!("LSH{bits} needs {bits} dimensions, and there are {dimension}; use LSH{bits}r"));
            }
            check_floats(&format!("the rotation of LSH{bits}"), bits.checked_mul(bits.max(dimension)))
        }
        Codes::SpectralHash { bits, .. } => {
            let bits = bits.unwrap_or(dimension);
            at_most_dimension("SH", bits, dimension)?;
            check_floats("the transform of SH", bits.checked_mul(dimension))
        }
    }
}

fn fit_fast_scan(fast_scan: FastScan) -> Result<(), String> {
    /// The sizes that Faiss' search has kernels for (pq4_fast_scan_search_1.cpp).
    const ALLOWED: [u64; 5] = [32, 64, 96, 128, 160];
    if ALLOWED.contains(&fast_scan.block_rows) {
        return Ok(());
    }
    let rows = fast_scan.block_rows;
    Err(format!("x4fs_{rows}: blocks have 32, 64, 96, 128 or 160 rows"))
}

fn fit_additive(additive: &Additive, dimension: u64) -> Result<(), String> {
    check_divides("the number of parts before the first x", additive.splits, dimension)?;
    let mut codewords: u64 = 0;
    for bits in &additive.bits {
        check_bits("a codebook", *bits)?;
        codewords = codewords.saturating_add(1 << bits);
    }
    let total = codewords.saturating_mul(additive.splits);
    if total > MOST_CODEWORDS {
        return Err(format!("{total} codewords are too many for codes that are sums; the limit is {MOST_CODEWORDS}"));
    }
    check_floats("the codebooks", total.checked_mul(dimension))
}

fn check_bits(name: &str, bits: u64) -> Result<(), String> {
    if (1..=MOST_BITS).contains(&bits) {
        return Ok(());
    }
    Err(format!("{name}: {bits} bits are not supported; codes have from 1 to {MOST_BITS} bits"))
}

fn check_floats(what: &str, floats: Option<u64>) -> Result<(), String> {
    if floats.is_some_and(|floats| floats <= MOST_FLOATS) {
        return Ok(());
    }
    let gigabytes = MOST_FLOATS * 4 / 1_000_000_000;
    Err(format!("{what} would take more than {gigabytes} GB"))
}

fn check_divides(part: &str, subquantizers: u64, dimension: u64) -> Result<(), String> {
    if dimension.is_multiple_of(subquantizers) {
        return Ok(());
    }
    let below = (1..subquantizers.min(dimension + 1)).rev().find(|m| dimension.is_multiple_of(*m));
    let above = (subquantizers..=dimension).find(|m| dimension.is_multiple_of(*m));
    let fits: Vec<String> = below.into_iter().chain(above).map(|m| m.to_string()).collect();
    Err(format!(
        "{part} needs a dimension that is a multiple of {subquantizers}, and dimension={dimension} is not; \
         the nearest numbers of sub-quantizers that fit: {}",
        fits.join(", ")
    ))
}
