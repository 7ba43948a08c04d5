//! Which settings are worth measuring, and which of them a user should start with.

use crate::evaluation::loaded_index::{LoadedIndex, SearchSettings, Setting};
use crate::evaluation::recall::{Evaluation, RecallPoint};
use crate::numbers::to_f64;

/// Recall at this k decides.
const DECIDING_K: usize = 10;
/// Of the best recall that was measured.
const GOOD_ENOUGH: f64 = 0.99;
/// Rows that all queries of one point may visit: a few minutes of one core at most.
const MOST_VISITS: f64 = 2e9;
/// Settings up to this one are measured whatever they cost.
const ALWAYS_MEASURED: u64 = 64;

/// Settings that show how recall grows: nprobe 1, 2, 4, … up to all lists, or as far as the queries stay affordable;
/// 16 to 512 candidates for graphs; one point for exhaustive families. A function of the indexes and the number of
/// queries alone.
#[must_use]
pub fn default_sweep(indexes: &[LoadedIndex], queries: u64) -> Vec<SearchSettings> {
    match indexes.first().and_then(LoadedIndex::setting) {
        None => vec![SearchSettings::default()],
        Some(Setting::Nprobe) => {
            let rows: u64 = indexes.iter().map(LoadedIndex::rows).sum();
            let lists = indexes.iter().map(|index| index.list_sizes().len()).max().unwrap_or(1);
            nprobes(crate::numbers::to_u64(lists), rows, queries)
                .into_iter()
                .map(|nprobe| SearchSettings::of(Setting::Nprobe, nprobe))
                .collect()
        }
        Some(graph) => [16, 32, 64, 128, 256, 512].map(|value| SearchSettings::of(graph, value)).to_vec(),
    }
}

fn nprobes(nlist: u64, rows: u64, queries: u64) -> Vec<u64> {
    let affordable = |nprobe: u64| to_f64(nprobe) / to_f64(nlist) * to_f64(rows) * to_f64(queries);
    let doubled = std::iter::successors(Some(1_u64), |nprobe| nprobe.checked_mul(2));
    let mut chosen: Vec<u64> = doubled
        .take_while(|nprobe| *nprobe < nlist)
        .take_while(|nprobe| *nprobe <= ALWAYS_MEASURED || affordable(*nprobe) <= MOST_VISITS)
        .collect();
    if nlist <= ALWAYS_MEASURED || affordable(nlist) <= MOST_VISITS {
        chosen.push(nlist);
    }
    chosen
}

/// The smallest value of the setting whose recall@10 is within 1 % of the best measured; without that k, the largest
/// k that was measured decides.
#[must_use]
pub fn suggest(evaluation: &Evaluation) -> Option<u64> {
    let deciding = |point: &RecallPoint| {
        let deepest = point.recall.iter().max_by_key(|recall| recall.k).map(|recall| recall.share);
        point.at(DECIDING_K).or(deepest).unwrap_or_default()
    };
    let best = evaluation.points.iter().map(deciding).fold(0.0, f64::max);
    let good = evaluation.points.iter().filter(|point| deciding(point) >= GOOD_ENOUGH * best);
    good.filter_map(|point| point.value).min()
}

/// An nprobe to start with when nothing was measured: the square root of the number of lists, rounded up. Visiting
/// 1 / sqrt(nlist) of the rows costs about as much as finding the lists to visit.
#[must_use]
pub fn rule_of_thumb(nlist: u64) -> u64 {
    let root = nlist.isqrt();
    if root * root < nlist { root + 1 } else { root.max(1) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::RecallAt;

    fn measured(points: &[(u64, f64)]) -> Evaluation {
        let points = points
            .iter()
            .map(|(value, recall)| RecallPoint {
                value: Some(*value),
                recall: vec![RecallAt { k: 1, share: 1.0 }, RecallAt { k: 10, share: *recall }],
                seconds_per_query: 0.0,
            })
            .collect();
        Evaluation { rows: 1, queries: 1, setting: Some(Setting::Nprobe), points, lists: None }
    }

    #[test]
    fn the_smallest_nprobe_within_one_percent_of_the_plateau_is_suggested() {
        let points = [(1, 0.3), (2, 0.6), (4, 0.7), (8, 0.792), (16, 0.799), (32, 0.8)];
        assert_eq!(suggest(&measured(&points)), Some(8));
        assert_eq!(suggest(&measured(&[(1, 0.0), (2, 0.0)])), Some(1));
        assert_eq!(suggest(&measured(&[])), None);
    }

    #[test]
    fn nprobe_doubles_up_to_all_lists_unless_queries_become_too_expensive() {
        assert_eq!(nprobes(1, 100, 200), [1]);
        assert_eq!(nprobes(20, 1_000, 200), [1, 2, 4, 8, 16, 20]);
        assert_eq!(nprobes(64, 10_000_000_000, 200).last(), Some(&64));
        // 200 queries of a billion rows: 1 % of the lists.
        assert_eq!(nprobes(65_536, 1_000_000_000, 200).last(), Some(&512));
    }

    #[test]
    fn the_rule_of_thumb_is_the_square_root() {
        assert_eq!([1, 2, 16, 17, 4096].map(rule_of_thumb), [1, 2, 4, 5, 64]);
    }
}
