//! A finished index file, ready to be searched.

use std::path::Path;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::cancellation::Cancellation;
use crate::error::{BuildError, Result};
use crate::evaluation::queries::Queries;
use crate::faiss_index::FaissMetric;
use crate::faiss_search::{Dial, SearchableIndex};
use crate::numbers::{to_f64, to_u64};
use crate::workers::Workers;

/// Queries of one call into Faiss, whose code path and rounding depend on the number. The blocks are the same on any
/// number of threads, and a block is short enough for a cancellation to be noticed between two.
const QUERIES_PER_CALL: usize = 32;

/// What decides how thorough a search of an index is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Setting {
    /// Inverted lists that a search visits.
    Nprobe,
    /// Candidates that a search of an HNSW graph keeps.
    EfSearch,
    /// Candidates that a search of an NSG graph keeps, Faiss' `search_L`.
    SearchLength,
}

impl Setting {
    /// The name that users of Faiss know.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Nprobe => "nprobe",
            Self::EfSearch => "efSearch",
            Self::SearchLength => "search_L",
        }
    }
}

/// How thorough a search is. Only the value of the index's own [`Setting`] matters; what is absent stays as it was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SearchSettings {
    /// For indexes with inverted lists.
    pub nprobe: Option<u64>,
    /// For graphs: `efSearch` of HNSW, `search_L` of NSG.
    pub ef_search: Option<u64>,
}

impl SearchSettings {
    /// The settings whose value for `setting` is `value`.
    #[must_use]
    pub fn of(setting: Setting, value: u64) -> Self {
        match setting {
            Setting::Nprobe => Self { nprobe: Some(value), ef_search: None },
            Setting::EfSearch | Setting::SearchLength => Self { nprobe: None, ef_search: Some(value) },
        }
    }

    pub(crate) fn value_for(self, setting: Setting) -> Option<u64> {
        match setting {
            Setting::Nprobe => self.nprobe,
            Setting::EfSearch | Setting::SearchLength => self.ef_search,
        }
    }
}

/// What a search found.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// Distances and ids of each query, nearest first; fewer than asked for when the index found fewer.
    pub(crate) neighbours: Vec<Vec<(f32, i64)>>,
    /// Time that one thread spends on a query, in seconds.
    pub(crate) seconds_per_query: f64,
}

/// An open index file. Whatever Faiss can map stays in the file.
#[derive(Debug)]
pub struct LoadedIndex {
    /// A search that changes a setting excludes others.
    index: Mutex<SearchableIndex>,
    dimension: u64,
    rows: u64,
    setting: Option<Setting>,
    metric: Option<FaissMetric>,
    list_sizes: Vec<u64>,
}

impl LoadedIndex {
    /// Opens an index file of any family.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Faiss`] if Faiss cannot read it.
    pub fn open(path: &Path) -> Result<Self> {
        let index = SearchableIndex::open(path)?;
        Ok(Self {
            dimension: index.dimension(),
            rows: index.rows(),
            setting: index.dial().map(|dial| match dial {
                Dial::Nprobe => Setting::Nprobe,
                Dial::EfSearch => Setting::EfSearch,
                Dial::SearchLength => Setting::SearchLength,
            }),
            metric: index.metric(),
            list_sizes: index.list_sizes()?,
            index: Mutex::new(index),
        })
    }

    /// Components per row.
    #[must_use]
    pub fn dimension(&self) -> u64 {
        self.dimension
    }

    /// Rows in the index.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// What decides how thorough a search is; absent for exhaustive families.
    #[must_use]
    pub fn setting(&self) -> Option<Setting> {
        self.setting
    }

    /// Rows of each inverted list; empty without lists.
    #[must_use]
    pub fn list_sizes(&self) -> &[u64] {
        &self.list_sizes
    }

    /// The `k` nearest rows that the index finds for each query, with all workers.
    pub(crate) fn search(
        &self,
        queries: &Queries,
        k: usize,
        settings: SearchSettings,
        workers: &Workers,
        cancellation: &Cancellation,
    ) -> Result<Found> {
        self.check_fits(queries)?;
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = self.setting.and_then(|setting| settings.value_for(setting)) {
            index.turn_dial(value);
        }
        let index = &*index;
        let k = k.min(usize::try_from(self.rows).unwrap_or(usize::MAX)).max(1);
        let mut neighbours = vec![Vec::new(); queries.count()];
        let pieces: Vec<_> = queries
            .vectors()
            .chunks(QUERIES_PER_CALL * queries.dimension())
            .zip(neighbours.chunks_mut(QUERIES_PER_CALL))
            .collect();
        let spent = Mutex::new(Duration::ZERO);
        workers.each(pieces, |(vectors, neighbours)| {
            cancellation.check()?;
            let began = Instant::now();
            let (distances, ids) = index.search(vectors, k, cancellation)?;
            *spent.lock().unwrap_or_else(PoisonError::into_inner) += began.elapsed();
            for ((found, distances), ids) in neighbours.iter_mut().zip(distances.chunks(k)).zip(ids.chunks(k)) {
                let pairs = distances.iter().copied().zip(ids.iter().copied());
                *found = pairs.take(rows_found(distances, ids)).collect();
            }
            Ok(())
        })?;
        let spent = spent.into_inner().unwrap_or_else(PoisonError::into_inner);
        let seconds_per_query = spent.as_secs_f64() / to_f64(to_u64(queries.count().max(1)));
        Ok(Found { neighbours, seconds_per_query })
    }

    fn check_fits(&self, queries: &Queries) -> Result<()> {
        let dimension = to_u64(queries.dimension());
        if dimension != self.dimension {
            let text = format!("queries of {dimension} dimensions do not fit an index of {}", self.dimension);
            return Err(BuildError::invalid(text));
        }
        if self.metric != Some(queries.metric().in_faiss()) {
            let text = format!("the index ranks by {:?}, not by {:?}", self.metric, queries.metric());
            return Err(BuildError::invalid(text));
        }
        Ok(())
    }
}

/// What Faiss puts where it found fewer rows than asked for. A row may have this id too.
const NO_ROW: i64 = -1;

/// How many rows there are before those that were not found, which come last. Faiss puts the id of none and a distance
/// that no row has, except for packed codes: their distance is the largest of the table, the same for all of them.
fn rows_found(distances: &[f32], ids: &[i64]) -> usize {
    let Some(last) = distances.last() else { return 0 };
    let alike = |(distance, id): &(&f32, &i64)| **id == NO_ROW && distance.to_bits() == last.to_bits();
    let missing = distances.iter().zip(ids).rev().take_while(alike).count();
    let is_beyond_rows = !last.is_finite() || last.abs() == f32::MAX;
    if missing > 1 || is_beyond_rows { ids.len() - missing } else { ids.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_whose_id_is_that_of_no_row_is_found() {
        const MAX: f32 = f32::MAX;
        for (distances, ids, found) in [
            (&[0.5, 1.0, 2.0][..], &[7, -1, 9][..], 3),
            (&[0.5, 1.0, 2.0], &[7, 9, -1], 3),
            (&[0.5, 1.0, MAX], &[7, -1, -1], 2),
            (&[0.5, MAX, MAX], &[-1, -1, -1], 1),
            (&[9.0, -MAX, -MAX], &[-1, -1, -1], 1),
            (&[0.5, f32::INFINITY, f32::INFINITY], &[7, -1, -1], 1),
            (&[0.5, 80.0, 80.0], &[-1, -1, -1], 1),
            (&[MAX, MAX], &[-1, -1], 0),
            (&[], &[], 0),
        ] {
            assert_eq!(rows_found(distances, ids), found, "{distances:?} {ids:?}");
        }
    }
}
