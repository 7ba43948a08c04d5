//! Conversions between number widths that say what was too large instead of cutting it.

use std::fmt::Display;

use crate::error::{BuildError, ErrorKind, Result};

pub(crate) fn to_usize(value: u64) -> Result<usize> {
    usize::try_from(value).map_err(|_| too_large(value))
}

pub(crate) fn to_u32(value: u64) -> Result<u32> {
    u32::try_from(value).map_err(|_| too_large(value))
}

pub(crate) fn to_i32(value: u64) -> Result<i32> {
    i32::try_from(value).map_err(|_| too_large(value))
}

pub(crate) fn to_i64(value: u64) -> Result<i64> {
    i64::try_from(value).map_err(|_| too_large(value))
}

/// Never fails: the library is built for 64-bit machines only.
pub(crate) fn to_u64(value: usize) -> u64 {
    const { assert!(usize::BITS == 64) };
    u64::try_from(value).unwrap_or(u64::MAX)
}

/// Rounded beyond 2^53.
#[expect(clippy::as_conversions, reason = "a figure for people and estimates needs no more than a double's precision")]
pub(crate) fn to_f64(value: u64) -> f64 {
    value as f64
}

fn too_large(value: impl Display) -> BuildError {
    BuildError::new(ErrorKind::Internal, format!("the number {value} is too large"))
}
