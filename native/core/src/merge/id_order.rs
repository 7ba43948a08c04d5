//! The order of rows by id.

use std::ops::Range;

/// Writes the places of `ids` in ascending order of their ids into `order`; places of one id stay as they are. Calls
/// `tie` with the places of every id that occurs more than once.
#[derive(Default)]
pub(crate) struct IdOrder {
    keys: Vec<u64>,
    wide_keys: Vec<(i64, u32)>,
}

impl IdOrder {
    /// Orders the rows at `segments` of `ids`; a row's place is its number in `ids`.
    pub(crate) fn sort<T>(
        &mut self,
        ids: &[T],
        id_of: impl Fn(&T) -> i64 + Copy,
        segments: &[Range<u32>],
        order: &mut Vec<u32>,
        mut tie: impl FnMut(&mut [u32]),
    ) {
        order.clear();
        let rows = |segment: &Range<u32>| match (usize::try_from(segment.start), usize::try_from(segment.end)) {
            (Ok(start), Ok(end)) => &ids[start..end],
            _ => &[],
        };
        let (mut least, mut most) = (i64::MAX, i64::MIN);
        // Ids ascend within a segment.
        for segment in segments {
            if let (Some(first), Some(last)) = (rows(segment).first(), rows(segment).last()) {
                (least, most) = (least.min(id_of(first)), most.max(id_of(last)));
            }
        }
        let Some(end) = segments.iter().map(|segment| segment.end).max().filter(|_| least <= most) else { return };
        let place_bits = u32::BITS - end.leading_zeros();
        let spread = most.abs_diff(least);
        let mut tied = false;
        if spread.leading_zeros() >= place_bits {
            // Id and place in one number: half the memory to sort, and no indirection.
            self.keys.clear();
            for segment in segments {
                let keys = rows(segment).iter().zip(segment.clone());
                self.keys.extend(keys.map(|(id, place)| (id_of(id).abs_diff(least) << place_bits) | u64::from(place)));
            }
            self.keys.sort_unstable();
            let mask = (1_u64 << place_bits) - 1;
            let mut last = u64::MAX;
            order.extend(self.keys.iter().map(|key| {
                tied |= key >> place_bits == last;
                last = key >> place_bits;
                u32::try_from(key & mask).unwrap_or(0)
            }));
            if tied {
                let mut begin = 0;
                for group in self.keys.chunk_by(|a, b| a >> place_bits == b >> place_bits) {
                    if group.len() > 1 {
                        tie(&mut order[begin..begin + group.len()]);
                    }
                    begin += group.len();
                }
            }
        } else {
            self.wide_keys.clear();
            for segment in segments {
                self.wide_keys.extend(rows(segment).iter().map(id_of).zip(segment.clone()));
            }
            self.wide_keys.sort_unstable();
            order.extend(self.wide_keys.iter().map(|(_, place)| *place));
            let mut begin = 0;
            for group in self.wide_keys.chunk_by(|a, b| a.0 == b.0) {
                if group.len() > 1 {
                    tie(&mut order[begin..begin + group.len()]);
                }
                begin += group.len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_and_far_ids_are_ordered_and_their_ties_reported() {
        for scale in [1, i64::MAX / 100] {
            let ids: Vec<i64> = [7, -3, 5, 5, 99, -99, 0, 0, 5].iter().map(|id| id * scale).collect();
            let (mut order, mut ties) = (Vec::new(), Vec::new());
            let segments = [1..3, 3..5, 5..6, 6..9];
            IdOrder::default().sort(&ids, |id| *id, &segments, &mut order, |places| ties.push(places.to_vec()));
            assert_eq!(order, [5, 1, 6, 7, 2, 3, 8, 4], "{scale}");
            assert_eq!(ties, [vec![6, 7], vec![2, 3, 8]]);
        }
        let mut order = vec![7];
        let ids = [i64::MAX, i64::MIN];
        IdOrder::default().sort(&ids, |id| *id, &[0..1, 1..2], &mut order, |_| panic!("no tie"));
        assert_eq!(order, [1, 0]);
        IdOrder::default().sort(&ids, |id| *id, &[], &mut order, |_| panic!("no tie"));
        assert_eq!(order, Vec::<u32>::new());
    }
}
