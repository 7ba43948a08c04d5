//! The nearest rows of a query among those seen, in an order that does not depend on when they were seen.

use std::cmp::Ordering;
use std::collections::HashSet;

/// A row and how far it is from a query; a smaller rank is nearer, whatever the metric.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RankedRow {
    pub(crate) rank: f64,
    pub(crate) id: i64,
}

impl RankedRow {
    fn order(&self, other: &Self) -> Ordering {
        self.rank.total_cmp(&other.rank).then(self.id.cmp(&other.id))
    }
}

/// At most `most` rows, the nearest first; of equally near ones the smaller id.
#[derive(Debug, Clone)]
pub(crate) struct NearestRows {
    rows: Vec<RankedRow>,
    most: usize,
    /// A row beyond this rank is left out although there is room for it.
    limit: f64,
}

impl NearestRows {
    pub(crate) fn new(most: usize) -> Self {
        Self { rows: Vec::new(), most, limit: f64::INFINITY }
    }

    /// An empty collection that takes only what the full one would take.
    pub(crate) fn successor(&self) -> Self {
        Self { rows: Vec::new(), most: self.most, limit: self.worst() }
    }

    /// Rows that are farther than this are left out.
    pub(crate) fn worst(&self) -> f64 {
        match self.rows.last() {
            Some(last) if self.rows.len() >= self.most => last.rank.min(self.limit),
            _ => self.limit,
        }
    }

    pub(crate) fn add(&mut self, row: RankedRow) {
        if row.rank > self.worst() {
            return;
        }
        let place = self.rows.partition_point(|other| other.order(&row).is_le());
        self.rows.insert(place, row);
        self.rows.truncate(self.most);
    }

    pub(crate) fn rows(&self) -> &[RankedRow] {
        &self.rows
    }
}

/// The neighbours of each query, the nearest first; of equally near ones the smaller id.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbours {
    /// For each query, the ids of its neighbours: as many as were asked for, or all rows if there are fewer.
    pub ids: Vec<Vec<i64>>,
    /// The distances to them in double precision: squared for L2, similarities for inner product and cosine.
    pub distances: Vec<Vec<f64>>,
}

impl Neighbours {
    /// Of rows that share an id, the nearest stays: for an index that holds every id once.
    pub fn keep_nearest_of_each_id(&mut self) {
        for (ids, distances) in self.ids.iter_mut().zip(&mut self.distances) {
            let mut seen = HashSet::new();
            let first: Vec<bool> = ids.iter().map(|id| seen.insert(*id)).collect();
            let mut kept = first.iter();
            ids.retain(|_| kept.next().is_some_and(|kept| *kept));
            let mut kept = first.iter();
            distances.retain(|_| kept.next().is_some_and(|kept| *kept));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_added_in_any_order_give_the_same_nearest_rows() {
        let rows =
            [(3.0, 7), (1.0, 9), (1.0, 2), (2.0, 5), (3.0, 1), (1.0, 2)].map(|(rank, id)| RankedRow { rank, id });
        for turn in 0..rows.len() {
            let mut nearest = NearestRows::new(4);
            for row in rows.iter().cycle().skip(turn).take(rows.len()) {
                nearest.add(*row);
            }
            let found: Vec<(f64, i64)> = nearest.rows().iter().map(|row| (row.rank, row.id)).collect();
            assert_eq!(found, [(1.0, 2), (1.0, 2), (1.0, 9), (2.0, 5)]);
            let mut next = nearest.successor();
            next.add(RankedRow { rank: 2.5, id: 0 });
            next.add(RankedRow { rank: 2.0, id: 0 });
            assert_eq!(next.rows().len(), 1);
        }
    }
}
