//! Reads a file from front to back and believes no length before it is compared with what is left of the file.

use std::ops::Range;

use faiss_indexer_storage::RandomRead;

use crate::error::{BuildError, Result};
use crate::numbers::{to_u64, to_usize};

/// What one read of the file brings in; headers are a few bytes each.
const BUFFER_BYTES: u64 = 16 << 10;

/// The four characters that say what follows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct FourCc(pub(crate) [u8; 4]);

impl std::fmt::Display for FourCc {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0.escape_ascii().to_string())
    }
}

impl std::fmt::Debug for FourCc {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{self}")
    }
}

/// A vector as Faiss writes it: its length in units, then the units, which are never loaded as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Vector {
    /// Where the length stands; the units follow eight bytes later.
    pub(crate) offset: u64,
    /// Number of units.
    pub(crate) count: u64,
    /// The bytes of the units.
    pub(crate) data: Range<u64>,
}

impl Vector {
    /// The length and the units.
    pub(crate) fn span(&self) -> Range<u64> {
        self.offset..self.data.end
    }

    /// Bytes of all units.
    pub(crate) fn bytes(&self) -> u64 {
        self.data.end - self.data.start
    }
}

/// A place in a file.
pub(crate) struct Cursor<'a> {
    file: &'a dyn RandomRead,
    uri: &'a str,
    /// What may be read ends here.
    end: u64,
    offset: u64,
    buffer: Vec<u8>,
    /// Where the first byte of `buffer` stands in the file.
    buffered: u64,
}

impl<'a> Cursor<'a> {
    /// Over the bytes of `range`, which must lie inside the file.
    pub(crate) fn new(file: &'a dyn RandomRead, uri: &'a str, range: Range<u64>) -> Self {
        Self { file, uri, end: range.end, offset: range.start, buffer: Vec::new(), buffered: range.start }
    }

    /// Another cursor over part of the same file.
    pub(crate) fn over(&self, range: Range<u64>) -> Cursor<'a> {
        Cursor::new(self.file, self.uri, range)
    }

    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes that are left.
    pub(crate) fn left(&self) -> u64 {
        self.end - self.offset
    }

    /// An error that names the file and the byte where `what` was found.
    pub(crate) fn corrupt(&self, at: u64, what: impl std::fmt::Display) -> BuildError {
        BuildError::corrupt(self.uri, format!("at byte {at}: {what}"))
    }

    /// Fails unless `bytes` bytes are left.
    pub(crate) fn require(&self, bytes: Option<u64>, what: &str) -> Result<u64> {
        match bytes {
            Some(bytes) if bytes <= self.left() => Ok(bytes),
            Some(bytes) => {
                let text = format!("{what} needs {bytes} bytes and the file has {} more", self.left());
                Err(self.corrupt(self.offset, text))
            }
            None => Err(self.corrupt(self.offset, format!("{what} is longer than any file"))),
        }
    }

    /// Goes on `bytes` bytes without reading them.
    pub(crate) fn skip(&mut self, bytes: Option<u64>, what: &str) -> Result<Range<u64>> {
        let begin = self.offset;
        self.offset += self.require(bytes, what)?;
        Ok(begin..self.offset)
    }

    /// The next `N` bytes.
    pub(crate) fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        let length = self.require(Some(to_u64(N)), what)?;
        let buffered_end = self.buffered + to_u64(self.buffer.len());
        if self.offset < self.buffered || self.offset + length > buffered_end {
            let size = BUFFER_BYTES.max(length).min(self.left());
            self.buffer.resize(to_usize(size)?, 0);
            self.buffered = self.offset;
            self.file.read_exact_at(self.offset, &mut self.buffer)?;
        }
        let from = to_usize(self.offset - self.buffered)?;
        let mut bytes = [0; N];
        bytes.copy_from_slice(&self.buffer[from..from + N]);
        self.offset += length;
        Ok(bytes)
    }

    pub(crate) fn fourcc(&mut self, what: &str) -> Result<FourCc> {
        self.array(what).map(FourCc)
    }

    pub(crate) fn byte(&mut self, what: &str) -> Result<u8> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    /// A C++ bool, which is 0 or 1.
    pub(crate) fn flag(&mut self, what: &str) -> Result<bool> {
        let at = self.offset;
        match self.byte(what)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(self.corrupt(at, format!("{what} is {other}, neither 0 nor 1"))),
        }
    }

    pub(crate) fn i32(&mut self, what: &str) -> Result<i32> {
        self.array(what).map(i32::from_le_bytes)
    }

    pub(crate) fn f32(&mut self, what: &str) -> Result<f32> {
        self.array(what).map(f32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self, what: &str) -> Result<u64> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// A number that Faiss keeps as `int` and that is never negative.
    pub(crate) fn small(&mut self, what: &str) -> Result<u64> {
        let at = self.offset;
        let number = self.i32(what)?;
        u64::try_from(number).map_err(|_| self.corrupt(at, format!("{what} is {number}")))
    }

    /// A number that Faiss keeps as `int64_t` and that is never negative.
    pub(crate) fn large(&mut self, what: &str) -> Result<u64> {
        let at = self.offset;
        let number = i64::from_le_bytes(self.array(what)?);
        u64::try_from(number).map_err(|_| self.corrupt(at, format!("{what} is {number}")))
    }

    /// A vector of units of `unit_bytes` bytes; its units are skipped.
    pub(crate) fn vector(&mut self, unit_bytes: u64, what: &str) -> Result<Vector> {
        let offset = self.offset;
        let count = self.u64(what)?;
        let data = self.skip(count.checked_mul(unit_bytes), what)?;
        Ok(Vector { offset, count, data })
    }
}
