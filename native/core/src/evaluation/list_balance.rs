//! How evenly rows are spread over inverted lists.

use serde::{Deserialize, Serialize};

use crate::numbers::to_f64;

/// Sizes of inverted lists in figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListBalance {
    /// Number of lists.
    pub lists: u64,
    /// Lists without rows.
    pub empty: u64,
    /// Rows of the smallest list.
    pub smallest: u64,
    /// Rows of the list in the middle, by size.
    pub median: u64,
    /// Rows of the list that 99 % of the lists do not exceed.
    pub percentile99: u64,
    /// Rows of the largest list.
    pub largest: u64,
    /// By how much a search takes longer than with lists of equal size: the number of lists times the sum of squared
    /// shares of rows. 1 is perfect.
    pub imbalance: f64,
    /// Width of a bin of the histogram, in rows.
    pub bin_width: u64,
    /// How many lists have a size in each bin; the first bin begins at 0.
    pub histogram: Vec<u64>,
}

/// More bars than this cannot be told apart on a phone.
const MOST_BINS: u64 = 30;

impl ListBalance {
    /// The figures of some lists; nothing without lists.
    pub(crate) fn of(mut sizes: Vec<u64>) -> Option<Self> {
        sizes.sort_unstable();
        let (smallest, largest) = (*sizes.first()?, *sizes.last()?);
        let at = |percent: usize| sizes[(sizes.len() * percent / 100).min(sizes.len() - 1)];
        let rows: f64 = sizes.iter().map(|size| to_f64(*size)).sum();
        let squares: f64 = sizes.iter().map(|size| to_f64(*size).powi(2)).sum();
        let lists = crate::numbers::to_u64(sizes.len());
        let bin_width = round_up((largest + 1).div_ceil(MOST_BINS));
        Some(Self {
            lists,
            empty: crate::numbers::to_u64(sizes.partition_point(|size| *size == 0)),
            smallest,
            median: at(50),
            percentile99: at(99),
            largest,
            imbalance: if rows > 0.0 { to_f64(lists) * squares / (rows * rows) } else { 1.0 },
            bin_width,
            histogram: histogram(&sizes, largest, bin_width),
        })
    }
}

fn histogram(sorted: &[u64], largest: u64, width: u64) -> Vec<u64> {
    let mut left = sorted;
    (1..=largest / width + 1)
        .map(|bin| {
            let (inside, beyond) = left.split_at(left.partition_point(|size| *size < bin * width));
            left = beyond;
            crate::numbers::to_u64(inside.len())
        })
        .collect()
}

/// 1, 2 or 5 times a power of ten: bounds that can be read.
fn round_up(width: u64) -> u64 {
    let power = 10_u64.pow(width.max(1).ilog10());
    [1, 2, 5].map(|digit| digit * power).into_iter().find(|round| *round >= width).unwrap_or(10 * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_the_sizes() {
        let balance = ListBalance::of(vec![30, 0, 10, 0]).unwrap();
        assert_eq!((balance.lists, balance.empty, balance.smallest, balance.largest), (4, 2, 0, 30));
        assert_eq!((balance.median, balance.percentile99), (10, 30));
        assert_eq!(balance.imbalance, 4.0 * 1_000.0 / 1_600.0);
        assert_eq!(balance.histogram.iter().sum::<u64>(), 4);
        assert!(ListBalance::of(Vec::new()).is_none());
        assert_eq!(ListBalance::of(vec![7; 5]).unwrap().imbalance, 1.0);
    }

    #[test]
    fn every_list_is_in_one_of_few_bins_of_round_width() {
        for largest in [0, 1, 29, 30, 31, 999, 123_456] {
            let sizes: Vec<u64> = (0..=largest).step_by(7).chain([largest]).collect();
            let balance = ListBalance::of(sizes.clone()).unwrap();
            assert!(balance.histogram.len() <= 30, "{largest}");
            for (bin, lists) in (0..).zip(&balance.histogram) {
                let inside = sizes.iter().filter(|size| **size / balance.bin_width == bin).count();
                assert_eq!(*lists, u64::try_from(inside).unwrap(), "{largest}");
            }
            let counted: u64 = balance.histogram.iter().sum();
            assert_eq!(counted, balance.lists, "{largest}");
        }
    }
}
