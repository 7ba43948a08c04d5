//! The order of rows by id.

/// Writes the places of `ids` in ascending order of their ids into `order`; places of one id stay as they are. Calls
/// `tie` with the places of every id that occurs more than once.
#[derive(Default)]
pub(crate) struct IdOrder {
    keys: Vec<u64>,
    wide_keys: Vec<(i64, u32)>,
}

impl IdOrder {
    /// `rows` are pairs of an id and a place below 2^32.
    pub(crate) fn sort(
        &mut self,
        rows: impl Iterator<Item = (i64, u32)> + Clone,
        order: &mut Vec<u32>,
        mut tie: impl FnMut(&mut [u32]),
    ) {
        order.clear();
        let (mut least, mut most, mut last_place, mut count) = (i64::MAX, i64::MIN, 0, 0_usize);
        for (id, place) in rows.clone() {
            (least, most, last_place) = (least.min(id), most.max(id), place.max(last_place));
            count += 1;
        }
        if count == 0 {
            return;
        }
        let place_bits = u32::BITS - last_place.leading_zeros();
        let spread = most.abs_diff(least);
        let mut tied = false;
        if spread.leading_zeros() >= place_bits {
            // Id and place in one number: half the memory to sort, and no indirection.
            self.keys.clear();
            self.keys.extend(rows.map(|(id, place)| (id.abs_diff(least) << place_bits) | u64::from(place)));
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
            self.wide_keys.extend(rows);
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
            let ids: Vec<i64> = [5, -3, 5, 0, 99, -99, 5, 0].iter().map(|id| id * scale).collect();
            let rows = ids.iter().copied().zip(10..);
            let (mut order, mut ties) = (Vec::new(), Vec::new());
            IdOrder::default().sort(rows, &mut order, |places| ties.push(places.to_vec()));
            assert_eq!(order, [15, 11, 13, 17, 10, 12, 16, 14], "{scale}");
            assert_eq!(ties, [vec![13, 17], vec![10, 12, 16]]);
        }
        let mut order = vec![7];
        IdOrder::default().sort([(i64::MIN, 0), (i64::MAX, 1)].into_iter().rev(), &mut order, |_| panic!("no tie"));
        assert_eq!(order, [0, 1]);
        IdOrder::default().sort([].into_iter(), &mut order, |_| panic!("no tie"));
        assert_eq!(order, Vec::<u32>::new());
    }
}
