//! One buffer of a record batch, read by range.

use std::io::{self, BufRead, Read};
use std::sync::Arc;

use arrow_ipc::CompressionType;

use crate::file_bytes::FileBytes;
use crate::number::{to_u64, to_usize};

/// The result of decoding; the error is what is wrong, without the file and the place.
pub(crate) type Decoded<T> = std::result::Result<T, String>;

/// Bytes of a buffer, in the file as they are or compressed. Compressed ones are decompressed from front to back and
/// never held whole.
pub(crate) enum BufferReader {
    Plain { file: Arc<FileBytes>, start: u64, length: u64 },
    Compressed(Box<CompressedReader>),
}

pub(crate) struct CompressedReader {
    source: Box<dyn Read + Send>,
    /// Number of bytes that `source` has given.
    position: u64,
    /// The last of them.
    tail: Vec<u8>,
}

/// How far a range may reach back before the end of the last one: an offset, which two batches share.
const TAIL_BYTES: usize = 8;

/// Before a compressed buffer stands its decompressed length.
const PREFIX_BYTES: u64 = 8;

/// The prefix of a buffer that compression would not have made smaller.
const NOT_COMPRESSED: i64 = -1;

const READ_BYTES: u64 = 1 << 20;

impl BufferReader {
    pub(crate) fn open(
        file: &Arc<FileBytes>,
        start: u64,
        length: u64,
        compression: Option<CompressionType>,
    ) -> Decoded<Self> {
        let plain = |start, length| Self::Plain { file: Arc::clone(file), start, length };
        let Some(compression) = compression.filter(|_| length > 0) else { return Ok(plain(start, length)) };
        let mut prefix = [0; 8];
        let compressed = length.checked_sub(PREFIX_BYTES).ok_or("a compressed buffer is too short")?;
        file.fill(start, &mut prefix).map_err(|error| error.to_string())?;
        let start = start.saturating_add(PREFIX_BYTES);
        if i64::from_le_bytes(prefix) == NOT_COMPRESSED {
            return Ok(plain(start, compressed));
        }
        let bytes = BufferedRange {
            file: Arc::clone(file),
            rest: start..start.saturating_add(compressed),
            held: Vec::new(),
            used: 0,
        };
        let source: Box<dyn Read + Send> = match compression {
            CompressionType::ZSTD => {
                Box::new(zstd::stream::read::Decoder::with_buffer(bytes).map_err(|error| error.to_string())?)
            }
            CompressionType::LZ4_FRAME => Box::new(lz4_flex::frame::FrameDecoder::new(bytes)),
            other => return Err(format!("the compression {other:?} is unknown; known are LZ4_FRAME and ZSTD")),
        };
        Ok(Self::Compressed(Box::new(CompressedReader { source, position: 0, tail: Vec::new() })))
    }

    /// The bytes from `start` to `end`. When the buffer is compressed, ranges have to come in order and may overlap by
    /// eight bytes.
    pub(crate) fn range(&mut self, start: u64, end: u64) -> Decoded<Vec<u8>> {
        match self {
            _ if end < start => Err(format!("a buffer's range from {start} to {end} is impossible")),
            Self::Plain { length, .. } if end > *length => {
                Err(format!("a buffer of {length} bytes is read up to byte {end}"))
            }
            Self::Plain { file, start: origin, .. } => {
                file.range(origin.saturating_add(start), to_usize(end - start)).map_err(|error| error.to_string())
            }
            Self::Compressed(reader) => reader.range(start, end),
        }
    }
}

impl CompressedReader {
    fn range(&mut self, start: u64, end: u64) -> Decoded<Vec<u8>> {
        let held_from = self.position - to_u64(self.tail.len());
        if start < held_from {
            return Err(format!("byte {start} of a compressed buffer is needed after byte {}", self.position));
        }
        let failed = |error: io::Error| format!("a buffer cannot be decompressed: {error}");
        if start > self.position {
            let skipped = start - self.position;
            let copied = io::copy(&mut self.source.by_ref().take(skipped), &mut io::sink()).map_err(failed)?;
            self.advance(copied, &[]);
            if copied < skipped {
                return Err(format!("a buffer ends after {} bytes, byte {start} is needed", self.position));
            }
        }
        let held = to_usize(start.saturating_sub(self.position - to_u64(self.tail.len())));
        let mut bytes = self.tail.get(held..).unwrap_or_default().to_vec();
        bytes.truncate(to_usize(end - start));
        let missing = end.saturating_sub(self.position);
        let known = bytes.len();
        self.source.by_ref().take(missing).read_to_end(&mut bytes).map_err(failed)?;
        let read = to_u64(bytes.len() - known);
        self.advance(read, &bytes[known..]);
        match read == missing {
            true => Ok(bytes),
            false => Err(format!("a buffer ends after {} bytes, byte {end} is needed", self.position)),
        }
    }

    fn advance(&mut self, count: u64, last: &[u8]) {
        self.position = self.position.saturating_add(count);
        if to_u64(last.len()) < count {
            self.tail.clear();
        }
        self.tail.extend_from_slice(last.get(last.len().saturating_sub(TAIL_BYTES)..).unwrap_or_default());
        let surplus = self.tail.len().saturating_sub(TAIL_BYTES);
        self.tail.drain(..surplus);
    }
}

/// A range of the file as a stream.
struct BufferedRange {
    file: Arc<FileBytes>,
    rest: std::ops::Range<u64>,
    held: Vec<u8>,
    used: usize,
}

impl BufRead for BufferedRange {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.used >= self.held.len() && !self.rest.is_empty() {
            let count = READ_BYTES.min(self.rest.end - self.rest.start);
            self.held = self.file.range(self.rest.start, to_usize(count)).map_err(io::Error::other)?;
            self.used = 0;
            self.rest.start += count;
        }
        Ok(self.held.get(self.used..).unwrap_or_default())
    }

    fn consume(&mut self, count: usize) {
        self.used += count;
    }
}

impl Read for BufferedRange {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::atomic::AtomicBool;

    use faiss_indexer_storage::{CreateMode, MemoryStorage, Storage, Storages};

    use super::*;

    const BYTES: usize = 3_000_000;

    fn content() -> Vec<u8> {
        (0..BYTES).map(|byte| (byte * byte / 1_000) as u8).collect()
    }

    fn reader(compression: Option<CompressionType>) -> BufferReader {
        let stored = match compression {
            None => content(),
            Some(CompressionType::ZSTD) => zstd::encode_all(&content()[..], 1).unwrap(),
            Some(_) => {
                let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
                encoder.write_all(&content()).unwrap();
                encoder.finish().unwrap()
            }
        };
        let prefix: &[u8] = if compression.is_some() { &(BYTES as i64).to_le_bytes() } else { &[] };
        let memory = MemoryStorage::new();
        let mut writer = memory.create("memory:/f", CreateMode::New).unwrap();
        writer.write_all(&[b"before", prefix, &stored, b"after"].concat()).unwrap();
        writer.finish().unwrap();
        let storages = Storages::new().with_memory(Arc::new(memory));
        let file = FileBytes::open("memory:/f", &storages, None, Arc::new(AtomicBool::new(false))).unwrap();
        BufferReader::open(&file, 6, (prefix.len() + stored.len()) as u64, compression).unwrap()
    }

    #[test]
    fn ranges_in_order_that_overlap_or_leave_gaps_are_the_content() {
        for compression in [None, Some(CompressionType::ZSTD), Some(CompressionType::LZ4_FRAME)] {
            let mut reader = reader(compression);
            let ranges = [
                (0, 0),
                (0, 3),
                (2, 4),
                (0, 5),
                (5, 20),
                (12, 30),
                (100, 2_000_000),
                (1_999_992, BYTES),
                (BYTES, BYTES),
            ];
            for (start, end) in ranges {
                let bytes = reader.range(start as u64, end as u64).unwrap();
                assert!(bytes == content()[start..end], "{compression:?} {start} {end}");
            }
        }
    }

    #[test]
    fn ranges_past_the_end_are_refused() {
        for compression in [None, Some(CompressionType::ZSTD), Some(CompressionType::LZ4_FRAME)] {
            for (start, end) in [(0, BYTES + 1), (BYTES + 1, BYTES + 2), (0, usize::MAX), (3, 2)] {
                assert!(reader(compression).range(start as u64, end as u64).is_err(), "{compression:?} {start} {end}");
            }
        }
    }
}
