//! The header of an `.npy` file (NumPy's NEP 1): magic, version, and a Python dictionary as text.

use std::fmt::Display;

use crate::error::{InputError, Result};
use crate::file_bytes::FileBytes;
use crate::number::{to_u64, to_usize};

/// Where and what the numbers of an `.npy` file are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NpyArray {
    pub(crate) number: NpyNumber,
    pub(crate) shape: Vec<u64>,
    /// Where the numbers begin.
    pub(crate) start: u64,
    /// Of the header.
    pub(crate) checksum: u32,
}

/// The number types that can be ids or components.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NpyNumber {
    Float16,
    Float32,
    Float64,
    Int8,
    Int16,
    Int32,
    Int64,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
}

const NUMBERS: [(&str, NpyNumber, usize); 11] = [
    ("<f2", NpyNumber::Float16, 2),
    ("<f4", NpyNumber::Float32, 4),
    ("<f8", NpyNumber::Float64, 8),
    ("|i1", NpyNumber::Int8, 1),
    ("<i2", NpyNumber::Int16, 2),
    ("<i4", NpyNumber::Int32, 4),
    ("<i8", NpyNumber::Int64, 8),
    ("|u1", NpyNumber::UInt8, 1),
    ("<u2", NpyNumber::UInt16, 2),
    ("<u4", NpyNumber::UInt32, 4),
    ("<u8", NpyNumber::UInt64, 8),
];

impl NpyNumber {
    pub(crate) fn width(self) -> usize {
        NUMBERS.iter().find(|(_, number, _)| *number == self).map_or(1, |(_, _, width)| *width)
    }

    pub(crate) fn is_float(self) -> bool {
        matches!(self, Self::Float16 | Self::Float32 | Self::Float64)
    }
}

const MAGIC: &[u8] = b"\x93NUMPY";

/// A header is one line of a few dozen bytes; structured types, which are refused, have longer ones.
const MAXIMUM_HEADER_BYTES: u64 = 1 << 20;

impl NpyArray {
    /// Reads and checks the header of `file`, and that the file has as many bytes as it says.
    pub(crate) fn read(file: &FileBytes) -> Result<Self> {
        let failed = |error: &dyn Display| file.failed("header", error.to_string());
        let start = file.range(0, to_usize(12.min(file.length()))).map_err(|error| failed(&error))?;
        let (prefix, length) = match *start {
            [_, _, _, _, _, _, 1, _, a, b, ..] if start.starts_with(MAGIC) => {
                (10, u32::from(u16::from_le_bytes([a, b])))
            }
            [_, _, _, _, _, _, 2 | 3, _, a, b, c, d, ..] if start.starts_with(MAGIC) => {
                (12, u32::from_le_bytes([a, b, c, d]))
            }
            [_, _, _, _, _, _, version, ..] if version > 3 => {
                return Err(failed(&format!("version {version} is unknown")));
            }
            _ => return Err(failed(&"it is not one of .npy; was the file cut short?")),
        };
        let length = u64::from(length);
        if length > MAXIMUM_HEADER_BYTES {
            return Err(failed(&format!("it has {length} bytes, more than any array of numbers needs")));
        }
        let text = file.range(prefix, to_usize(length)).map_err(|error| failed(&error))?;
        let checksum = crc32c::crc32c(&text);
        let text = str::from_utf8(&text).map_err(|error| failed(&error))?;
        let array = Self::of(text, prefix.saturating_add(length), checksum).map_err(|error| failed(&error))?;
        let numbers = array.shape.iter().try_fold(1_u64, |product, side| product.checked_mul(*side));
        let end = numbers
            .and_then(|numbers| numbers.checked_mul(to_u64(array.number.width())))
            .and_then(|bytes| bytes.checked_add(array.start));
        match end {
            Some(end) if end == file.length() => Ok(array),
            Some(end) => Err(failed(&format!(
                "with the shape ({}) the file should have {end} bytes and has {}",
                shape_text(&array.shape),
                file.length()
            ))),
            None => Err(failed(&format!("the shape ({}) is impossible", shape_text(&array.shape)))),
        }
    }

    fn of(text: &str, start: u64, checksum: u32) -> std::result::Result<Self, String> {
        let missing = |key: &str| format!("it has no '{key}' that can be understood: {}", text.trim_end());
        let value = |key: &str| {
            let after = text.split_once(&format!("'{key}'")).map(|(_, after)| after.trim_start());
            after.and_then(|after| after.strip_prefix(':')).map(str::trim_start)
        };
        let descr = value("descr").ok_or_else(|| missing("descr"))?;
        let dtype = descr
            .strip_prefix('\'')
            .and_then(|rest| rest.split_once('\''))
            .map(|(dtype, _)| dtype)
            .ok_or_else(|| "its type is not one of numbers; allowed are floats and integers".to_owned())?;
        let found = NUMBERS.iter().find(|(name, _, _)| *name == dtype).map(|(_, number, _)| *number);
        let number = found.ok_or_else(|| {
            let allowed: Vec<&str> = NUMBERS.iter().map(|(name, _, _)| *name).collect();
            format!("its type '{dtype}' is not supported; allowed are {}", allowed.join(", "))
        })?;
        let order = value("fortran_order").ok_or_else(|| missing("fortran_order"))?;
        let shape = value("shape")
            .and_then(|rest| rest.strip_prefix('('))
            .and_then(|rest| rest.split_once(')'))
            .and_then(|(inside, _)| parse_shape(inside))
            .ok_or_else(|| missing("shape"))?;
        // One row of memory is the same in both orders.
        let either_order = shape.iter().filter(|side| **side > 1).count() < 2;
        match (order.starts_with("False"), order.starts_with("True")) {
            (true, _) => {}
            (_, true) if either_order => {}
            (_, true) => {
                return Err("it is in Fortran order; save numpy.ascontiguousarray(array) instead".to_owned());
            }
            _ => return Err(missing("fortran_order")),
        }
        Ok(Self { number, shape, start, checksum })
    }

    /// The number of rows and of columns of a table of floats.
    pub(crate) fn table(&self, uri: &str) -> Result<(u64, u64)> {
        match self.shape[..] {
            [rows, columns] if self.number.is_float() => Ok((rows, columns)),
            _ if !self.number.is_float() => {
                Err(InputError::unreadable(uri, "header", "embeddings are floats of 16, 32 or 64 bits, not integers"))
            }
            _ => {
                let message = format!("embeddings have the shape (rows, dimension), not ({})", shape_text(&self.shape));
                Err(InputError::unreadable(uri, "header", message))
            }
        }
    }

    /// The length of a list of ids.
    pub(crate) fn list(&self, uri: &str) -> Result<u64> {
        match self.shape[..] {
            [rows] | [rows, 1] if !self.number.is_float() => Ok(rows),
            _ if self.number.is_float() => {
                Err(InputError::ids(format!("the ids in {uri} are floats; they have to be integers")))
            }
            _ => Err(InputError::ids(format!(
                "the ids in {uri} have the shape ({}), not (rows,)",
                shape_text(&self.shape)
            ))),
        }
    }
}

fn parse_shape(inside: &str) -> Option<Vec<u64>> {
    let sides = inside.split(',').map(str::trim).filter(|side| !side.is_empty());
    // Python 2 wrote long integers with an L.
    sides.map(|side| side.trim_end_matches('L').parse().ok()).collect()
}

fn shape_text(shape: &[u64]) -> String {
    match shape {
        [one] => format!("{one},"),
        sides => sides.iter().map(u64::to_string).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_as_numpy_writes_them_are_understood() {
        for (text, number, shape) in [
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }   \n", NpyNumber::Float32, &[3, 2][..]),
            ("{'descr': '<i8', 'fortran_order': False, 'shape': (5,), }", NpyNumber::Int64, &[5]),
            ("{'descr': '|u1', 'fortran_order': True, 'shape': (5,), }", NpyNumber::UInt8, &[5]),
            ("{'descr':'<f2','fortran_order':False,'shape':(4L,1L)}", NpyNumber::Float16, &[4, 1]),
            ("{'descr': '<f8', 'fortran_order': True, 'shape': (0, 7), }", NpyNumber::Float64, &[0, 7]),
            ("{'descr': '<f8', 'fortran_order': False, 'shape': (), }", NpyNumber::Float64, &[]),
        ] {
            let expected = NpyArray { number, shape: shape.to_vec(), start: 128, checksum: 1 };
            assert_eq!(NpyArray::of(text, 128, 1), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_supported_is_refused_by_name() {
        for (text, part) in [
            ("{'descr': '>f4', 'fortran_order': False, 'shape': (3, 2), }", "its type '>f4' is not supported; allowed"),
            ("{'descr': '|O', 'fortran_order': False, 'shape': (3, 2), }", "its type '|O' is not supported"),
            ("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,), }", "its type is not one of numbers"),
            ("{'descr': '<f4', 'fortran_order': True, 'shape': (3, 2), }", "it is in Fortran order"),
            ("{'descr': '<f4', 'fortran_order': 1, 'shape': (3, 2), }", "it has no 'fortran_order'"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (3, -2), }", "it has no 'shape'"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (3", "it has no 'shape'"),
            ("{'descr': '<f4', 'shape': (3, 2)}", "it has no 'fortran_order'"),
            ("", "it has no 'descr'"),
        ] {
            let refused = NpyArray::of(text, 128, 1).unwrap_err();
            assert!(refused.starts_with(part), "{refused}");
        }
    }
}
