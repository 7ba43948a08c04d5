//! Rows of a published index as a shard of another build: codes are taken over as they are.

use std::ops::Range;
use std::sync::atomic::Ordering;

use faiss_indexer_storage::{RandomRead, Storages, join};
use log::info;

use crate::build_context::{BuildContext, MANIFEST_NAME};
use crate::cancellation::Cancellation;
use crate::error::{BuildError, ErrorKind, Result};
use crate::extension::{extensible_manifest, refuse_graph};
use crate::index_file::{IndexFile, List, Node, PackedReader};
use crate::inspect::StoredShape;
use crate::numbers::{to_u64, to_usize};
use crate::receipts::{Receipt, Receipts, to_json};
use crate::shard_builder::ShardBuilder;
use crate::stage::{Progress, ProgressReport};
use crate::training;
use crate::verify::check_bytes;
use crate::workers::Workers;

/// Bytes of codes that are held at a time.
const BUFFER_BYTES: u64 = 1 << 20;
/// Rows between two looks at the cancellation flag.
const ROWS_PER_STEP: u64 = 1 << 14;
const ID_BYTES: u64 = 8;

/// Watches and stops an import from another thread.
#[derive(Debug, Default)]
pub struct ImportControl {
    cancellation: Cancellation,
    progress: Progress,
}

impl ImportControl {
    /// Makes the import fail with [`ErrorKind::Cancelled`].
    pub fn cancel(&self) {
        self.cancellation.cancel();
    }

    /// Rows taken over and bytes written so far.
    #[must_use]
    pub fn progress(&self) -> ProgressReport {
        let Progress { rows, bytes } = &self.progress;
        ProgressReport { rows: rows.load(Ordering::Relaxed), bytes: bytes.load(Ordering::Relaxed) }
    }
}

/// Brings the rows of the published index in `index_directory` into the extension that `build` and `trained` describe.
/// Returns the receipt of partition `partition` of its encode stage. The index is read twice, first to see that its
/// checksum holds.
///
/// # Errors
/// [`ErrorKind::FingerprintMismatch`] for an index of another training; [`ErrorKind::CorruptFile`];
/// [`ErrorKind::InvalidSpec`] for families whose rows cannot be taken over; [`ErrorKind::Cancelled`]; storage errors.
pub fn import_index(
    build: &str,
    trained: &str,
    index_directory: &str,
    partition: u32,
    storages: &Storages,
    control: &ImportControl,
) -> Result<String> {
    let context = BuildContext::from_json(build)?;
    let receipts = Receipts::parse(&[trained.to_owned()])?;
    let receipt = receipts.trained()?;
    let manifest = extensible_manifest(index_directory, storages)?;
    if manifest.fingerprint != receipt.fingerprint {
        let message = format!("{index_directory} was trained differently than the build that it is to be part of");
        return Err(BuildError::new(ErrorKind::FingerprintMismatch, message));
    }
    let stated = manifest.stated_index(&join(index_directory, MANIFEST_NAME))?;
    let uri = join(index_directory, &stated.name);
    check_bytes(&uri, stated, storages, &|_| control.cancellation.check())?;
    let index = IndexFile::open(&uri, storages)?;
    refuse_graph(&index)?;

    let state = training::load(&context, receipt, storages)?;
    let shape = state.encoder.shape();
    let found = StoredShape::of(&index.root);
    let stored = (found.code_size, found.second_code_size.unwrap_or(0), found.nlist.unwrap_or(0));
    if stored != (Some(shape.code_size), shape.second_code_size, shape.nlist) {
        let message = format!("{uri}: rows of {} cannot be taken over as codes; build it again", found.family);
        return Err(BuildError::invalid(message));
    }
    let memory = context.spec.memory_limit / 4;
    let workers = Workers::new(1, "import")?;
    let mut shard = ShardBuilder::open(context, partition, state, workers, storages.clone(), None)?;
    let rows = Source::of(&index, memory)?.read(&mut shard, control)?;
    if rows != manifest.rows {
        return Err(BuildError::corrupt(&uri, format!("it has {rows} rows and the manifest states {}", manifest.rows)));
    }
    info!("took over {rows} rows of {index_directory}");
    to_json(&Receipt::Encode(shard.finish(&control.cancellation, &control.progress)?))
}

/// Where the parts of a row are.
struct Source<'a> {
    index: &'a IndexFile,
    /// The index whose codes are searched.
    first: &'a Node,
    ids: Option<ByPlace<'a>>,
    second_codes: Option<ByPlace<'a>>,
}

impl<'a> Source<'a> {
    /// `memory` bounds what is kept of the id map and of second codes.
    fn of(index: &'a IndexFile, memory: u64) -> Result<Self> {
        let nodes = index.root.with_rows();
        let with_lists = nodes.iter().find(|node| node.lists.is_some());
        let first = with_lists.or_else(|| nodes.iter().find(|node| node.codes.is_some())).copied();
        let Some(first) = first else {
            return Err(BuildError::invalid(format!("{}: {} keeps no codes", index.uri, index.root.family)));
        };
        let beside_lists = first.codes.is_some() && first.lists.is_some();
        let is_second =
            |node: &&&Node| if beside_lists { std::ptr::eq(**node, first) } else { !std::ptr::eq(**node, first) };
        let second = nodes.iter().filter(is_second).find(|node| node.codes.is_some()).copied();
        let second_codes = match second.map(|node| (&node.codes, node.codes_row_bytes)) {
            Some((Some(codes), Some(width))) => Some(ByPlace::new(index, codes.data.clone(), width, memory / 2)?),
            Some(_) => {
                let message = format!("{}: second codes of {} are interleaved", index.uri, index.root.family);
                return Err(BuildError::invalid(message));
            }
            None => None,
        };
        let ids = index.id_map().map(|ids| ByPlace::new(index, ids.data.clone(), ID_BYTES, memory / 2)).transpose()?;
        Ok(Self { index, first, ids, second_codes })
    }

    /// Hands all rows to `shard` and returns their number.
    fn read(mut self, shard: &mut ShardBuilder, control: &ImportControl) -> Result<u64> {
        let mut total = 0;
        if let Some(lists) = &self.first.lists {
            let mut reader = lists.lists(self.index.file.as_ref(), &self.index.uri);
            while let Some(list) = reader.next()? {
                total += list.rows;
                self.read_list(&list, shard, control)?;
            }
        } else if let Some(codes) = &self.first.codes {
            total = self.first.header.rows;
            let list = List { number: 0, rows: total, codes: codes.data.clone(), ids: 0..0 };
            self.read_list(&list, shard, control)?;
        }
        Ok(total)
    }

    /// The rows of a list, or of an index without lists, whose rows have their places for labels.
    fn read_list(&mut self, list: &List, shard: &mut ShardBuilder, control: &ImportControl) -> Result<()> {
        let ImportControl { cancellation, progress } = control;
        let number = u32::try_from(list.number)
            .map_err(|_| BuildError::corrupt(&self.index.uri, format!("it has a list {}", list.number)))?;
        let mut codes = Codes::new(self.index, self.first, list.codes.clone())?;
        let size = to_usize(self.first.code_size.unwrap_or_default())?;
        let (mut done, mut labels, mut row) = (0, Vec::new(), Vec::new());
        while done < list.rows {
            cancellation.check()?;
            let count = ROWS_PER_STEP.min((BUFFER_BYTES / to_u64(size.max(1))).max(1)).min(list.rows - done);
            let has_labels = list.ids.start < list.ids.end;
            if has_labels {
                labels.resize(to_usize(count * ID_BYTES)?, 0);
                self.index.file.read_exact_at(list.ids.start + done * ID_BYTES, &mut labels)?;
            }
            let some = codes.take(count)?;
            for (place, code) in (0..to_usize(count)?).zip(some.chunks_exact(size.max(1))) {
                let label = match labels.as_chunks().0.get(place) {
                    Some(label) if has_labels => i64::from_le_bytes(*label),
                    _ => i64::try_from(done + to_u64(place)).unwrap_or(i64::MAX),
                };
                let id = match &mut self.ids {
                    Some(ids) => {
                        let mut id = [0; 8];
                        id.copy_from_slice(ids.get(label)?);
                        i64::from_le_bytes(id)
                    }
                    None => label,
                };
                match &mut self.second_codes {
                    Some(second) => {
                        row.clear();
                        row.extend_from_slice(code);
                        row.extend_from_slice(second.get(label)?);
                        shard.append_encoded(number, id, &row, cancellation, progress)?;
                    }
                    None => shard.append_encoded(number, id, code, cancellation, progress)?,
                }
            }
            progress.add_rows(count);
            done += count;
        }
        Ok(())
    }
}

/// Codes from front to back, a part at a time.
enum Codes<'a> {
    Plain { file: &'a dyn RandomRead, next: u64, size: u64, buffer: Vec<u8> },
    Packed { reader: PackedReader<'a>, size: u64, buffer: Vec<u8>, used: usize },
}

impl<'a> Codes<'a> {
    fn new(index: &'a IndexFile, node: &Node, range: Range<u64>) -> Result<Self> {
        let (file, size) = (index.file.as_ref(), node.code_size.unwrap_or_default());
        let blocks = node.lists.as_ref().map_or(node.codes_row_bytes.is_none(), |lists| lists.code_size.is_none());
        match node.packing {
            Some(layout) => {
                let reader = PackedReader::new(file, layout, range);
                Ok(Self::Packed { reader, size, buffer: Vec::new(), used: 0 })
            }
            None if blocks => {
                let message = format!("{}: the blocks of {} cannot be taken apart", index.uri, node.family);
                Err(BuildError::invalid(message))
            }
            None => Ok(Self::Plain { file, next: range.start, size, buffer: Vec::new() }),
        }
    }

    /// The codes of the next `rows` rows, which must be there.
    fn take(&mut self, rows: u64) -> Result<&[u8]> {
        match self {
            Self::Plain { file, next, size, buffer } => {
                buffer.resize(to_usize(rows * *size)?, 0);
                file.read_exact_at(*next, buffer)?;
                *next += to_u64(buffer.len());
                Ok(buffer)
            }
            Self::Packed { reader, size, buffer, used } => {
                let wanted = to_usize(rows * *size)?;
                buffer.drain(..*used);
                while buffer.len() < wanted {
                    let before = buffer.len();
                    reader.read(to_u64(wanted - before), buffer)?;
                    if buffer.len() == before {
                        return Err(BuildError::new(ErrorKind::Internal, "packed codes ended early"));
                    }
                }
                *used = wanted;
                Ok(&buffer[..wanted])
            }
        }
    }
}

/// Units of one width that are found by place: kept in memory where they fit, else read when they are asked for.
struct ByPlace<'a> {
    file: &'a dyn RandomRead,
    uri: &'a str,
    range: Range<u64>,
    width: u64,
    /// What of `range` is in memory.
    held: Range<u64>,
    bytes: Vec<u8>,
}

impl<'a> ByPlace<'a> {
    /// What is read at once where not everything is held; neighbours are often asked for next.
    const PAGE_BYTES: u64 = 4 << 10;

    fn new(index: &'a IndexFile, range: Range<u64>, width: u64, memory: u64) -> Result<Self> {
        let (file, uri) = (index.file.as_ref(), index.uri.as_str());
        let start = range.start;
        let mut units = Self { file, uri, range, width, held: start..start, bytes: Vec::new() };
        if units.range.end - start <= memory {
            units.hold(units.range.clone())?;
        }
        Ok(units)
    }

    fn hold(&mut self, range: Range<u64>) -> Result<()> {
        self.bytes.resize(to_usize(range.end - range.start)?, 0);
        self.file.read_exact_at(range.start, &mut self.bytes)?;
        self.held = range;
        Ok(())
    }

    fn get(&mut self, place: i64) -> Result<&[u8]> {
        let end_of = |place: u64| place.checked_add(1)?.checked_mul(self.width)?.checked_add(self.range.start);
        let end = u64::try_from(place).ok().and_then(end_of).filter(|end| *end <= self.range.end);
        let Some(end) = end else {
            return Err(BuildError::corrupt(self.uri, format!("a row has the place {place}, which does not exist")));
        };
        let begin = end - self.width;
        if begin < self.held.start || end > self.held.end {
            self.hold(begin..(begin + Self::PAGE_BYTES).max(end).min(self.range.end))?;
        }
        let from = to_usize(begin - self.held.start)?;
        Ok(&self.bytes[from..from + to_usize(self.width)?])
    }
}
