//! Recall: which share of the true neighbours an index finds.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::cancellation::Cancellation;
use crate::error::{BuildError, Result};
use crate::evaluation::list_balance::ListBalance;
use crate::evaluation::loaded_index::{Found, LoadedIndex, SearchSettings, Setting};
use crate::evaluation::nearest_rows::Neighbours;
use crate::evaluation::queries::Queries;
use crate::numbers::{to_f64, to_u64};
use crate::workers::Workers;

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evaluation {
    /// Rows in all indexes.
    pub rows: u64,
    /// Queries that were searched.
    pub queries: u64,
    /// What the points differ in; absent for exhaustive families, which have one point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub setting: Option<Setting>,
    /// In the order that was asked for.
    pub points: Vec<RecallPoint>,
    /// The inverted lists of all indexes; absent without lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lists: Option<ListBalance>,
}

/// Recall at one value of the setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecallPoint {
    /// The value of the setting; absent when the family has none, or when it was left as the file says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<u64>,
    /// Recall at each k, in the order that was asked for.
    pub recall: Vec<RecallAt>,
    /// Time that one thread spends on a query.
    pub seconds_per_query: f64,
}

/// Which share of the k true neighbours is among the k found, over all queries.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RecallAt {
    /// How many neighbours.
    pub k: usize,
    /// The share, from 0 to 1.
    pub share: f64,
}

impl RecallPoint {
    /// Recall at `k`, if it was measured.
    #[must_use]
    pub fn at(&self, k: usize) -> Option<f64> {
        self.recall.iter().find(|recall| recall.k == k).map(|recall| recall.share)
    }
}

/// Compares what `indexes`, which share the rows as shards do, find for `queries` with the true neighbours, once for
/// each of the `sweep`.
///
/// Recall at k is |the k true neighbours and the k found| / k, where k is the number of rows if there are fewer, over
/// all queries. The query's own row counts on neither side if the queries have ids. Rows that are exactly as far as the
/// k-th true neighbour count as true ones as far as `truth` lists them, so a truth deeper than k is fair to rows that
/// are there twice.
///
/// # Errors
/// [`crate::ErrorKind::InvalidSpec`] if the parts do not fit; [`crate::ErrorKind::Faiss`];
/// [`crate::ErrorKind::Cancelled`].
pub fn evaluate(
    indexes: &[LoadedIndex],
    queries: &Queries,
    truth: &Neighbours,
    ks: &[usize],
    sweep: &[SearchSettings],
    workers: &Workers,
    cancellation: &Cancellation,
) -> Result<Evaluation> {
    let deepest = ks.iter().copied().max().unwrap_or_default();
    if deepest == 0 || ks.contains(&0) {
        return Err(BuildError::invalid("k=0 neighbours are none; at least 1 is allowed"));
    }
    if truth.ids.len() != queries.count() {
        let text = format!("the neighbours of {} queries are no truth for {}", truth.ids.len(), queries.count());
        return Err(BuildError::invalid(text));
    }
    let setting = indexes.first().and_then(LoadedIndex::setting);
    let depth = deepest + usize::from(queries.ids().is_some());
    let points = sweep
        .iter()
        .map(|settings| {
            let found = search_all(indexes, queries, depth, *settings, workers, cancellation)?;
            Ok(RecallPoint {
                value: setting.and_then(|setting| settings.value_for(setting)),
                recall: ks
                    .iter()
                    .map(|k| RecallAt { k: *k, share: recall_at(*k, queries, truth, &found.neighbours) })
                    .collect(),
                seconds_per_query: found.seconds_per_query,
            })
        })
        .collect::<Result<_>>()?;
    Ok(Evaluation {
        rows: indexes.iter().map(LoadedIndex::rows).sum(),
        queries: to_u64(queries.count()),
        setting,
        points,
        lists: ListBalance::of(indexes.iter().flat_map(|index| index.list_sizes().iter().copied()).collect()),
    })
}

/// Searches every index and keeps the nearest of what they find.
fn search_all(
    indexes: &[LoadedIndex],
    queries: &Queries,
    depth: usize,
    settings: SearchSettings,
    workers: &Workers,
    cancellation: &Cancellation,
) -> Result<Found> {
    let mut all = Found { neighbours: vec![Vec::new(); queries.count()], seconds_per_query: 0.0 };
    for index in indexes {
        let found = index.search(queries, depth, settings, workers, cancellation)?;
        all.seconds_per_query += found.seconds_per_query;
        for (ours, others) in all.neighbours.iter_mut().zip(found.neighbours) {
            ours.extend(others);
        }
    }
    if indexes.len() > 1 {
        let sign = if queries.metric().is_similarity() { -1.0 } else { 1.0 };
        for found in &mut all.neighbours {
            // Stable: of equally near rows, those of the first index come first, as in Faiss' IndexShards.
            found.sort_by(|(a, _), (b, _)| (sign * a).total_cmp(&(sign * b)));
            found.truncate(depth);
        }
    }
    Ok(all)
}

fn recall_at(k: usize, queries: &Queries, truth: &Neighbours, found: &[Vec<(f32, i64)>]) -> f64 {
    let (mut all_hits, mut all_wanted) = (0, 0);
    for (query, found) in found.iter().enumerate() {
        let (ids, distances) = (&truth.ids[query], &truth.distances[query]);
        let wanted = k.min(ids.len());
        let Some(farthest) = wanted.checked_sub(1).map(|last| distances[last]) else {
            continue;
        };
        let ties = distances[wanted..].iter().take_while(|distance| **distance == farthest).count();
        let mut left: HashMap<i64, usize> = HashMap::new();
        for id in &ids[..wanted + ties] {
            *left.entry(*id).or_default() += 1;
        }
        let own_left_out = found.iter().filter(|(_, id)| !queries.is_own(query, *id)).take(k);
        let hits = own_left_out
            .filter(|(_, id)| match left.get_mut(id) {
                Some(count) if *count > 0 => {
                    *count -= 1;
                    true
                }
                _ => false,
            })
            .count();
        all_hits += hits.min(wanted);
        all_wanted += wanted;
    }
    if all_wanted == 0 { 1.0 } else { to_f64(to_u64(all_hits)) / to_f64(to_u64(all_wanted)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recall(k: usize, own: Option<i64>, truth: &[(i64, f64)], found: &[i64]) -> f64 {
        let queries = Queries::new(&[0.0], own.map(|id| vec![id]), 1, "l2").unwrap();
        let (ids, distances) = truth.iter().copied().unzip();
        let truth = Neighbours { ids: vec![ids], distances: vec![distances] };
        recall_at(k, &queries, &truth, &[found.iter().map(|id| (0.0, *id)).collect()])
    }

    #[test]
    fn recall_counts_true_neighbours_among_the_found_ones() {
        let truth = [(1, 0.1), (2, 0.2), (3, 0.3), (4, 0.3), (5, 0.4)];
        for (k, own, found, expected) in [
            (1, None, vec![1, 2], 1.0),
            (1, None, vec![2, 1], 0.0),
            (2, None, vec![9, 2], 0.5),
            // As far as the third true neighbour, so as good as it.
            (3, None, vec![1, 2, 4], 1.0),
            (3, None, vec![1, 2, 5], 2.0 / 3.0),
            // The query itself is left out before counting to k.
            (2, Some(7), vec![7, 1, 2], 1.0),
            (2, None, vec![7, 1, 2], 0.5),
            // Fewer rows than asked for.
            (10, None, vec![1, 2, 3, 4, 5], 1.0),
            (10, None, vec![], 0.0),
            // A row found twice is one neighbour.
            (2, None, vec![1, 1], 0.5),
        ] {
            assert_eq!(recall(k, own, &truth, &found), expected, "recall@{k} of {found:?}");
        }
    }
}
