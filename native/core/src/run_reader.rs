//! Reading runs: any range of any section, by any thread, with the section's checksum compared at the end.

use std::sync::Arc;

use faiss_indexer_storage::{RandomRead, Storages};

use crate::cancellation::Cancellation;
use crate::checksum::RangesChecksum;
use crate::error::{BuildError, ErrorKind, Result};
use crate::numbers::{to_u64, to_usize};
use crate::receipts::RunFile;
use crate::run_file::{RunLayout, Section};

/// An open run, checked against the layout that the build expects.
pub(crate) struct RunReader {
    file: Box<dyn RandomRead>,
    run: RunFile,
    layout: Arc<RunLayout>,
}

impl RunReader {
    pub(crate) fn open(run: &RunFile, layout: &Arc<RunLayout>, storages: &Storages) -> Result<Self> {
        let file = storages.resolve(&run.uri)?.open(&run.uri)?;
        let end = layout.file_bytes(run.rows);
        if file.length() != end || run.bytes != end {
            return Err(BuildError::corrupt(&run.uri, format!("it has {} bytes instead of {end}", file.length())));
        }
        let expected = layout.header(run.rows);
        let mut header = vec![0; expected.len()];
        file.read_exact_at(0, &mut header)?;
        if header != expected {
            let message = format!("{} was encoded with another trained state and cannot be merged", run.uri);
            return Err(BuildError::new(ErrorKind::FingerprintMismatch, message));
        }
        Ok(Self { file, run: run.clone(), layout: Arc::clone(layout) })
    }

    pub(crate) fn rows(&self) -> u64 {
        self.run.rows
    }

    /// Begins a pass over a section. One list's ids are in order, so they answer for the sorted ids.
    pub(crate) fn pass(&self, section: Section) -> SectionPass<'_> {
        let section = if section == Section::SortedIds && self.layout.nlist == 1 { Section::Ids } else { section };
        let crc32c = &self.run.crc32c;
        let expected = match section {
            Section::ListSizes => crc32c.list_sizes,
            Section::Ids => crc32c.ids,
            Section::Codes => crc32c.codes,
            Section::SortedIds => crc32c.sorted_ids,
            Section::ListNumbers => crc32c.list_numbers,
            Section::SecondCodes => crc32c.second_codes,
        };
        let (begin, end, item_bytes) = self.layout.range(section, self.run.rows);
        SectionPass { run: self, begin, end, item_bytes, expected, checksum: RangesChecksum::new(end - begin) }
    }

    /// Reads all of the run and compares its checksums.
    pub(crate) fn verify(&self, cancellation: &Cancellation) -> Result<()> {
        const READ_BYTES: u64 = 1 << 20;
        for section in Section::ALL {
            let pass = self.pass(section);
            let items = (pass.end - pass.begin) / pass.item_bytes.max(1);
            let per_read = (READ_BYTES / pass.item_bytes.max(1)).max(1);
            let mut buffer = Vec::new();
            let mut first = 0;
            while first < items {
                cancellation.check()?;
                let count = per_read.min(items - first);
                buffer.resize(to_usize(count * pass.item_bytes)?, 0);
                pass.read(first, &mut buffer)?;
                first += count;
            }
            pass.finish()?;
        }
        Ok(())
    }

    pub(crate) fn corrupt(&self, what: &str) -> BuildError {
        BuildError::corrupt(&self.run.uri, what)
    }
}

/// One reading of a section, every byte once.
pub(crate) struct SectionPass<'a> {
    run: &'a RunReader,
    begin: u64,
    end: u64,
    item_bytes: u64,
    expected: u32,
    checksum: RangesChecksum,
}

impl SectionPass<'_> {
    /// Fills `buffer` with the items from number `first` on.
    pub(crate) fn read(&self, first: u64, buffer: &mut [u8]) -> Result<()> {
        let offset = first * self.item_bytes;
        if offset + to_u64(buffer.len()) > self.end - self.begin {
            return Err(self.run.corrupt("its list sizes do not fit its rows"));
        }
        self.run.file.read_exact_at(self.begin + offset, buffer)?;
        self.checksum.add(offset, buffer);
        Ok(())
    }

    /// Compares the checksum of all that was read with that of the receipt.
    pub(crate) fn finish(&self) -> Result<()> {
        match self.checksum.finished() {
            Some(found) if found == self.expected => Ok(()),
            Some(_) => Err(self.run.corrupt("the checksum does not match")),
            None => Err(self.run.corrupt("its list sizes do not fit its rows")),
        }
    }

    pub(crate) fn corrupt(&self, what: &str) -> BuildError {
        self.run.corrupt(what)
    }
}
