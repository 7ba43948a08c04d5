//! A sorted run: rows of one shard of the output, as many as fit into memory at once, ordered by (list, id, code).
//!
//! Little-endian; a header that tells what the run was encoded with, then six sections:
//!
//! | section | content |
//! |---|---|
//! | list sizes | rows per list, u32 each |
//! | ids | i64 each, list after list, ascending within a list |
//! | codes | `code_size` bytes each, in the order of the ids |
//! | sorted ids | all ids ascending; left out when there is one list, whose ids are in that order already |
//! | list numbers | the list of each sorted id, u32; only where labels are positions and there is more than one list |
//! | second codes | `second_code_size` bytes each, in the order of the sorted ids |
//!
//! Rows of one id are in the order of their lists among the sorted ids, then of their codes, then of their second codes.
//! Checksums are in the receipt, not in the file.

use faiss_indexer_storage::{CreateMode, SequentialWrite, Storages};

use crate::cancellation::Cancellation;
use crate::encoded_rows::RunRows;
use crate::error::Result;
use crate::numbers::to_u64;
use crate::receipts::{RunFile, SectionChecksums};

const MAGIC: &[u8; 8] = b"FIXRUN02";
const HEADER_BYTES: u64 = 8 + 64 + 5 * 8;
const WRITE_BYTES: usize = 1 << 20;

/// What a run was encoded with. All runs of a build agree on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunLayout {
    /// SHA-256 of the trained state, in hexadecimal.
    pub(crate) fingerprint: String,
    /// Number of lists; 1 for an index without inverted lists.
    pub(crate) nlist: u64,
    /// Bytes per row of the code that is searched.
    pub(crate) code_size: u64,
    /// Bytes per row of the code that refines the result; 0 where there is none.
    pub(crate) second_code_size: u64,
    /// Whether the merge needs to know a row's place in id order.
    pub(crate) positions: bool,
}

impl RunLayout {
    pub(crate) fn header(&self, rows: u64) -> Vec<u8> {
        let mut header = MAGIC.to_vec();
        header.extend_from_slice(self.fingerprint.as_bytes());
        for number in [self.nlist, self.code_size, self.second_code_size, u64::from(self.positions), rows] {
            header.extend_from_slice(&number.to_le_bytes());
        }
        header
    }

    /// Where a section of a run of `rows` rows begins and ends, and the bytes of one of its items.
    pub(crate) fn range(&self, section: Section, rows: u64) -> (u64, u64, u64) {
        let mut begin = HEADER_BYTES;
        for other in Section::ALL {
            let (items, item_bytes) = match other {
                Section::ListSizes => (self.nlist, 4),
                Section::Ids => (rows, 8),
                Section::Codes => (rows, self.code_size),
                Section::SortedIds => (if self.nlist > 1 { rows } else { 0 }, 8),
                Section::ListNumbers => (if self.positions && self.nlist > 1 { rows } else { 0 }, 4),
                Section::SecondCodes => (rows, self.second_code_size),
            };
            let end = begin + items * item_bytes;
            if other == section {
                return (begin, end, item_bytes);
            }
            begin = end;
        }
        (begin, begin, 1)
    }

    /// The length of a run of `rows` rows.
    pub(crate) fn file_bytes(&self, rows: u64) -> u64 {
        self.range(Section::SecondCodes, rows).1
    }
}

/// A part of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    ListSizes,
    Ids,
    Codes,
    SortedIds,
    ListNumbers,
    SecondCodes,
}

impl Section {
    /// In the order of the file.
    pub(crate) const ALL: [Self; 6] =
        [Self::ListSizes, Self::Ids, Self::Codes, Self::SortedIds, Self::ListNumbers, Self::SecondCodes];
}

/// Writes a run of `shard` under `uri`.
pub(crate) fn write_run(
    uri: String,
    shard: u32,
    layout: &RunLayout,
    rows: &mut RunRows,
    storages: &Storages,
    cancellation: &Cancellation,
) -> Result<RunFile> {
    // A task that was given up must not make the directory of a build that is over.
    cancellation.check()?;
    let file = storages.resolve(&uri)?.create(&uri, CreateMode::New)?;
    let mut writer = SectionWriter { file, buffer: Vec::with_capacity(WRITE_BYTES + 4096), checksum: 0, cancellation };
    let count = to_u64(rows.count());
    writer.write(&layout.header(count))?;
    writer.end()?;

    rows.sort_by_list();
    let mut crc32c = SectionChecksums::default();
    for size in rows.list_sizes() {
        writer.write(&size.to_le_bytes())?;
    }
    crc32c.list_sizes = writer.end()?;
    for id in rows.ids() {
        writer.write(&id.to_le_bytes())?;
    }
    crc32c.ids = writer.end()?;
    for code in rows.first_codes() {
        writer.write(code)?;
    }
    crc32c.codes = writer.end()?;
    if layout.nlist > 1 {
        rows.sort_by_id();
        for id in rows.ids() {
            writer.write(&id.to_le_bytes())?;
        }
        crc32c.sorted_ids = writer.end()?;
        if layout.positions {
            for list in rows.lists() {
                writer.write(&list.to_le_bytes())?;
            }
            crc32c.list_numbers = writer.end()?;
        }
    }
    if layout.second_code_size > 0 {
        for code in rows.second_codes() {
            writer.write(code)?;
        }
        crc32c.second_codes = writer.end()?;
    }
    let bytes = writer.file.finish()?;
    Ok(RunFile { uri, shard, rows: count, bytes, crc32c })
}

struct SectionWriter<'a> {
    file: Box<dyn SequentialWrite>,
    buffer: Vec<u8>,
    checksum: u32,
    cancellation: &'a Cancellation,
}

impl SectionWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= WRITE_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        self.cancellation.check()?;
        self.checksum = crc32c::crc32c_append(self.checksum, &self.buffer);
        self.file.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    /// The checksum of the section that ends here.
    fn end(&mut self) -> Result<u32> {
        self.flush()?;
        Ok(std::mem::take(&mut self.checksum))
    }
}
