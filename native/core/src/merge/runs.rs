//! All runs that one merge reads.

use std::ops::Range;
use std::sync::Arc;

use faiss_indexer_storage::Storages;

use crate::cancellation::Cancellation;
use crate::error::{BuildError, ErrorKind, Result};
use crate::numbers::{to_u64, to_usize};
use crate::open_files::most_kept_open;
use crate::receipts::RunFile;
use crate::run_file::{RunLayout, Section};
use crate::run_reader::{RunReader, SectionPass};

/// Rows `first..first + rows` of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) run: usize,
    pub(crate) first: u64,
    pub(crate) rows: u64,
}

pub(crate) struct Runs {
    pub(crate) layout: Arc<RunLayout>,
    readers: Vec<RunReader>,
}

impl Runs {
    pub(crate) fn open<'a>(
        layout: RunLayout,
        files: impl Iterator<Item = &'a RunFile>,
        storages: &Storages,
    ) -> Result<Self> {
        let layout = Arc::new(layout);
        let filled = files.filter(|run| run.rows > 0);
        let most_open = most_kept_open();
        let readers = filled.map(|run| RunReader::open(run, &layout, storages, most_open)).collect::<Result<_>>()?;
        Ok(Self { layout, readers })
    }

    pub(crate) fn count(&self) -> usize {
        self.readers.len()
    }

    /// Rows of each run.
    pub(crate) fn rows(&self) -> impl Iterator<Item = u64> + '_ {
        self.readers.iter().map(RunReader::rows)
    }

    /// A pass over the same section of every run.
    pub(crate) fn passes(&self, section: Section) -> Vec<SectionPass<'_>> {
        self.readers.iter().map(|run| run.pass(section)).collect()
    }

    /// The rows of each list in all runs together.
    pub(crate) fn list_sizes(&self, cancellation: &Cancellation) -> Result<Vec<u64>> {
        const SIZES_PER_READ: usize = 1 << 16;
        let mut total = vec![0_u64; to_usize(self.layout.nlist)?];
        let mut buffer = Vec::new();
        for run in &self.readers {
            cancellation.check()?;
            let pass = run.pass(Section::ListSizes);
            let mut rows = 0;
            for (first, lists) in (0..).step_by(SIZES_PER_READ).zip(total.chunks_mut(SIZES_PER_READ)) {
                buffer.resize(lists.len() * 4, 0);
                pass.read(first, &mut buffer)?;
                for (list, size) in lists.iter_mut().zip(buffer.as_chunks().0) {
                    let size = u64::from(u32::from_le_bytes(*size));
                    *list += size;
                    rows += size;
                }
            }
            pass.finish()?;
            if rows != run.rows() {
                return Err(run.corrupt("its list sizes do not fit its rows"));
            }
        }
        Ok(total)
    }

    /// An error that a damaged run may have caused becomes one that names the run. Repeated ids are not such an error:
    /// that they fail a merge is said after the checksums of all ids.
    pub(crate) fn name_damaged(&self, error: BuildError, cancellation: &Cancellation) -> BuildError {
        if !matches!(error.kind(), ErrorKind::CorruptFile | ErrorKind::Internal) {
            return error;
        }
        match self.readers.iter().try_for_each(|run| run.verify(cancellation)) {
            Err(damaged) => damaged,
            Ok(()) => error,
        }
    }
}

/// Ends a pass over all runs: every byte was read once, and the checksums are right.
pub(crate) fn finish(passes: &[SectionPass]) -> Result<()> {
    passes.iter().try_for_each(SectionPass::finish)
}

/// The same passes, apart from those that count.
pub(crate) fn again<'a>(passes: &'a [SectionPass]) -> Vec<SectionPass<'a>> {
    passes.iter().map(SectionPass::again).collect()
}

/// Reads the items of `pieces`, one piece after the other.
pub(crate) fn read_pieces(passes: &[SectionPass], pieces: &[Piece], item_bytes: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    read_pieces_into(passes, pieces, item_bytes, &mut bytes)?;
    Ok(bytes)
}

/// As [`read_pieces`], in place of what `bytes` held.
pub(crate) fn read_pieces_into(
    passes: &[SectionPass],
    pieces: &[Piece],
    item_bytes: usize,
    bytes: &mut Vec<u8>,
) -> Result<()> {
    let rows: u64 = pieces.iter().map(|piece| piece.rows).sum();
    bytes.resize(to_usize(rows)? * item_bytes, 0);
    let mut rest = bytes.as_mut_slice();
    for piece in pieces {
        let (begin, behind) = rest.split_at_mut(to_usize(piece.rows)? * item_bytes);
        passes[piece.run].read(piece.first, begin)?;
        rest = behind;
    }
    Ok(())
}

/// The places of the rows of each piece when they are read one piece after the other.
pub(crate) fn segments(pieces: &[Piece]) -> Vec<Range<u32>> {
    let mut end = 0;
    let segment = |piece: &Piece| {
        let begin = end;
        end += piece.rows;
        // A round never has more rows than fit into memory, far below 2^32.
        u32::try_from(begin).unwrap_or(u32::MAX)..u32::try_from(end).unwrap_or(u32::MAX)
    };
    pieces.iter().map(segment).collect()
}

/// Reads what a checksum has to cover but nothing else needs.
pub(crate) fn skip(pass: &SectionPass, piece: Piece, item_bytes: usize) -> Result<()> {
    let per_read = to_u64(((1 << 20) / item_bytes.max(1)).max(1));
    let mut buffer = Vec::new();
    let (mut first, end) = (piece.first, piece.first + piece.rows);
    while first < end {
        let count = per_read.min(end - first);
        buffer.resize(to_usize(count)? * item_bytes, 0);
        pass.read(first, &mut buffer)?;
        first += count;
    }
    Ok(())
}
