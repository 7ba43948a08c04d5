//! Which family to build where nobody says one.

use serde::{Deserialize, Serialize};

use super::fit::MOST_FLOATS;
use crate::spec::Metric;

/// How a family is chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum FamilyRule {
    /// By what the rows and the dimension are best served with.
    #[default]
    Auto,
    /// `OPQ48[_d'],IVF{rows/20},PQ48`, which jobs on Dataflow have used, changed where it cannot be built.
    Pq48,
}

impl FamilyRule {
    /// A factory string for `rows` rows of `dimension`, and the reason for it.
    pub(crate) fn choose(self, rows: u64, dimension: u64, metric: Metric) -> (String, String) {
        match self {
            Self::Auto => auto(rows, dimension, metric),
            Self::Pq48 => pq48(rows, dimension, metric),
        }
    }
}

fn auto(rows: u64, dimension: u64, metric: Metric) -> (String, String) {
    const EXACT_BELOW: u64 = 10_000;
    const LARGEST_CODE: u64 = 64;
    const ROWS_PER_LIST: u64 = 39;
    if rows < EXACT_BELOW {
        return ("Flat".into(), format!("{rows} rows are few enough for exact search"));
    }
    // The power of two nearest to 4 sqrt(rows), with enough rows for each centroid.
    let wanted = rows.isqrt().saturating_mul(4);
    let below = 1_u64 << wanted.ilog2();
    let nearest = if wanted - below > below / 2 { below * 2 } else { below };
    let nlist = nearest.min(rows / ROWS_PER_LIST);
    if needs_rows(metric) {
        let reason = format!("about 4 sqrt({rows}) lists; this metric needs the rows as they are");
        return (format!("IVF{nlist},Flat"), reason);
    }
    let subquantizers = (1..=LARGEST_CODE).rev().find(|m| dimension.is_multiple_of(*m) && dimension / m >= 4);
    match subquantizers.filter(|m| *m >= 8) {
        Some(m) if is_too_large_for_rotation(dimension) => (
            format!("IVF{nlist},PQ{m}"),
            format!(
                "about 4 sqrt({rows}) lists, and {m} bytes a row; a rotation of {dimension} dimensions is too large"
            ),
        ),
        Some(m) => (
            format!("OPQ{m},IVF{nlist},PQ{m}"),
            format!("about 4 sqrt({rows}) lists, and {m} bytes a row for {dimension} dimensions"),
        ),
        None => (
            format!("IVF{nlist},SQ8"),
            format!("about 4 sqrt({rows}) lists; {dimension} dimensions do not split into sub-quantizers"),
        ),
    }
}

fn pq48(rows: u64, dimension: u64, metric: Metric) -> (String, String) {
    const CODE: u64 = 48;
    const ROWS_PER_LIST: u64 = 20;
    /// Each sub-quantizer has this many centroids.
    const LEAST_ROWS: u64 = 256;
    /// Training takes 39 rows for each list, all in one task.
    const MOST_LISTS: u64 = 1 << 16;
    let nlist = (rows / ROWS_PER_LIST).min(MOST_LISTS);
    let mut reason = format!("a list for every {ROWS_PER_LIST} of {rows} rows, and {CODE} bytes a row");
    let mut corrected = |why: String| {
        reason.push_str("; corrected: ");
        reason.push_str(&why);
    };
    if rows < LEAST_ROWS {
        corrected(format!("PQ{CODE} trains on {LEAST_ROWS} rows at least, so Flat"));
        return ("Flat".into(), reason);
    }
    if rows / ROWS_PER_LIST > MOST_LISTS {
        corrected(format!("{nlist} lists, for more train on more rows than one task should read"));
    }
    let rotated = dimension / CODE * CODE;
    let factory_string = if needs_rows(metric) {
        corrected("this metric needs the rows as they are, so Flat instead of codes".into());
        format!("IVF{nlist},Flat")
    } else if rotated == 0 || (is_too_large_for_rotation(dimension) && rotated != dimension) {
        corrected(format!("{dimension} dimensions do not split into {CODE}, so SQ8, a byte for each"));
        format!("IVF{nlist},SQ8")
    } else if is_too_large_for_rotation(dimension) {
        corrected(format!("a rotation of {dimension} dimensions is too large, so none"));
        format!("IVF{nlist},PQ{CODE}")
    } else if rotated == dimension {
        format!("OPQ{CODE},IVF{nlist},PQ{CODE}")
    } else {
        format!("OPQ{CODE}_{rotated},IVF{nlist},PQ{CODE}")
    };
    (factory_string, reason)
}

fn needs_rows(metric: Metric) -> bool {
    matches!(metric, Metric::L1 | Metric::Linf)
}

fn is_too_large_for_rotation(dimension: u64) -> bool {
    dimension.saturating_mul(dimension) > MOST_FLOATS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_of_48_bytes_gives_the_string_that_it_gave_before_or_says_what_it_corrects() {
        for (rows, dimension, metric, expected, correction) in [
            (1_000_000, 96, Metric::L2, "OPQ48,IVF50000,PQ48", None),
            (1_000_000, 300, Metric::Ip, "OPQ48_288,IVF50000,PQ48", None),
            (1_000_000, 200, Metric::Cosine, "OPQ48_192,IVF50000,PQ48", None),
            (1_000_000, 47, Metric::L2, "IVF50000,SQ8", Some("47 dimensions")),
            (256, 96, Metric::L2, "OPQ48,IVF12,PQ48", None),
            (255, 96, Metric::L2, "Flat", Some("256 rows")),
            (19, 96, Metric::L2, "Flat", Some("256 rows")),
            (1_000_000, 96, Metric::Linf, "IVF50000,Flat", Some("this metric")),
            (100_000_000, 96, Metric::L2, "OPQ48,IVF65536,PQ48", Some("65536 lists")),
        ] {
            let (factory_string, reason) = FamilyRule::Pq48.choose(rows, dimension, metric);
            assert_eq!(factory_string, expected);
            assert_eq!(reason.contains("corrected"), correction.is_some(), "{reason}");
            assert!(correction.is_none_or(|why| reason.contains(why)), "{reason}");
        }
    }
}
