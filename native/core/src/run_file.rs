//! A sorted run: the rows of a shard, or as many as fit into memory at once, ordered by (list, id, code).
//!
//! Little-endian, four sections, each read from front to back by the merge:
//!
//! | section | content |
//! |---|---|
//! | list sizes | rows per list, u32 each |
//! | ids | i64 each, list after list, ascending within a list |
//! | codes | `code_size` bytes each, in the order of the ids |
//! | sorted ids | all ids ascending; left out when there is one list, whose ids are in that order already |
//!
//! The header tells what the run was encoded with. Checksums are in the receipt, not in the file.

use std::rc::Rc;

use faiss_indexer_storage::{CreateMode, RandomRead, Storages};

use crate::cancellation::Cancellation;
use crate::error::{BuildError, ErrorKind, Result};
use crate::numbers::{to_u64, to_usize};
use crate::receipts::{RunFile, SectionChecksums};

const MAGIC: &[u8; 8] = b"FIXRUN01";
const HEADER_BYTES: u64 = 8 + 64 + 3 * 8;
const WRITE_BYTES: usize = 1 << 20;

/// What a run was encoded with. All runs of a build agree on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunLayout {
    /// SHA-256 of the trained state, in hexadecimal.
    pub(crate) fingerprint: String,
    /// Number of lists; 1 for an index without inverted lists.
    pub(crate) nlist: u64,
    /// Bytes per row.
    pub(crate) code_size: u64,
}

impl RunLayout {
    fn header(&self, rows: u64) -> Vec<u8> {
        let mut header = MAGIC.to_vec();
        header.extend_from_slice(self.fingerprint.as_bytes());
        for number in [self.nlist, self.code_size, rows] {
            header.extend_from_slice(&number.to_le_bytes());
        }
        header
    }
}

/// Rows in the order of a run.
pub(crate) trait SortedRows {
    fn list_sizes(&self) -> Vec<u32>;
    fn ids(&self) -> impl Iterator<Item = i64>;
    fn codes(&self) -> impl Iterator<Item = &[u8]>;
}

/// Writes a run under `uri`.
pub(crate) fn write_run(
    uri: String,
    layout: &RunLayout,
    rows: &impl SortedRows,
    storages: &Storages,
    cancellation: &Cancellation,
) -> Result<RunFile> {
    // A task that was given up must not make the directory of a build that is over.
    cancellation.check()?;
    let mut file = storages.resolve(&uri)?.create(&uri, CreateMode::New)?;
    let sizes = rows.list_sizes();
    let count = sizes.iter().map(|size| u64::from(*size)).sum();
    file.write_all(&layout.header(count))?;

    let mut section = |pieces: &mut dyn Iterator<Item = &[u8]>| -> Result<u32> {
        let mut buffer = Vec::with_capacity(WRITE_BYTES + 4096);
        let mut checksum = 0;
        let mut write = |buffer: &mut Vec<u8>| {
            checksum = crc32c::crc32c_append(checksum, buffer);
            let written = file.write_all(buffer);
            buffer.clear();
            written
        };
        for piece in pieces {
            buffer.extend_from_slice(piece);
            if buffer.len() >= WRITE_BYTES {
                cancellation.check()?;
                write(&mut buffer)?;
            }
        }
        write(&mut buffer)?;
        Ok(checksum)
    };
    let sizes: Vec<[u8; 4]> = sizes.iter().map(|size| size.to_le_bytes()).collect();
    let ids: Vec<[u8; 8]> = rows.ids().map(i64::to_le_bytes).collect();
    let list_sizes = section(&mut sizes.iter().map(<[u8; 4]>::as_slice))?;
    let ids_checksum = section(&mut ids.iter().map(<[u8; 8]>::as_slice))?;
    let codes = section(&mut rows.codes())?;
    let mut sorted_ids = 0;
    if layout.nlist > 1 {
        let mut sorted: Vec<i64> = ids.iter().map(|id| i64::from_le_bytes(*id)).collect();
        drop(ids);
        sorted.sort_unstable();
        let sorted: Vec<[u8; 8]> = sorted.into_iter().map(i64::to_le_bytes).collect();
        sorted_ids = section(&mut sorted.iter().map(<[u8; 8]>::as_slice))?;
    }
    let bytes = file.finish()?;
    let crc32c = SectionChecksums { list_sizes, ids: ids_checksum, codes, sorted_ids };
    Ok(RunFile { uri, rows: count, bytes, crc32c })
}

/// A section of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    ListSizes,
    Ids,
    Codes,
    SortedIds,
}

/// An open run, checked against the layout that the build expects.
pub(crate) struct RunReader {
    file: Rc<dyn RandomRead>,
    run: RunFile,
    nlist: u64,
    code_size: u64,
}

impl RunReader {
    pub(crate) fn open(run: &RunFile, layout: &RunLayout, storages: &Storages) -> Result<Self> {
        let file: Rc<dyn RandomRead> = Rc::from(storages.resolve(&run.uri)?.open(&run.uri)?);
        let reader = Self { file, run: run.clone(), nlist: layout.nlist, code_size: layout.code_size };
        let (_, end) = reader.range(Section::SortedIds);
        if reader.file.length() != end || run.bytes != end {
            let text = format!("it has {} bytes instead of {end}", reader.file.length());
            return Err(BuildError::corrupt(&run.uri, text));
        }
        let expected = layout.header(run.rows);
        let mut header = vec![0; expected.len()];
        reader.file.read_exact_at(0, &mut header)?;
        if header != expected {
            let message = format!("{} was encoded with another trained state and cannot be merged", run.uri);
            return Err(BuildError::new(ErrorKind::FingerprintMismatch, message));
        }
        Ok(reader)
    }

    pub(crate) fn rows(&self) -> u64 {
        self.run.rows
    }

    /// Begins to read a section with a buffer of `buffer_bytes`.
    pub(crate) fn section(&self, section: Section, buffer_bytes: usize) -> SectionReader {
        let checksums = &self.run.crc32c;
        let (section, expected) = match section {
            Section::SortedIds if self.nlist == 1 => (Section::Ids, checksums.ids),
            Section::SortedIds => (section, checksums.sorted_ids),
            Section::ListSizes => (section, checksums.list_sizes),
            Section::Ids => (section, checksums.ids),
            Section::Codes => (section, checksums.codes),
        };
        let (offset, end) = self.range(section);
        SectionReader {
            file: Rc::clone(&self.file),
            uri: self.run.uri.clone(),
            offset,
            end,
            buffer: Vec::new(),
            position: 0,
            capacity: buffer_bytes,
            checksum: 0,
            expected,
        }
    }

    fn range(&self, section: Section) -> (u64, u64) {
        let sizes = HEADER_BYTES + 4 * self.nlist;
        let ids = sizes + 8 * self.run.rows;
        let codes = ids + self.code_size * self.run.rows;
        let sorted = codes + if self.nlist > 1 { 8 * self.run.rows } else { 0 };
        match section {
            Section::ListSizes => (HEADER_BYTES, sizes),
            Section::Ids => (sizes, ids),
            Section::Codes => (ids, codes),
            Section::SortedIds => (codes, sorted),
        }
    }
}

/// Reads a section from front to back and compares its checksum at the end.
pub(crate) struct SectionReader {
    file: Rc<dyn RandomRead>,
    uri: String,
    offset: u64,
    end: u64,
    buffer: Vec<u8>,
    position: usize,
    capacity: usize,
    checksum: u32,
    expected: u32,
}

impl SectionReader {
    /// The next `length` bytes, which must be there.
    pub(crate) fn take(&mut self, length: usize) -> Result<&[u8]> {
        if self.buffer.len() - self.position < length {
            self.fill(length)?;
        }
        let begin = self.position;
        self.position += length;
        Ok(&self.buffer[begin..self.position])
    }

    pub(crate) fn take_id(&mut self) -> Result<i64> {
        let mut id = [0; 8];
        id.copy_from_slice(self.take(8)?);
        Ok(i64::from_le_bytes(id))
    }

    pub(crate) fn take_size(&mut self) -> Result<u64> {
        let mut size = [0; 4];
        size.copy_from_slice(self.take(4)?);
        Ok(u64::from(u32::from_le_bytes(size)))
    }

    fn fill(&mut self, length: usize) -> Result<()> {
        let kept = self.buffer.len() - self.position;
        self.buffer.copy_within(self.position.., 0);
        self.position = 0;
        let left = self.end - self.offset;
        let wanted = to_u64(self.capacity.max(length) - kept).min(left);
        self.buffer.resize(kept + to_usize(wanted)?, 0);
        if self.buffer.len() < length {
            return Err(BuildError::corrupt(&self.uri, "its list sizes do not fit its rows"));
        }
        self.file.read_exact_at(self.offset, &mut self.buffer[kept..])?;
        self.offset += wanted;
        self.checksum = crc32c::crc32c_append(self.checksum, &self.buffer[kept..]);
        if self.offset == self.end && self.checksum != self.expected {
            return Err(BuildError::corrupt(&self.uri, "the checksum does not match"));
        }
        Ok(())
    }
}
