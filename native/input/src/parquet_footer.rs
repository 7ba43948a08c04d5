//! The footer of a Parquet file, in one request when it is small.

use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use crate::error::Result;
use crate::file_bytes::FileBytes;
use crate::number::{to_u64, to_usize};

pub(crate) struct Footer {
    pub(crate) metadata: ParquetMetaData,
    /// Where the footer begins and the data ends.
    pub(crate) start: u64,
    pub(crate) checksum: u32,
}

/// Length of the metadata and magic.
const TAIL_BYTES: u64 = 8;

/// What is read at first, in the hope that it holds the whole footer.
const FIRST_REQUEST_BYTES: u64 = 64 << 10;

impl Footer {
    pub(crate) fn read(file: &FileBytes) -> Result<Self> {
        let failed = |error: String| file.failed("footer", error);
        let first = FIRST_REQUEST_BYTES.min(file.length());
        let end = file.range(file.length() - first, to_usize(first)).map_err(|error| failed(error.to_string()))?;
        let metadata_length = match end.last_chunk::<8>() {
            Some([a, b, c, d, b'P', b'A', b'R', b'1']) => u64::from(u32::from_le_bytes([*a, *b, *c, *d])),
            Some([.., b'P', b'A', b'R', b'E']) => return Err(failed("it is encrypted".to_owned())),
            _ => return Err(failed("it does not end as a Parquet file does; was it cut short?".to_owned())),
        };
        let length = metadata_length.saturating_add(TAIL_BYTES);
        let Some(start) = file.length().checked_sub(length) else {
            return Err(failed(format!("it should have {metadata_length} bytes, the file has {}", file.length())));
        };
        let held = if length <= first {
            end[to_usize(first - length)..].to_vec()
        } else {
            file.range(start, to_usize(length)).map_err(|error| failed(error.to_string()))?
        };
        let metadata = &held[..to_usize(metadata_length)];
        check_schema(metadata).map_err(|message| failed(message.to_owned()))?;
        let decoded = ParquetMetaDataReader::decode_metadata(metadata).map_err(|error| failed(error.to_string()))?;
        Ok(Self { metadata: decoded, start, checksum: crc32c::crc32c(metadata) })
    }
}

/// Refuses a schema in which a group claims more children than there are elements. The decoder makes room for them
/// before it looks for them, up to 16 GiB, and a failed allocation would end the process. Anything else that is wrong
/// is left for the decoder to refuse.
fn check_schema(metadata: &[u8]) -> std::result::Result<(), &'static str> {
    let mut reader = CompactReader { bytes: metadata };
    let children = reader.children_of_schema_elements().unwrap_or_default();
    let elements = to_u64(children.len());
    match children.iter().any(|children| *children > elements) {
        true => Err("a group of its schema has more children than the schema has elements"),
        false => Ok(()),
    }
}

/// As much of Thrift's compact protocol as it takes to find the schema.
struct CompactReader<'a> {
    bytes: &'a [u8],
}

/// Types of the compact protocol.
mod compact {
    pub(super) const TRUE: u8 = 1;
    pub(super) const FALSE: u8 = 2;
    pub(super) const BYTE: u8 = 3;
    pub(super) const I16: u8 = 4;
    pub(super) const I32: u8 = 5;
    pub(super) const I64: u8 = 6;
    pub(super) const DOUBLE: u8 = 7;
    pub(super) const BINARY: u8 = 8;
    pub(super) const LIST: u8 = 9;
    pub(super) const SET: u8 = 10;
    pub(super) const MAP: u8 = 11;
    pub(super) const STRUCT: u8 = 12;
    pub(super) const UUID: u8 = 13;
}

/// Fields of the structs `FileMetaData` and `SchemaElement`.
const SCHEMA: u64 = 2;
const NUMBER_OF_CHILDREN: u64 = 5;

/// No valid footer nests deeper.
const MAXIMUM_DEPTH: usize = 32;

impl CompactReader<'_> {
    /// The number of children that each element of the schema claims.
    fn children_of_schema_elements(&mut self) -> Option<Vec<u64>> {
        let mut last = 0;
        while let Some((field, kind)) = self.field(&mut last)? {
            if (field, kind) != (SCHEMA, compact::LIST) {
                self.skip(kind, 0)?;
                continue;
            }
            let (count, _) = self.list()?;
            let mut children = Vec::new();
            for _ in 0..count {
                children.push(self.children_of_element()?);
            }
            return Some(children);
        }
        None
    }

    fn children_of_element(&mut self) -> Option<u64> {
        let (mut last, mut children) = (0, 0);
        while let Some((field, kind)) = self.field(&mut last)? {
            if (field, kind) == (NUMBER_OF_CHILDREN, compact::I32) {
                // Zigzag; a negative number is refused by the decoder.
                let value = self.varint()?;
                children = if value & 1 == 0 { value >> 1 } else { 0 };
            } else {
                self.skip(kind, 0)?;
            }
        }
        Some(children)
    }

    /// The number and type of the next field, or `Some(None)` at the end of the struct.
    #[expect(clippy::option_option, reason = "the outer is a cut-off input, the inner the end of the struct")]
    fn field(&mut self, last: &mut u64) -> Option<Option<(u64, u8)>> {
        let header = self.byte()?;
        if header == 0 {
            return Some(None);
        }
        *last = match u64::from(header >> 4) {
            0 => self.varint()? >> 1,
            difference => last.checked_add(difference)?,
        };
        Some(Some((*last, header & 0x0F)))
    }

    fn list(&mut self) -> Option<(u64, u8)> {
        let header = self.byte()?;
        let count = match u64::from(header >> 4) {
            15 => self.varint()?,
            count => count,
        };
        Some((count, header & 0x0F))
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        if depth > MAXIMUM_DEPTH {
            return None;
        }
        match kind {
            compact::TRUE | compact::FALSE => {}
            compact::BYTE => self.advance(1)?,
            compact::I16 | compact::I32 | compact::I64 => {
                self.varint()?;
            }
            compact::DOUBLE => self.advance(8)?,
            compact::UUID => self.advance(16)?,
            compact::BINARY => {
                let length = self.varint()?;
                self.advance(to_usize(length))?;
            }
            compact::LIST | compact::SET => {
                let (count, kind) = self.list()?;
                for _ in 0..count {
                    self.skip_element(kind, depth)?;
                }
            }
            compact::MAP => {
                let count = self.varint()?;
                let kinds = if count == 0 { 0 } else { self.byte()? };
                for _ in 0..count {
                    self.skip_element(kinds >> 4, depth)?;
                    self.skip_element(kinds & 0x0F, depth)?;
                }
            }
            compact::STRUCT => {
                let mut last = 0;
                while let Some((_, kind)) = self.field(&mut last)? {
                    self.skip(kind, depth + 1)?;
                }
            }
            _ => return None,
        }
        Some(())
    }

    /// A boolean takes a byte in a collection and none in a field.
    fn skip_element(&mut self, kind: u8, depth: usize) -> Option<()> {
        match kind {
            compact::TRUE | compact::FALSE => self.advance(1),
            _ => self.skip(kind, depth + 1),
        }
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(*first)
    }

    fn advance(&mut self, count: usize) -> Option<()> {
        self.bytes = self.bytes.get(count..)?;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Version 1, then a schema of one element with a name and as many children as `zigzag` says.
    fn metadata(zigzag: &[u8]) -> Vec<u8> {
        [&[0x15, 0x02, 0x19, 0x1C, 0x48, 0x01, b'a', 0x15], zigzag, &[0x00, 0x16, 0x00, 0x00]].concat()
    }

    #[test]
    fn a_group_with_more_children_than_elements_is_refused() {
        for (zigzag, expected) in
            [(&[0x00][..], vec![0]), (&[0x02], vec![1]), (&[0x80, 0x80, 0x80, 0x08], vec![1 << 23])]
        {
            let bytes = metadata(zigzag);
            assert_eq!(CompactReader { bytes: &bytes }.children_of_schema_elements(), Some(expected.clone()));
            assert_eq!(check_schema(&bytes).is_err(), expected[0] > 1);
        }
    }

    #[test]
    fn a_cut_off_schema_is_left_for_the_decoder() {
        let bytes = metadata(&[0x80, 0x80, 0x80, 0x08]);
        for length in 0..bytes.len() - 4 {
            assert_eq!(check_schema(&bytes[..length]), Ok(()));
        }
    }
}
