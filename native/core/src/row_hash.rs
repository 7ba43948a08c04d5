//! Which rows train: a pure function of the id and the seed, so it does not depend on partitions or retries.

/// The finaliser of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
pub(crate) fn row_hash(id: i64, seed: u64) -> u64 {
    let mut x = u64::from_ne_bytes(id.to_ne_bytes()) ^ seed;
    x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// Decides which rows are queries of the report, independently of those that train.
pub(crate) fn query_hash(id: i64, seed: u64) -> u64 {
    // Hashed twice, so that neither the seed nor this constant alone relates it to `row_hash`.
    let first = row_hash(id, seed);
    row_hash(i64::from_ne_bytes(first.to_ne_bytes()), 0x5851_F42D_4C95_7F2D)
}

/// The largest hash that a sample of `rate` keeps, or nothing when it keeps no row.
pub(crate) fn largest_kept(rate: f64) -> Option<u64> {
    if rate <= 0.0 {
        return None;
    }
    if rate >= 1.0 {
        return Some(u64::MAX);
    }
    // 2^32 steps are enough to set a rate, and exact in a double.
    let steps = rate * 4_294_967_296.0;
    #[expect(clippy::as_conversions, reason = "0 < steps < 2^32, and a fraction of a step does not matter")]
    let steps = steps as u64;
    Some((steps << 32) | 0xFFFF_FFFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_keeps_about_that_share_of_consecutive_ids() {
        for rate in [0.01, 0.05, 0.5] {
            let limit = largest_kept(rate).unwrap();
            let kept = (0..100_000).filter(|id| row_hash(*id, 1234) <= limit).count();
            let share = f64::from(u32::try_from(kept).unwrap()) / 100_000.0;
            // Five standard deviations of a binomial share.
            assert!((share - rate).abs() < 5.0 * (rate * (1.0 - rate) / 100_000.0).sqrt(), "{share} for {rate}");
        }
        assert_eq!((largest_kept(0.0), largest_kept(1.0)), (None, Some(u64::MAX)));
    }
}
