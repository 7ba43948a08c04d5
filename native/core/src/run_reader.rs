//! Reading runs: any range of any section, by any thread, with the section's checksum compared at the end.

use std::sync::Arc;

use faiss_indexer_storage::{RandomRead, Storage, Storages};

use crate::cancellation::Cancellation;
use crate::checksum::RangesChecksum;
use crate::error::{BuildError, ErrorKind, Result};
use crate::merge::part::SectionSum;
use crate::numbers::{to_u64, to_usize};
use crate::open_files::KeptOpen;
use crate::receipts::RunFile;
use crate::run_file::{RunLayout, Section};

/// A run, checked against the layout that the build expects.
pub(crate) struct RunReader {
    file: ReadFile,
    run: RunFile,
    layout: Arc<RunLayout>,
}

impl RunReader {
    /// Of the files of this machine, no more than `most_open` stay open.
    pub(crate) fn open(run: &RunFile, layout: &Arc<RunLayout>, storages: &Storages, most_open: usize) -> Result<Self> {
        let storage = storages.resolve(&run.uri)?;
        let file = storage.open(&run.uri)?;
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
        // Other storages have their own ways to share connections.
        let is_local = storages.local_path(&run.uri).is_some();
        let leave = is_local.then(|| KeptOpen::ask(most_open));
        let file = match leave {
            Some(None) => ReadFile::Closed { storage, uri: run.uri.clone() },
            None | Some(Some(_)) => ReadFile::Open { file, _leave: leave.flatten() },
        };
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
        let checksum = RangesChecksum::new(end - begin);
        SectionPass { run: self, first: 0, begin, end, item_bytes, expected: Some(expected), checksum, whole: None }
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

enum ReadFile {
    Open {
        file: Box<dyn RandomRead>,
        _leave: Option<KeptOpen>,
    },
    /// Opened for each reading. Which runs stay open does not change, because every block reads all of them in turn:
    /// those that were used last are needed last.
    Closed {
        storage: Arc<dyn Storage>,
        uri: String,
    },
}

impl ReadFile {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        match self {
            Self::Open { file, .. } => file.read_exact_at(offset, buffer)?,
            Self::Closed { storage, uri } if !buffer.is_empty() => storage.open(uri)?.read_exact_at(offset, buffer)?,
            Self::Closed { .. } => {}
        }
        Ok(())
    }
}

/// One reading of a section or of a part of one, every byte once.
pub(crate) struct SectionPass<'a> {
    run: &'a RunReader,
    /// The number of the first item in its section.
    first: u64,
    begin: u64,
    end: u64,
    item_bytes: u64,
    /// Unknown of a part.
    expected: Option<u32>,
    checksum: RangesChecksum,
    /// What this is a part of.
    whole: Option<&'a SectionPass<'a>>,
}

impl SectionPass<'_> {
    /// Begins to read the items `first..first + count`, as a part of this pass.
    pub(crate) fn part(&self, first: u64, count: u64) -> SectionPass<'_> {
        SectionPass { whole: Some(self), ..self.reread(first, count) }
    }

    /// Begins to read the items `first..first + count` apart from this pass; [`SectionPass::agree`] tells whether they
    /// were the same as in a part.
    pub(crate) fn reread(&self, first: u64, count: u64) -> SectionPass<'_> {
        let begin = self.begin + (first - self.first) * self.item_bytes;
        let bytes = count * self.item_bytes;
        let checksum = RangesChecksum::new(bytes);
        let Self { run, item_bytes, .. } = *self;
        SectionPass { run, first, begin, end: begin + bytes, item_bytes, expected: None, checksum, whole: None }
    }

    /// Begins to read the same items apart from this pass.
    pub(crate) fn again(&self) -> SectionPass<'_> {
        self.reread(self.first, (self.end - self.begin) / self.item_bytes.max(1))
    }

    /// What was read until now, as a part of what all runs hold.
    pub(crate) fn so_far(&self) -> SectionSum {
        let (crc32c, bytes) = self.checksum.so_far();
        SectionSum { crc32c, rows: bytes / self.item_bytes.max(1) }
    }

    /// Fills `buffer` with the items from number `first` on.
    pub(crate) fn read(&self, first: u64, buffer: &mut [u8]) -> Result<()> {
        let offset = first.checked_sub(self.first).map(|items| items * self.item_bytes);
        let offset = offset.filter(|offset| offset + to_u64(buffer.len()) <= self.end - self.begin);
        let Some(offset) = offset else {
            return Err(self.run.corrupt("its list sizes do not fit its rows"));
        };
        self.run.file.read_exact_at(self.begin + offset, buffer)?;
        self.checksum.add(offset, buffer);
        if let Some(whole) = self.whole {
            whole.checksum.add(self.begin + offset - whole.begin, buffer);
        }
        Ok(())
    }

    /// Compares the checksum of all that was read with that of the receipt.
    pub(crate) fn finish(&self) -> Result<()> {
        match self.checksum.finished() {
            Some(found) if Some(found) == self.expected => Ok(()),
            Some(_) => Err(self.run.corrupt("the checksum does not match")),
            None => Err(self.run.corrupt("its list sizes do not fit its rows")),
        }
    }

    /// Compares what was read with what `other` has read of the same items.
    pub(crate) fn agree(&self, other: &SectionPass) -> Result<()> {
        match (self.checksum.finished(), other.checksum.finished()) {
            (Some(found), Some(before)) if found == before => Ok(()),
            _ => Err(self.run.corrupt("it was not the same when it was read again")),
        }
    }

    pub(crate) fn corrupt(&self, what: &str) -> BuildError {
        self.run.corrupt(what)
    }
}
