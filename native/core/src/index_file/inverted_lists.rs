//! Blocks of inverted lists. A table of sizes may be larger than memory, so it is only ever streamed.

use std::ops::Range;

use faiss_indexer_storage::RandomRead;

use crate::error::{BuildError, ErrorKind, Result};
use crate::index_file::cursor::{Cursor, Vector};
use crate::numbers::to_usize;

const ID_BYTES: u64 = 8;

/// A block of inverted lists.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct InvertedLists {
    /// From its four characters to its last list.
    pub(crate) span: Range<u64>,
    pub(crate) nlist: u64,
    /// Bytes per row; none where codes are interleaved in blocks.
    pub(crate) code_size: Option<u64>,
    pub(crate) format: ListFormat,
    pub(crate) summary: ListSummary,
}

/// Where the lists are.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ListFormat {
    /// `il00`: nowhere.
    Absent,
    /// `ilar`: sizes, then codes and ids of each list.
    Array { sizes: SizeTable, data: u64 },
    /// `ilbl`: ids and packed codes of each list, each after its length.
    Blocks { rows_per_block: u64, block_bytes: u64, data: u64 },
    /// `ilpn`, `ilp2`: as `ilar`, padded to whole batches, with sums of `levels + 1` floats per row.
    Panorama { sizes: SizeTable, levels: u64, batch: u64, data: u64 },
    /// `ilod`: in another file.
    OnDisk { table: Vector, file: String },
    /// Before inverted lists were a class: all ids stand before the quantizer, all codes after it.
    Apart { ids: u64, codes: u64, code_unit: u64 },
}

impl ListFormat {
    /// The four characters of the format.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Absent => "il00",
            Self::Array { sizes: SizeTable::Full(_), .. } => "ilar full",
            Self::Array { sizes: SizeTable::Sparse(_), .. } => "ilar sprs",
            Self::Blocks { .. } => "ilbl",
            Self::Panorama { .. } => "ilp2",
            Self::OnDisk { .. } => "ilod",
            Self::Apart { .. } => "legacy",
        }
    }
}

/// The two forms of a table of sizes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SizeTable {
    /// The size of every list.
    Full(Vector),
    /// The number and the size of each list that is not empty, ascending.
    Sparse(Vector),
}

/// What is known of all list sizes without keeping them.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct ListSummary {
    pub(crate) rows: u64,
    /// Lists that are not empty.
    pub(crate) filled: u64,
    /// The smallest size among all lists.
    pub(crate) least: u64,
    pub(crate) most: u64,
    pub(crate) sum_of_squares: u128,
}

/// One list that is not empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct List {
    pub(crate) number: u64,
    pub(crate) rows: u64,
    /// Nothing where they are in another file.
    pub(crate) codes: Range<u64>,
    pub(crate) ids: Range<u64>,
}

impl InvertedLists {
    /// Goes through the lists that are not empty, by number.
    pub(crate) fn lists<'a>(&self, file: &'a dyn RandomRead, uri: &'a str) -> ListReader<'a> {
        let end = self.span.end;
        let cursor = |from: u64| Cursor::new(file, uri, from..end);
        ListReader::new(&self.format, self.nlist, self.code_size, &cursor)
    }
}

/// Reads the block at the cursor.
pub(crate) fn read_inverted_lists(cursor: &mut Cursor<'_>) -> Result<InvertedLists> {
    /// `kLegacyBatchSize` in Panorama.h.
    const PANORAMA_BATCH: u64 = 128;
    let begin = cursor.offset();
    let fourcc = cursor.fourcc("inverted lists")?;
    let empty = |end: u64| InvertedLists {
        span: begin..end,
        nlist: 0,
        code_size: None,
        format: ListFormat::Absent,
        summary: ListSummary::default(),
    };
    if &fourcc.0 == b"il00" {
        return Ok(empty(cursor.offset()));
    }
    let known = [b"ilar", b"ilbl", b"ilod", b"ilpn", b"ilp2"].contains(&&fourcc.0);
    if !known {
        let text = format!("'{fourcc}' is no kind of inverted lists that this version knows");
        return Err(cursor.corrupt(begin, text));
    }
    let nlist = cursor.u64("the number of lists")?;
    let code_size = cursor.u64("the code size of the lists")?;
    // Faiss' INVALID_CODE_SIZE: the codes of a row are not in one place.
    let code_size = Some(code_size).filter(|size| *size != u64::MAX);
    let format = match &fourcc.0 {
        b"ilar" => {
            let sizes = size_table(cursor, nlist)?;
            ListFormat::Array { sizes, data: cursor.offset() }
        }
        b"ilbl" => {
            let rows_per_block = cursor.u64("the rows per block")?;
            let block_bytes = cursor.u64("the bytes per block")?;
            // Each list has two lengths at least, which bounds the number of lists.
            cursor.require(nlist.checked_mul(16), "the lengths of the lists")?;
            if rows_per_block == 0 || block_bytes == 0 {
                return Err(cursor.corrupt(begin, format!("blocks of {rows_per_block} rows and {block_bytes} bytes")));
            }
            ListFormat::Blocks { rows_per_block, block_bytes, data: cursor.offset() }
        }
        b"ilod" => on_disk(cursor, nlist)?,
        _ => {
            let levels = cursor.u64("the levels of Panorama")?;
            let batch = if &fourcc.0 == b"ilp2" { cursor.u64("the batch of Panorama")? } else { PANORAMA_BATCH };
            if batch == 0 {
                return Err(cursor.corrupt(begin, "batches of no rows"));
            }
            let sizes = size_table(cursor, nlist)?;
            ListFormat::Panorama { sizes, levels, batch, data: cursor.offset() }
        }
    };
    finish(cursor, begin, nlist, code_size, format)
}

/// The lists of a format whose codes are at the cursor and whose ids were met at `ids`.
pub(crate) fn read_lists_apart(
    cursor: &mut Cursor<'_>,
    nlist: u64,
    code_size: u64,
    ids: u64,
    code_unit: u64,
) -> Result<InvertedLists> {
    let codes = cursor.offset();
    finish(cursor, codes, nlist, Some(code_size), ListFormat::Apart { ids, codes, code_unit })
}

fn finish(
    cursor: &mut Cursor<'_>,
    begin: u64,
    nlist: u64,
    code_size: Option<u64>,
    format: ListFormat,
) -> Result<InvertedLists> {
    let file_end = cursor.offset() + cursor.left();
    let fresh = |from: u64| cursor.over(from..file_end);
    let mut reader = ListReader::new(&format, nlist, code_size, &fresh);
    let mut summary = ListSummary { least: u64::MAX, ..ListSummary::default() };
    while let Some(list) = reader.next()? {
        summary.filled += 1;
        // Every row takes eight bytes of the file, so their number fits; those in another file need not.
        summary.rows = summary.rows.checked_add(list.rows).ok_or_else(|| cursor.corrupt(begin, "too many rows"))?;
        summary.least = summary.least.min(list.rows);
        summary.most = summary.most.max(list.rows);
        summary.sum_of_squares = summary.sum_of_squares.saturating_add(u128::from(list.rows) * u128::from(list.rows));
    }
    if summary.filled < nlist {
        summary.least = 0;
    }
    let end = reader.end().unwrap_or(cursor.offset());
    cursor.skip(Some(end - cursor.offset()), "the inverted lists")?;
    Ok(InvertedLists { span: begin..cursor.offset(), nlist, code_size, format, summary })
}

fn size_table(cursor: &mut Cursor<'_>, nlist: u64) -> Result<SizeTable> {
    let at = cursor.offset();
    let fourcc = cursor.fourcc("the kind of list sizes")?;
    let table = cursor.vector(8, "the list sizes")?;
    match &fourcc.0 {
        b"full" if table.count == nlist => Ok(SizeTable::Full(table)),
        b"full" => Err(cursor.corrupt(table.offset, format!("{} sizes of {nlist} lists", table.count))),
        b"sprs" if table.count.is_multiple_of(2) => Ok(SizeTable::Sparse(table)),
        b"sprs" => Err(cursor.corrupt(table.offset, format!("{} numbers are no pairs of list and size", table.count))),
        _ => Err(cursor.corrupt(at, format!("'{fourcc}' is no kind of list sizes"))),
    }
}

fn on_disk(cursor: &mut Cursor<'_>, nlist: u64) -> Result<ListFormat> {
    /// More is no name of a file.
    const MOST_NAME_BYTES: u64 = 1 << 16;
    // Size, capacity and offset of each list; then the free ranges, as pairs.
    let table = cursor.vector(24, "the table of lists in another file")?;
    if table.count != nlist {
        return Err(cursor.corrupt(table.offset, format!("{} entries of {nlist} lists", table.count)));
    }
    cursor.vector(16, "the free ranges of another file")?;
    let name = cursor.vector(1, "the name of another file")?;
    if name.count > MOST_NAME_BYTES {
        return Err(cursor.corrupt(name.offset, format!("a file name of {} bytes", name.count)));
    }
    let mut letters = cursor.over(name.data.clone());
    let bytes = (0..name.count).map(|_| letters.byte("the name of another file")).collect::<Result<Vec<u8>>>()?;
    cursor.u64("the length of another file")?;
    Ok(ListFormat::OnDisk { table, file: String::from_utf8_lossy(&bytes).into_owned() })
}

/// Goes through lists by number.
pub(crate) struct ListReader<'a> {
    nlist: u64,
    code_size: Option<u64>,
    number: u64,
    walk: Walk<'a>,
}

enum Walk<'a> {
    Nothing,
    /// The sizes stand together; `data` is at the first list that was not given out.
    Table {
        sizes: Cursor<'a>,
        sparse: bool,
        last: Option<u64>,
        data: Cursor<'a>,
        panorama: Option<(u64, u64)>,
    },
    Blocks {
        data: Cursor<'a>,
        rows_per_block: u64,
        block_bytes: u64,
    },
    OnDisk {
        table: Cursor<'a>,
    },
    Apart {
        ids: Cursor<'a>,
        codes: Cursor<'a>,
        code_unit: u64,
    },
}

impl<'a> ListReader<'a> {
    fn new(format: &ListFormat, nlist: u64, code_size: Option<u64>, at: &dyn Fn(u64) -> Cursor<'a>) -> Self {
        let table = |sizes: &SizeTable, data: u64, panorama| {
            let (vector, sparse) = match sizes {
                SizeTable::Full(vector) => (vector, false),
                SizeTable::Sparse(vector) => (vector, true),
            };
            let sizes = at(vector.data.start).over(vector.data.clone());
            Walk::Table { sizes, sparse, last: None, data: at(data), panorama }
        };
        let walk = match format {
            ListFormat::Absent => Walk::Nothing,
            ListFormat::Array { sizes, data } => table(sizes, *data, None),
            ListFormat::Panorama { sizes, levels, batch, data } => table(sizes, *data, Some((*levels, *batch))),
            ListFormat::Blocks { rows_per_block, block_bytes, data } => {
                Walk::Blocks { data: at(*data), rows_per_block: *rows_per_block, block_bytes: *block_bytes }
            }
            ListFormat::OnDisk { table, .. } => Walk::OnDisk { table: at(table.data.start).over(table.data.clone()) },
            ListFormat::Apart { ids, codes, code_unit } => {
                Walk::Apart { ids: at(*ids), codes: at(*codes), code_unit: *code_unit }
            }
        };
        Self { nlist, code_size, number: 0, walk }
    }

    /// The next list that is not empty.
    pub(crate) fn next(&mut self) -> Result<Option<List>> {
        while self.number < self.nlist {
            let Some(list) = self.step()? else { return Ok(None) };
            if list.rows > 0 {
                return Ok(Some(list));
            }
        }
        Ok(None)
    }

    /// Where the last list ends, if the lists are in this file.
    fn end(&self) -> Option<u64> {
        match &self.walk {
            Walk::Table { data, .. } | Walk::Blocks { data, .. } => Some(data.offset()),
            Walk::Apart { codes, .. } => Some(codes.offset()),
            Walk::Nothing | Walk::OnDisk { .. } => None,
        }
    }

    fn step(&mut self) -> Result<Option<List>> {
        let number = self.number;
        self.number += 1;
        let (rows, codes, ids) = match &mut self.walk {
            Walk::Nothing => return Ok(None),
            Walk::Table { sizes, sparse: false, data, panorama, .. } => {
                let rows = sizes.u64("a list size")?;
                let (codes, ids) = list_in_array(data, rows, self.code_size, *panorama)?;
                (rows, codes, ids)
            }
            Walk::Table { sizes, sparse: true, last, data, panorama } => {
                if sizes.left() == 0 {
                    self.number = self.nlist;
                    return Ok(None);
                }
                let at = sizes.offset();
                let list = sizes.u64("the number of a list")?;
                if list >= self.nlist || last.is_some_and(|last| list <= last) {
                    return Err(sizes.corrupt(at, format!("list {list} of {} is out of order", self.nlist)));
                }
                *last = Some(list);
                let rows = sizes.u64("a list size")?;
                let (codes, ids) = list_in_array(data, rows, self.code_size, *panorama)?;
                self.number = list + 1;
                return Ok(Some(List { number: list, rows, codes, ids }));
            }
            Walk::Blocks { data, rows_per_block, block_bytes } => {
                let ids = data.vector(ID_BYTES, "the ids of a list")?;
                let codes = data.vector(1, "the codes of a list")?;
                let expected = ids.count.div_ceil(*rows_per_block).checked_mul(*block_bytes);
                if expected != Some(codes.count) {
                    let text = format!("{} bytes of codes for {} rows of list {number}", codes.count, ids.count);
                    return Err(data.corrupt(codes.offset, text));
                }
                (ids.count, codes.data, ids.data)
            }
            Walk::OnDisk { table } => {
                let rows = table.u64("the size of a list in another file")?;
                table.skip(Some(16), "the place of a list in another file")?;
                (rows, 0..0, 0..0)
            }
            Walk::Apart { ids, codes, code_unit } => {
                let ids = ids.vector(ID_BYTES, "the ids of a list")?;
                let found = codes.vector(*code_unit, "the codes of a list")?;
                let expected = self.code_size.and_then(|size| size.checked_mul(ids.count));
                if expected != Some(found.bytes()) {
                    let text = format!("{} bytes of codes for {} rows of list {number}", found.bytes(), ids.count);
                    return Err(codes.corrupt(found.offset, text));
                }
                (ids.count, found.data, ids.data)
            }
        };
        Ok(Some(List { number, rows, codes, ids }))
    }
}

/// Codes, then ids, then the sums of Panorama.
fn list_in_array(
    data: &mut Cursor<'_>,
    rows: u64,
    code_size: Option<u64>,
    panorama: Option<(u64, u64)>,
) -> Result<(Range<u64>, Range<u64>)> {
    let places = match panorama {
        Some((_, batch)) => rows.div_ceil(batch).checked_mul(batch),
        None => Some(rows),
    };
    let product = |a: Option<u64>, b: Option<u64>| a.and_then(|a| b.and_then(|b| a.checked_mul(b)));
    let codes = data.skip(product(places, code_size), "the codes of a list")?;
    let ids = data.skip(rows.checked_mul(ID_BYTES), "the ids of a list")?;
    if let Some((levels, _)) = panorama {
        let floats = levels.checked_add(1).and_then(|each| each.checked_mul(4));
        data.skip(product(places, floats), "the sums of a list")?;
    }
    Ok((codes, ids))
}

/// What the block would hold without rows, as bytes and a number of zero bytes after them.
pub(crate) fn empty_block(lists: &InvertedLists) -> Option<(Vec<u8>, u64)> {
    let code_size = lists.code_size.unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    let mut put = |numbers: &[u64]| bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    match &lists.format {
        ListFormat::Array { .. } => {
            put(&[lists.nlist, code_size]);
            bytes.extend_from_slice(b"sprs");
            Some(([b"ilar".as_slice(), &bytes].concat(), 8))
        }
        ListFormat::Blocks { rows_per_block, block_bytes, .. } => {
            put(&[lists.nlist, code_size, *rows_per_block, *block_bytes]);
            Some(([b"ilbl".as_slice(), &bytes].concat(), 16 * lists.nlist))
        }
        _ => None,
    }
}

/// The sizes of all lists.
pub(crate) fn all_sizes(lists: &InvertedLists, file: &dyn RandomRead, uri: &str) -> Result<Vec<u64>> {
    /// 128 MiB of sizes; a sparse table may claim any number of lists.
    const MOST_LISTS: u64 = 1 << 24;
    let mut sizes = Vec::new();
    let count = to_usize(lists.nlist.min(MOST_LISTS + 1))?;
    if lists.nlist > MOST_LISTS || sizes.try_reserve_exact(count).is_err() {
        let message = format!("{uri}: {} lists are too many to keep all their sizes", lists.nlist);
        return Err(BuildError::new(ErrorKind::OutOfMemory, message));
    }
    sizes.resize(count, 0);
    let mut reader = lists.lists(file, uri);
    while let Some(list) = reader.next()? {
        if let Some(size) = sizes.get_mut(to_usize(list.number)?) {
            *size = list.rows;
        }
    }
    Ok(sizes)
}
