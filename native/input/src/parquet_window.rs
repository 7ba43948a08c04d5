//! The bytes of a row group's column chunks, read through windows so that large chunks are never in memory whole.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

use crate::file_bytes::FileBytes;
use crate::number::{to_u64, to_usize};

/// Bytes that are read ahead of a column chunk: one request to a remote store brings several pages.
pub(crate) const READ_AHEAD_BYTES: usize = 4 << 20;

/// What is read for a page header; the reader goes on when a header is longer.
const HEADER_BYTES: usize = 4 << 10;

/// No page header is longer; one that seems to be is damaged.
const MAXIMUM_HEADER_BYTES: usize = 1 << 20;

/// The least decompressed size that is believed of any page.
const PLAUSIBLE_PAGE_BYTES: u64 = 64 << 20;

/// A column chunk in the file.
#[derive(Debug, Clone)]
pub(crate) struct Chunk {
    pub(crate) range: Range<u64>,
    /// What the footer says of it.
    pub(crate) decompressed_bytes: u64,
}

/// The chunks that may be read. Every byte of them is read once when the decoder goes from front to back.
#[derive(Debug, Clone)]
pub(crate) struct ChunkWindows(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: Arc<FileBytes>,
    chunks: Vec<Chunk>,
    read_ahead: usize,
    /// One window for each chunk.
    windows: Mutex<Vec<Window>>,
}

#[derive(Debug, Clone, Default)]
struct Window {
    start: u64,
    bytes: Bytes,
}

impl Window {
    fn from(&self, start: u64) -> Bytes {
        let skipped = start.checked_sub(self.start).map(to_usize).filter(|skipped| *skipped <= self.bytes.len());
        skipped.map_or_else(Bytes::new, |skipped| self.bytes.slice(skipped..))
    }
}

impl ChunkWindows {
    pub(crate) fn new(file: Arc<FileBytes>, chunks: Vec<Chunk>, read_ahead: usize) -> Self {
        let windows = Mutex::new(vec![Window::default(); chunks.len()]);
        Self(Arc::new(Inner { file, chunks, read_ahead, windows }))
    }
}

impl Inner {
    fn chunk_at(&self, start: u64) -> Result<(usize, &Chunk)> {
        let found = self.chunks.iter().enumerate().find(|(_, chunk)| chunk.range.contains(&start));
        found.ok_or_else(|| ParquetError::EOF(format!("byte {start} lies in no column chunk that is to be read")))
    }

    fn bytes(&self, start: u64, length: usize, read_ahead: usize) -> Result<Bytes> {
        let (number, chunk) = self.chunk_at(start)?;
        let remaining = to_usize(chunk.range.end - start);
        if length > remaining {
            let message =
                format!("{length} bytes at {start} reach {} bytes past their column chunk", length - remaining);
            return Err(ParquetError::EOF(message));
        }
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let known = windows[number].from(start);
        if known.len() >= length {
            return Ok(known.slice(..length));
        }
        let mut bytes = vec![0; length.max(read_ahead).min(remaining)];
        let (front, rest) = bytes.split_at_mut(known.len());
        front.copy_from_slice(&known);
        // Frees the old window before the request, which may take long.
        windows[number] = Window::default();
        drop(known);
        self.file
            .fill(start.saturating_add(to_u64(front.len())), rest)
            .map_err(|error| ParquetError::External(Box::new(error)))?;
        windows[number] = Window { start, bytes: bytes.into() };
        Ok(windows[number].bytes.slice(..length))
    }
}

impl Length for ChunkWindows {
    fn len(&self) -> u64 {
        self.0.file.length()
    }
}

impl ChunkReader for ChunkWindows {
    type T = HeaderRead;

    /// The decoder reads page headers this way and nothing else.
    fn get_read(&self, start: u64) -> Result<Self::T> {
        Ok(HeaderRead { inner: Arc::clone(&self.0), start, position: 0, bytes: Bytes::new() })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        match length {
            0 => Ok(Bytes::new()),
            _ => self.0.bytes(start, length, self.0.read_ahead),
        }
    }
}

/// Reads one page header.
#[derive(Debug)]
pub(crate) struct HeaderRead {
    inner: Arc<Inner>,
    start: u64,
    position: usize,
    bytes: Bytes,
}

impl HeaderRead {
    fn fetch(&mut self) -> io::Result<()> {
        let (_, chunk) = self.inner.chunk_at(self.start).map_err(io::Error::other)?;
        let remaining = to_usize(chunk.range.end - self.start);
        let wanted = if self.position == 0 { HEADER_BYTES } else { MAXIMUM_HEADER_BYTES }.min(remaining);
        let read_ahead = self.inner.read_ahead;
        self.bytes = self.inner.bytes(self.start, wanted, read_ahead).map_err(io::Error::other)?;
        if self.position == 0 {
            let limit = PLAUSIBLE_PAGE_BYTES.max(chunk.decompressed_bytes.saturating_mul(2));
            if let Some(claimed) = decompressed_page_bytes(&self.bytes).filter(|claimed| *claimed > limit) {
                let start = self.start;
                return Err(io::Error::other(format!(
                    "the page at byte {start} claims {claimed} decompressed bytes, more than its column chunk has"
                )));
            }
        }
        Ok(())
    }
}

impl Read for HeaderRead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position >= self.bytes.len() {
            self.fetch()?;
        }
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.position += count;
        Ok(count)
    }
}

/// The decompressed size in a page header, which a decoder allocates before it decompresses. A page header is a
/// struct of Thrift's compact protocol that begins with three 32-bit integers: type, decompressed and compressed size.
fn decompressed_page_bytes(header: &[u8]) -> Option<u64> {
    let mut bytes = header.iter().copied();
    let mut next_integer = || -> Option<u64> {
        if bytes.next()? != INTEGER_FIELD_AFTER_THE_LAST {
            return None;
        }
        let mut value = 0_u64;
        for shift in (0..35).step_by(7) {
            let byte = bytes.next()?;
            value |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                // Zigzag; a negative size is refused by the decoder.
                return Some(if value & 1 == 0 { value >> 1 } else { 0 });
            }
        }
        None
    };
    next_integer()?;
    next_integer()
}

const INTEGER_FIELD_AFTER_THE_LAST: u8 = 0x15;

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use faiss_indexer_storage::{CreateMode, MemoryStorage, Storage, Storages};

    use super::*;

    fn windows(read_ahead: usize) -> ChunkWindows {
        let memory = MemoryStorage::new();
        let mut writer = memory.create("memory:/f", CreateMode::New).unwrap();
        writer.write_all(&(0..=255).collect::<Vec<u8>>()).unwrap();
        writer.finish().unwrap();
        let storages = Storages::new().with_memory(Arc::new(memory));
        let file = FileBytes::open("memory:/f", &storages, None, Arc::new(AtomicBool::new(false))).unwrap();
        let chunk = |range| Chunk { range, decompressed_bytes: 0 };
        ChunkWindows::new(file, vec![chunk(10..50), chunk(100..200)], read_ahead)
    }

    #[test]
    fn any_order_of_reads_gives_the_bytes_of_the_file() {
        for read_ahead in [0, 1, 7, 40, 1_000] {
            let windows = windows(read_ahead);
            for (start, length) in [(10, 4), (100, 1), (14, 30), (12, 3), (101, 99), (49, 1), (10, 40), (110, 0)] {
                let bytes = windows.get_bytes(start, length).unwrap();
                let expected: Vec<u8> = (start..start + length as u64).map(|byte| byte as u8).collect();
                assert_eq!(bytes, expected, "{start} {length} {read_ahead}");
            }
        }
    }

    #[test]
    fn bytes_outside_the_chunks_are_refused() {
        for (start, length) in [(9, 1), (50, 1), (10, 41), (199, 2), (u64::MAX, 1), (10, usize::MAX)] {
            assert!(windows(16).get_bytes(start, length).is_err(), "{start} {length}");
        }
        assert!(windows(16).get_read(60).unwrap().read(&mut [0]).is_err());
    }

    #[test]
    fn a_header_ends_with_its_chunk() {
        let mut bytes = Vec::new();
        windows(16).get_read(45).unwrap().read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, [45, 46, 47, 48, 49]);
    }

    #[test]
    fn the_decompressed_size_is_found_in_a_page_header() {
        for (header, expected) in [
            (&[0x15, 0x00, 0x15, 0x80, 0x01, 0x15, 0x10, 0x2C][..], Some(64)),
            (&[0x15, 0x04, 0x15, 0xFE, 0xFF, 0xFF, 0xFF, 0x0F, 0x15], Some(u64::from(u32::MAX >> 1))),
            (&[0x15, 0x00, 0x15, 0x01], Some(0)),
            (&[0x15, 0x00, 0x25, 0x02], None),
            (&[0x15, 0x00, 0x15], None),
            (&[], None),
        ] {
            assert_eq!(decompressed_page_bytes(header), expected, "{header:?}");
        }
    }
}
