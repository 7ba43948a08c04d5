//! Conversions between the widths of integers that files, memory and formats use.

/// A length in memory as a length in a file.
pub(crate) fn to_u64(length: usize) -> u64 {
    // usize has at most 64 bits on every platform of Rust.
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// A length in a file as one in memory; what no memory can hold becomes the largest, which no allocation is made of
/// because every length is compared with its file's first.
pub(crate) fn to_usize(length: u64) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}

/// The nearest `f32`: what is too large becomes infinite, and is for the receiver to refuse.
pub(crate) fn to_f32(value: f64) -> f32 {
    #[expect(clippy::as_conversions, reason = "rounds to nearest, ties to even; there is no other conversion")]
    let rounded = value as f32;
    rounded
}
