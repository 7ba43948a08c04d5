//! Exact nearest neighbours of some queries, found while all rows stream by once.
//!
//! Single-precision matrix products leave out rows that cannot be among the nearest; the distance of every other row is
//! then computed in double precision, component by component. What a product says depends on how rows were blocked;
//! it only ever errs towards the second step, so the result is a function of the rows alone.

use std::sync::{Arc, Mutex, PoisonError};

use crate::cancellation::Cancellation;
use crate::error::{BuildError, Result};
use crate::evaluation::nearest_rows::{NearestRows, Neighbours, RankedRow};
use crate::evaluation::queries::Queries;
use crate::faiss_search::inner_products;
use crate::spec::Metric;
use crate::vectors::RowFilter;
use crate::workers::Workers;

/// Rows and queries of one matrix product: a megabyte of products.
const ROWS_PER_BLOCK: usize = 256;
const QUERIES_PER_BLOCK: usize = 1024;

/// The nearest rows of each query among those appended. Memory: the queries, `k` rows for each, and about a megabyte
/// for each worker.
#[derive(Debug)]
pub struct ExactSearch {
    queries: Arc<Queries>,
    bounds: Vec<QueryBound>,
    nearest: Vec<NearestRows>,
    filter: RowFilter,
}

impl ExactSearch {
    /// Looks for the `k` nearest rows of each query.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidSpec`] if `k` is 0.
    pub fn new(queries: Arc<Queries>, k: usize) -> Result<Self> {
        if k == 0 {
            return Err(BuildError::invalid("k=0 neighbours are none; at least 1 is allowed"));
        }
        Ok(Self {
            bounds: (0..queries.count())
                .map(|query| QueryBound::new(queries.vector(query), queries.metric()))
                .collect(),
            nearest: vec![NearestRows::new(k); queries.count()],
            filter: RowFilter::new(queries.dimension(), queries.metric()),
            queries,
        })
    }

    /// Looks at some rows, as they are in the data: for cosine they are scaled here. Rows that no index can hold are
    /// left out.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidSpec`] if ids and vectors do not fit; [`crate::ErrorKind::Cancelled`].
    pub fn append(
        &mut self,
        ids: &[i64],
        vectors: &[f32],
        workers: &Workers,
        cancellation: &Cancellation,
    ) -> Result<()> {
        let (mut kept_ids, mut kept) = (Vec::with_capacity(ids.len()), Vec::with_capacity(vectors.len()));
        self.filter.each(ids, vectors, |id, row| {
            kept_ids.push(id);
            kept.extend_from_slice(row);
            Ok(())
        })?;
        self.append_checked(&kept_ids, &kept, workers, cancellation)
    }

    /// Looks at rows that a [`RowFilter`] let through.
    pub(crate) fn append_checked(
        &mut self,
        ids: &[i64],
        vectors: &[f32],
        workers: &Workers,
        cancellation: &Cancellation,
    ) -> Result<()> {
        let dimension = self.queries.dimension();
        let rows_per_piece = ids.len().div_ceil(workers.count()).max(ROWS_PER_BLOCK);
        let pieces: Vec<_> = ids.chunks(rows_per_piece).zip(vectors.chunks(rows_per_piece * dimension)).collect();
        let found = Mutex::new(Vec::new());
        workers.each(pieces, |(ids, vectors)| {
            let nearest = self.nearest_of(ids, vectors, cancellation)?;
            found.lock().unwrap_or_else(PoisonError::into_inner).push(nearest);
            Ok(())
        })?;
        for piece in found.into_inner().unwrap_or_else(PoisonError::into_inner) {
            self.take(&piece);
        }
        Ok(())
    }

    /// Takes over what another search of the same queries found among other rows.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidSpec`] if the other search had another number of queries.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        if other.nearest.len() != self.nearest.len() {
            let (ours, theirs) = (self.nearest.len(), other.nearest.len());
            return Err(BuildError::invalid(format!("results of {theirs} queries cannot join those of {ours}")));
        }
        self.take(&other.nearest);
        Ok(())
    }

    /// The neighbours among all rows that were appended.
    #[must_use]
    pub fn finish(self) -> Neighbours {
        let sign = if self.queries.metric().is_similarity() { -1.0 } else { 1.0 };
        let every = |row: &NearestRows| -> (Vec<i64>, Vec<f64>) {
            row.rows().iter().map(|row| (row.id, sign * row.rank)).unzip()
        };
        let (ids, distances) = self.nearest.iter().map(every).unzip();
        Neighbours { ids, distances }
    }

    pub(crate) fn nearest(&self) -> &[NearestRows] {
        &self.nearest
    }

    /// Takes over one row that another search found.
    pub(crate) fn add(&mut self, query: usize, rank: f64, id: i64) {
        if let Some(nearest) = self.nearest.get_mut(query) {
            nearest.add(RankedRow { rank, id });
        }
    }

    fn take(&mut self, others: &[NearestRows]) {
        for (ours, others) in self.nearest.iter_mut().zip(others) {
            others.rows().iter().for_each(|row| ours.add(*row));
        }
    }

    fn nearest_of(&self, ids: &[i64], vectors: &[f32], cancellation: &Cancellation) -> Result<Vec<NearestRows>> {
        let (queries, dimension) = (&*self.queries, self.queries.dimension());
        let mut nearest: Vec<NearestRows> = self.nearest.iter().map(NearestRows::successor).collect();
        let mut estimates = Vec::new();
        for (ids, rows) in ids.chunks(ROWS_PER_BLOCK).zip(vectors.chunks(ROWS_PER_BLOCK * dimension)) {
            let squared_norms: Vec<f64> = rows.chunks_exact(dimension).map(squared_norm).collect();
            let norms: Vec<f64> = squared_norms.iter().map(|squared| squared.sqrt()).collect();
            for begin in (0..queries.count()).step_by(QUERIES_PER_BLOCK) {
                cancellation.check()?;
                let end = (begin + QUERIES_PER_BLOCK).min(queries.count());
                estimates.resize((end - begin) * ids.len(), 0.0);
                let some = &queries.vectors()[begin * dimension..end * dimension];
                estimate(queries.metric(), dimension, some, rows, &mut estimates, cancellation)?;
                for (query, estimates) in (begin..end).zip(estimates.chunks_exact(ids.len())) {
                    let (bound, nearest) = (&self.bounds[query], &mut nearest[query]);
                    for (row, estimate) in estimates.iter().enumerate() {
                        let least = bound.least_rank(*estimate, squared_norms[row], norms[row]);
                        // Negated, so that a rank that is no number is looked at closely.
                        let too_far = least > nearest.worst();
                        if !too_far && !queries.is_own(query, ids[row]) {
                            let vector = &rows[row * dimension..(row + 1) * dimension];
                            let rank = exact_rank(queries.metric(), queries.vector(query), vector);
                            nearest.add(RankedRow { rank, id: ids[row] });
                        }
                    }
                }
            }
        }
        Ok(nearest)
    }
}

/// What bounds the rank of a row from below, given the estimate of its product with, or its distance from, a query.
///
/// In single precision (u = 2^-24) and in any order of summation, an inner product of d terms is off by at most
/// d u / (1 - d u) |x| |y| (Higham, "Accuracy and Stability of Numerical Algorithms", section 3.1), a sum of absolute
/// differences by at most (d + 1) u / (1 - (d + 1) u) of itself, and each term by the smallest normal number where it
/// underflows. `slack` is larger than these, and the difference covers the rounding of everything in double precision.
#[derive(Debug, Clone, Copy)]
struct QueryBound {
    constant: f64,
    squared_norm: f64,
    norm: f64,
    estimate: f64,
}

impl QueryBound {
    fn new(query: &[f32], metric: Metric) -> Self {
        let dimension = f64::from(u32::try_from(query.len()).unwrap_or(u32::MAX));
        let slack = 1.25 * (dimension + 8.0) * f64::from(f32::EPSILON) / 2.0;
        let underflow = 4.0 * dimension * f64::from(f32::MIN_POSITIVE);
        let squared = squared_norm(query);
        match metric {
            // |q - x|^2 = |q|^2 + |x|^2 - 2 q.x, and 2 |q| |x| <= |q|^2 + |x|^2.
            Metric::L2 => Self {
                constant: squared * (1.0 - slack) - underflow,
                squared_norm: 1.0 - slack,
                norm: 0.0,
                estimate: -2.0,
            },
            Metric::Ip | Metric::Cosine => {
                Self { constant: -underflow, squared_norm: 0.0, norm: -slack * squared.sqrt(), estimate: -1.0 }
            }
            Metric::L1 | Metric::Linf => {
                Self { constant: -underflow, squared_norm: 0.0, norm: 0.0, estimate: 1.0 - slack }
            }
        }
    }

    fn least_rank(&self, estimate: f32, squared_norm: f64, norm: f64) -> f64 {
        self.constant + self.squared_norm * squared_norm + self.norm * norm + self.estimate * f64::from(estimate)
    }
}

/// Inner products, or distances where the metric has none, of all queries with all rows, query after query.
fn estimate(
    metric: Metric,
    dimension: usize,
    queries: &[f32],
    rows: &[f32],
    estimates: &mut [f32],
    cancellation: &Cancellation,
) -> Result<()> {
    let distance = match metric {
        Metric::L2 | Metric::Ip | Metric::Cosine => return inner_products(dimension, queries, rows, estimates),
        Metric::L1 => |a: &[f32], b: &[f32]| fold_lanes(a, b, |sum, difference| sum + difference).iter().sum(),
        Metric::Linf => |a: &[f32], b: &[f32]| fold_lanes(a, b, f32::max).into_iter().fold(0.0, f32::max),
    };
    let count = rows.len() / dimension;
    for (query, estimates) in queries.chunks_exact(dimension).zip(estimates.chunks_exact_mut(count)) {
        cancellation.check()?;
        for (row, estimate) in rows.chunks_exact(dimension).zip(estimates) {
            *estimate = distance(query, row);
        }
    }
    Ok(())
}

/// Independent sums (or maxima) of absolute differences, so that the compiler can use vector registers.
fn fold_lanes(a: &[f32], b: &[f32], join: impl Fn(f32, f32) -> f32) -> [f32; 16] {
    let mut lanes = [0.0; 16];
    let (whole_a, rest_a) = a.as_chunks::<16>();
    let (whole_b, rest_b) = b.as_chunks::<16>();
    for (a, b) in whole_a.iter().zip(whole_b) {
        for lane in 0..16 {
            lanes[lane] = join(lanes[lane], (a[lane] - b[lane]).abs());
        }
    }
    for (lane, (a, b)) in rest_a.iter().zip(rest_b).enumerate() {
        lanes[lane] = join(lanes[lane], (a - b).abs());
    }
    lanes
}

/// In double precision and in the order of the components: a function of the two rows alone.
fn exact_rank(metric: Metric, query: &[f32], row: &[f32]) -> f64 {
    let pairs = query.iter().zip(row).map(|(a, b)| (f64::from(*a), f64::from(*b)));
    match metric {
        Metric::L2 => pairs.map(|(a, b)| (a - b).powi(2)).sum(),
        Metric::Ip | Metric::Cosine => -pairs.map(|(a, b)| a * b).sum::<f64>(),
        Metric::L1 => pairs.map(|(a, b)| (a - b).abs()).sum(),
        Metric::Linf => pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max),
    }
}

fn squared_norm(row: &[f32]) -> f64 {
    row.iter().map(|component| f64::from(*component).powi(2)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_builds::Rows;

    const METRICS: [Metric; 5] = [Metric::L2, Metric::Ip, Metric::Cosine, Metric::L1, Metric::Linf];

    fn search(rows: &Rows, queries: &Arc<Queries>, batch: usize, threads: usize) -> Neighbours {
        let workers = Workers::new(threads, "test").unwrap();
        let mut search = ExactSearch::new(Arc::clone(queries), 20).unwrap();
        for (ids, vectors) in rows.ids.chunks(batch).zip(rows.vectors.chunks(batch * rows.dimension)) {
            search.append(ids, vectors, &workers, &Cancellation::default()).unwrap();
        }
        search.finish()
    }

    fn queries(rows: &Rows, metric: Metric) -> Arc<Queries> {
        let some = rows.select((0..50).map(|row| row * 11));
        Arc::new(Queries::of_metric(&some.vectors, Some(some.ids), rows.dimension, metric).unwrap())
    }

    #[test]
    fn neighbours_are_those_of_comparing_every_pair_in_double_precision() {
        for dimension in [5, 33] {
            // Far from the origin, where |q|^2 + |x|^2 - 2 q.x loses most of its digits in single precision.
            let mut rows = Rows::new(1_500, dimension);
            rows.vectors.iter_mut().for_each(|component| *component += 300.0);
            for metric in METRICS {
                let queries = queries(&rows, metric);
                let found = search(&rows, &queries, 700, 1);
                let mut scaled = Vec::new();
                let mut filter = RowFilter::new(dimension, metric);
                filter
                    .each(&rows.ids, &rows.vectors, |id, row| {
                        scaled.push((id, row.to_vec()));
                        Ok(())
                    })
                    .unwrap();
                for query in 0..queries.count() {
                    let others = scaled.iter().filter(|(id, _)| !queries.is_own(query, *id));
                    let mut all: Vec<(f64, i64)> =
                        others.map(|(id, row)| (exact_rank(metric, queries.vector(query), row), *id)).collect();
                    all.sort_by(|a, b| a.partial_cmp(b).unwrap());
                    let expected: Vec<i64> = all[..20].iter().map(|(_, id)| *id).collect();
                    assert_eq!(found.ids[query], expected, "{metric:?}, query {query}");
                }
            }
        }
    }

    #[test]
    fn order_batches_threads_and_merging_change_nothing() {
        let mut rows = Rows::new(4_000, 24);
        // Equal vectors under different ids: equal distances everywhere.
        rows.vectors.copy_within(0..24 * 1_000, 24 * 2_000);
        for metric in METRICS {
            let queries = queries(&rows, metric);
            let reference = search(&rows, &queries, 4_000, 1);
            let shuffled = rows.select((0..4_000).rev());
            for (batch, threads) in [(1, 1), (77, 2), (4_000, 3)] {
                assert_eq!(search(&shuffled, &queries, batch, threads), reference, "{metric:?}");
            }
            let mut parts: Vec<ExactSearch> = Vec::new();
            for part in rows.partitions(3) {
                let mut search = ExactSearch::new(Arc::clone(&queries), 20).unwrap();
                let workers = Workers::new(1, "test").unwrap();
                search.append(&part.ids, &part.vectors, &workers, &Cancellation::default()).unwrap();
                parts.push(search);
            }
            let mut whole = parts.pop().unwrap();
            parts.iter().for_each(|part| whole.merge(part).unwrap());
            assert_eq!(whole.finish(), reference, "{metric:?}");
        }
    }

    #[test]
    fn rows_that_no_index_holds_are_no_neighbours() {
        let queries = Arc::new(Queries::new(&[1.0, 0.0], None, 2, "cosine").unwrap());
        let mut search = ExactSearch::new(queries, 5).unwrap();
        let workers = Workers::new(1, "test").unwrap();
        let rows = [0.0, 0.0, f32::NAN, 1.0, 3.0, 4.0, 2.0, 0.0];
        search.append(&[1, 2, 3, 4], &rows, &workers, &Cancellation::default()).unwrap();
        let found = search.finish();
        assert_eq!(found.ids, [vec![4, 3]]);
        assert!((found.distances[0][1] - 0.6).abs() < 1e-7, "{found:?}");
    }

    #[test]
    fn a_cancelled_search_stops() {
        let rows = Rows::new(600, 8);
        let mut search = ExactSearch::new(queries(&rows, Metric::L1), 5).unwrap();
        let cancellation = Cancellation::default();
        cancellation.cancel();
        let workers = Workers::new(1, "test").unwrap();
        let error = search.append(&rows.ids, &rows.vectors, &workers, &cancellation).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Cancelled);
    }
}
