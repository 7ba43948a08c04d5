//! CRC-32C of a sequence of bytes whose ranges are read or written in any order.
//!
//! The checksum of a concatenation is the exclusive or of the second part's checksum and the first part's, shifted by
//! the length of the second: a multiplication by x^(8·length) modulo the polynomial. So every range contributes its
//! own checksum, shifted by what follows it, and the order of the contributions does not matter.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::numbers::to_u64;

/// Castagnoli's polynomial, bits reversed.
const POLYNOMIAL: u32 = 0x82F6_3B78;
/// x^0 in reversed bits.
const ONE: u32 = 1 << 31;

/// x^(8·b·256^k) for every byte b at place k of a length.
static POWERS: [[u32; 256]; 8] = powers();

const fn powers() -> [[u32; 256]; 8] {
    let mut powers = [[ONE; 256]; 8];
    // x^8: ONE shifted by eight.
    let mut step = ONE >> 8;
    let mut k = 0;
    while k < 8 {
        let mut byte = 1;
        while byte < 256 {
            powers[k][byte] = multiply(powers[k][byte - 1], step);
            byte += 1;
        }
        step = multiply(powers[k][255], step);
        k += 1;
    }
    powers
}

/// The product of two polynomials modulo [`POLYNOMIAL`], without branches that nothing could predict.
const fn multiply(mut a: u32, mut b: u32) -> u32 {
    let mut product = 0;
    let mut bit = 0;
    while bit < u32::BITS {
        product ^= b & 0_u32.wrapping_sub(a >> 31);
        a <<= 1;
        b = (b >> 1) ^ (POLYNOMIAL & 0_u32.wrapping_sub(b & 1));
        bit += 1;
    }
    product
}

/// The checksum of two sequences of bytes, one after the other; the second has `bytes` bytes.
pub(crate) fn joined(first: u32, second: u32, bytes: u64) -> u32 {
    shifted(first, bytes) ^ second
}

/// What `checksum` contributes when `bytes` bytes follow it.
fn shifted(mut checksum: u32, bytes: u64) -> u32 {
    for (powers, byte) in POWERS.iter().zip(bytes.to_le_bytes()) {
        if byte != 0 {
            checksum = multiply(checksum, powers[usize::from(byte)]);
        }
    }
    checksum
}

/// The checksum of `length` bytes, from ranges that come in any order and from any thread.
#[derive(Debug)]
pub(crate) struct RangesChecksum {
    length: u64,
    sum: AtomicU32,
    covered: AtomicU64,
}

impl RangesChecksum {
    pub(crate) fn new(length: u64) -> Self {
        Self { length, sum: AtomicU32::new(0), covered: AtomicU64::new(0) }
    }

    /// Adds the range that begins at `offset`. No two ranges may overlap, nor reach past the end.
    pub(crate) fn add(&self, offset: u64, bytes: &[u8]) {
        let length = to_u64(bytes.len());
        let after = self.length.saturating_sub(offset + length);
        self.sum.fetch_xor(shifted(crc32c::crc32c(bytes), after), Ordering::Relaxed);
        self.covered.fetch_add(length, Ordering::Relaxed);
    }

    /// What the ranges that were added contribute to the checksum, and how many bytes they have.
    pub(crate) fn so_far(&self) -> (u32, u64) {
        (self.sum.load(Ordering::Relaxed), self.covered.load(Ordering::Relaxed))
    }

    /// The checksum, once every byte was in a range.
    pub(crate) fn finished(&self) -> Option<u32> {
        (self.covered.load(Ordering::Relaxed) == self.length).then(|| self.sum.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_in_any_order_give_the_checksum_of_the_whole() {
        let bytes: Vec<u8> = (0..100_003_u32).map(|i| (i * i / 13).to_le_bytes()[0]).collect();
        for step in [1_usize, 7, 4096, 65_536, 200_000] {
            let sum = RangesChecksum::new(to_u64(bytes.len()));
            let mut ranges: Vec<_> = (0..).step_by(step).zip(bytes.chunks(step)).collect();
            ranges.sort_by_key(|(offset, _)| (offset * 2_654_435_761_usize) % 1000);
            let (last, others) = ranges.split_last().unwrap();
            others.iter().for_each(|(offset, range)| sum.add(to_u64(*offset), range));
            assert_eq!(sum.finished(), None);
            sum.add(to_u64(last.0), last.1);
            assert_eq!(sum.finished(), Some(crc32c::crc32c(&bytes)), "step {step}");
        }
        let (first, second) = bytes.split_at(40_001);
        let both = joined(crc32c::crc32c(first), crc32c::crc32c(second), to_u64(second.len()));
        assert_eq!(both, crc32c::crc32c(&bytes));
        assert_eq!(RangesChecksum::new(0).finished(), Some(crc32c::crc32c(&[])));
    }
}
