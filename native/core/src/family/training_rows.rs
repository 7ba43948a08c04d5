//! How many rows a family is trained on.

use super::codes::{Additive, Codes, Norm, Scalar};
use super::fit::{list_count, transformed_dimension};
use super::grammar::{Base, Coarse, Factory, Transform};

/// Faiss warns below this many training rows per centroid (Clustering.h, min_points_per_centroid).
const WANTED_PER_CENTROID: u64 = 39;
/// Faiss drops training rows beyond this many per centroid (Clustering.h, max_points_per_centroid).
pub(super) const USABLE_PER_CENTROID: u64 = 256;
/// What Faiss trains the ranges of an inverted file's scalar quantizer on (IndexScalarQuantizer.cpp); we keep to it
/// for whatever is trained by statistics of single components.
const USABLE_FOR_STATISTICS: u64 = 100_000;
const WANTED_FOR_STATISTICS: u64 = 1_000;
/// Centroids of one 8-bit sub-quantizer.
const CENTROIDS_OF_8_BITS: u64 = 256;

/// How many rows training needs, wants and can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct TrainingRows {
    /// Fewer make Faiss fail.
    pub(crate) needed: u64,
    /// Fewer give a worse index.
    pub(crate) wanted: u64,
    /// More are not read.
    pub(crate) usable: u64,
}

impl TrainingRows {
    fn and(self, other: Self) -> Self {
        Self {
            needed: self.needed.max(other.needed),
            wanted: self.wanted.max(other.wanted),
            usable: self.usable.max(other.usable),
        }
    }

    fn per_centroid(centroids: u64) -> Self {
        Self { needed: centroids, wanted: centroids * WANTED_PER_CENTROID, usable: centroids * USABLE_PER_CENTROID }
    }

    fn for_statistics() -> Self {
        Self { needed: 1, wanted: WANTED_FOR_STATISTICS, usable: USABLE_FOR_STATISTICS }
    }
}

/// The training rows of a factory string that fits `dimension`.
pub(super) fn training_rows(factory: &Factory, dimension: u64) -> TrainingRows {
    let mut rows = TrainingRows::default();
    let mut current = dimension;
    for transform in &factory.transforms {
        rows = rows.and(rows_of_transform(*transform, current));
        current = transformed_dimension(*transform, current).unwrap_or(current);
    }
    let codes = match &factory.base {
        Base::Codes(codes) | Base::Graph { codes, .. } => codes,
        Base::Lists { coarse, codes } => {
            rows = rows.and(rows_of_coarse(*coarse));
            codes
        }
    };
    rows = rows.and(rows_of_codes(codes, current));
    match &factory.refinement {
        Some(refinement) => rows.and(rows_of_codes(refinement, dimension)),
        None => rows,
    }
}

pub(super) fn rows_of_transform(transform: Transform, dimension: u64) -> TrainingRows {
    match transform {
        // A random rotation has a seed of its own.
        Transform::Normalization | Transform::Rotation { .. } | Transform::Padding { .. } => TrainingRows::default(),
        Transform::Pca { output } => rows_of_components(output, dimension),
        Transform::Itq { output } => rows_of_hyperplanes(output.unwrap_or(dimension), dimension),
        Transform::Opq { .. } => TrainingRows::per_centroid(CENTROIDS_OF_8_BITS),
    }
}

/// Principal components: as many as there are rows but for the mean (VectorTransform.h, max_points_per_d).
fn rows_of_components(output: u64, dimension: u64) -> TrainingRows {
    TrainingRows { needed: output + 1, wanted: 10 * dimension, usable: 1_000 * dimension }
}

/// `ITQTransform::train` takes ten rows per dimension, and not below 32,768.
fn rows_of_hyperplanes(output: u64, dimension: u64) -> TrainingRows {
    let usable = (10 * dimension).max(32_768);
    TrainingRows { needed: output + 1, wanted: 10 * dimension, usable }
}

fn rows_of_coarse(coarse: Coarse) -> TrainingRows {
    match coarse {
        Coarse::Multi { bits } => TrainingRows::per_centroid(1 << bits.min(31)),
        Coarse::Flat { .. } | Coarse::Graph { .. } => {
            TrainingRows::per_centroid(list_count(coarse).unwrap_or_default())
        }
    }
}

pub(super) fn rows_of_codes(codes: &Codes, dimension: u64) -> TrainingRows {
    match codes {
        Codes::Flat | Codes::Scalar(Scalar::Half | Scalar::Direct) | Codes::Lsh { thresholds: false, .. } => {
            TrainingRows::default()
        }
        Codes::Scalar(Scalar::Ranged) | Codes::Lsh { .. } | Codes::RaBitQ => TrainingRows::for_statistics(),
        Codes::Product { bits, .. } => TrainingRows::per_centroid(1 << bits.min(&31)),
        Codes::ProductFastScan { .. } => TrainingRows::per_centroid(16),
        Codes::Refined { .. } => {
            // IndexIVFPQR.cpp gives the second quantizer up to 1,000 rows per centroid.
            let rows = TrainingRows::per_centroid(CENTROIDS_OF_8_BITS);
            TrainingRows { usable: 1_000 * CENTROIDS_OF_8_BITS, ..rows }
        }
        Codes::Additive(additive) | Codes::AdditiveFastScan { additive, .. } => rows_of_additive(additive),
        Codes::SpectralHash { bits, medians, .. } => {
            let rows = rows_of_hyperplanes(bits.unwrap_or(dimension), dimension);
            if *medians { rows.and(TrainingRows::for_statistics()) } else { rows }
        }
    }
}

fn rows_of_additive(additive: &Additive) -> TrainingRows {
    let largest = additive.bits.iter().max().map_or(1, |bits| 1 << bits.min(&31));
    let mut rows = TrainingRows::per_centroid(largest);
    if additive.is_local_search() {
        // All codebooks are fitted at once; Faiss asks for rows for each of them.
        rows.usable *= u64::try_from(additive.bits.len()).unwrap_or(1);
    }
    match additive.norm {
        Norm::Unstated | Norm::None | Norm::Plain => rows,
        // Faiss warns on stderr below the wanted rows, and no setting of ours reaches that quantizer.
        Norm::FastScan => rows.and(TrainingRows { needed: 16 * WANTED_PER_CENTROID, ..TrainingRows::default() }),
    }
}
