//! The rows whose neighbours are looked for.

use crate::error::{BuildError, Result};
use crate::ledger::Ledger;
use crate::numbers::{to_u64, to_usize};
use crate::spec::{IndexSpec, Metric};
use crate::vectors::RowFilter;

/// Checked queries, scaled to length 1 for cosine.
#[derive(Debug, Clone)]
pub struct Queries {
    vectors: Vec<f32>,
    ids: Option<Vec<i64>>,
    dimension: usize,
    metric: Metric,
}

impl Queries {
    /// Queries as row-major `vectors` of `dimension` components, for a metric as a spec names it. With `ids`, one for
    /// each query, the queries are rows of the data, and rows of the same id are no neighbours of theirs.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidSpec`] for an unknown metric, lengths that do not fit, and a query that no distance
    /// can be computed for.
    pub fn new(vectors: &[f32], ids: Option<Vec<i64>>, dimension: usize, metric: &str) -> Result<Self> {
        let pairs = [("dimension", dimension.to_string()), ("metric", metric.to_owned())];
        let spec = IndexSpec::from_pairs(&pairs.map(|(key, value)| (key.to_owned(), value)))?;
        Self::of_metric(vectors, ids, to_usize(spec.dimension)?, spec.metric)
    }

    pub(crate) fn of_metric(vectors: &[f32], ids: Option<Vec<i64>>, dimension: usize, metric: Metric) -> Result<Self> {
        let count = vectors.len() / dimension.max(1);
        if ids.as_ref().is_some_and(|ids| ids.len() != count) {
            let given = ids.map_or(0, |ids| ids.len());
            return Err(BuildError::invalid(format!(
                "{given} ids do not fit {count} queries of {dimension} dimensions"
            )));
        }
        let numbers: Vec<i64> = (0..).take(count).collect();
        let mut filter = RowFilter::new(dimension, metric);
        let mut prepared = Vec::with_capacity(vectors.len());
        filter.each(&numbers, vectors, |_, row| {
            prepared.extend_from_slice(row);
            Ok(())
        })?;
        let ledger: &Ledger = filter.ledger();
        if ledger.rows() > 0 {
            let found = ledger.describe(to_u64(dimension)).replace("id", "number");
            return Err(BuildError::invalid(format!(
                "{} of {count} queries cannot be searched: {found}",
                ledger.rows()
            )));
        }
        Ok(Self { vectors: prepared, ids, dimension, metric })
    }

    /// Rows as an index sees them: checked, and scaled where the metric asks for it.
    pub(crate) fn of_index_rows(vectors: Vec<f32>, ids: Vec<i64>, dimension: usize, metric: Metric) -> Self {
        Self { vectors, ids: Some(ids), dimension, metric }
    }

    /// Number of queries.
    #[must_use]
    pub fn count(&self) -> usize {
        self.vectors.len() / self.dimension
    }

    /// Components of each.
    #[must_use]
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// The queries as an index sees them.
    #[must_use]
    pub fn vectors(&self) -> &[f32] {
        &self.vectors
    }

    pub(crate) fn ids(&self) -> Option<&[i64]> {
        self.ids.as_deref()
    }

    /// Whether `id` is that of the query itself.
    pub(crate) fn is_own(&self, query: usize, id: i64) -> bool {
        self.ids.as_ref().is_some_and(|ids| ids[query] == id)
    }

    pub(crate) fn metric(&self) -> Metric {
        self.metric
    }

    pub(crate) fn vector(&self, query: usize) -> &[f32] {
        &self.vectors[query * self.dimension..(query + 1) * self.dimension]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_that_have_no_distance_are_refused_with_their_number() {
        for (vectors, ids, metric, part) in [
            (vec![1.0, 2.0, f32::NAN, 0.0], None, "l2", "[number 1]"),
            (vec![0.0, 0.0, 1.0, 0.0], None, "cosine", "[number 0]"),
            (vec![1.0, 2.0, 3.0], None, "l2", "3 floats"),
            (vec![1.0, 2.0], Some(vec![1, 2]), "ip", "2 ids do not fit 1 queries"),
            (vec![1.0, 2.0], None, "euclid", "l2, ip, cosine"),
        ] {
            let error = Queries::new(&vectors, ids, 2, metric).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}
