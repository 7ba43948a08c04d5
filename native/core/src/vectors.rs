//! Rows on their way in: checked, and scaled to length 1 for cosine.

use crate::error::{BuildError, Result};
use crate::ledger::{BadRow, Ledger};
use crate::spec::Metric;

/// Checks rows and keeps the ledger of those that are left out.
#[derive(Debug)]
pub(crate) struct RowFilter {
    dimension: usize,
    metric: Metric,
    ledger: Ledger,
    scaled: Vec<f32>,
}

impl RowFilter {
    pub(crate) fn new(dimension: usize, metric: Metric) -> Self {
        Self { dimension, metric, ledger: Ledger::default(), scaled: Vec::with_capacity(dimension) }
    }

    /// Calls `keep` with each row that an index can hold, in order, as the index will see it.
    pub(crate) fn each(
        &mut self,
        ids: &[i64],
        vectors: &[f32],
        mut keep: impl FnMut(i64, &[f32]) -> Result<()>,
    ) -> Result<()> {
        if vectors.len() != ids.len() * self.dimension {
            let (ids, floats, dimension) = (ids.len(), vectors.len(), self.dimension);
            return Err(BuildError::invalid(format!("{ids} ids do not fit {floats} floats of {dimension} dimensions")));
        }
        for (id, row) in ids.iter().zip(vectors.chunks_exact(self.dimension)) {
            if !row.iter().all(|component| component.is_finite()) {
                self.ledger.record(BadRow::NotFinite, Some(*id), None);
            } else if self.metric != Metric::Cosine {
                if squared_norm(row) > MOST_SQUARED_NORM {
                    self.ledger.record(BadRow::TooLarge, Some(*id), None);
                } else {
                    keep(*id, row)?;
                }
            } else if self.scale(row) {
                keep(*id, &self.scaled)?;
            } else {
                self.ledger.record(BadRow::ZeroNorm, Some(*id), None);
            }
        }
        Ok(())
    }

    pub(crate) fn ledger_mut(&mut self) -> &mut Ledger {
        &mut self.ledger
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Sums in double precision, in order: the result depends on the row alone, not on the CPU.
    fn scale(&mut self, row: &[f32]) -> bool {
        let norm = squared_norm(row).sqrt();
        if norm == 0.0 {
            return false;
        }
        self.scaled.clear();
        #[expect(clippy::as_conversions, reason = "rounds a quotient of at most 1 to single precision")]
        self.scaled.extend(row.iter().map(|component| (f64::from(*component) / norm) as f32));
        true
    }
}

/// Two rows of this squared norm are at most `f32::MAX` apart, squared. Beyond it distances overflow, and Faiss then
/// leaves the list of a row undefined.
const MOST_SQUARED_NORM: f64 = 3.402_823_466e38 / 4.0;

fn squared_norm(row: &[f32]) -> f64 {
    row.iter().map(|component| f64::from(*component).powi(2)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(metric: Metric, vectors: &[f32]) -> (Vec<f32>, u64) {
        let ids: Vec<i64> = (0..).take(vectors.len() / 2).collect();
        let mut filter = RowFilter::new(2, metric);
        let mut rows = Vec::new();
        filter
            .each(&ids, vectors, |_, row| {
                rows.extend_from_slice(row);
                Ok(())
            })
            .unwrap();
        (rows, filter.ledger().rows())
    }

    #[test]
    fn rows_that_are_not_finite_are_left_out_and_counted() {
        let vectors = [1.0, 2.0, f32::NAN, 0.0, 0.0, f32::INFINITY, 0.0, 0.0];
        assert_eq!(kept(Metric::L2, &vectors), (vec![1.0, 2.0, 0.0, 0.0], 2));
    }

    #[test]
    fn rows_whose_distances_would_overflow_are_left_out_and_counted() {
        assert_eq!(kept(Metric::L2, &[9e18, 0.0, 1e19, 0.0, f32::MAX, 1.0]), (vec![9e18, 0.0], 2));
    }

    #[test]
    fn cosine_scales_rows_and_leaves_out_zero_rows_only() {
        let tiny = f32::MIN_POSITIVE / 4.0;
        assert_eq!(kept(Metric::Cosine, &[3.0, 4.0, 0.0, 0.0, tiny, 0.0]), (vec![0.6, 0.8, 1.0, 0.0], 1));
        assert_eq!(kept(Metric::Cosine, &[f32::MAX, 0.0]), (vec![1.0, 0.0], 0));
    }
}
