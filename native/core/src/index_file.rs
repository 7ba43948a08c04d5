//! Faiss' index files as they are on disk: which indexes they hold, with what parameters, and where their rows are.
//!
//! Nothing of the payload is loaded, so files of any length can be described. A file may be truncated, damaged or made
//! to harm: every length is compared with what is left of the file before anything is read, kept or skipped by it.

use std::ops::Range;

use faiss_indexer_storage::{RandomRead, Storages};

use crate::error::{BuildError, ErrorKind, Result};

mod binary;
mod cursor;
mod flat_families;
mod graphs;
mod inverted_lists;
mod list_families;
mod node;
mod packed_codes;
mod quantizers;
#[cfg(test)]
pub(crate) mod tests;
mod transforms;
mod without_rows;
mod wrappers;

use cursor::{Cursor, FourCc, Vector};
pub(crate) use inverted_lists::{InvertedLists, List, ListFormat, all_sizes};
pub(crate) use node::{Node, Role, metric_name};
pub(crate) use packed_codes::PackedReader;
pub(crate) use without_rows::{Piece, pieces_length, pieces_without_rows};

use node::{Header, RowBytes};

/// Indexes and transforms inside one another. Faiss' own factory nests six deep at most.
const MOST_DEPTH: u32 = 24;
/// Indexes and transforms of one file; each is kept.
const MOST_PARTS: u32 = 4096;

/// An open index file.
pub(crate) struct IndexFile {
    pub(crate) uri: String,
    pub(crate) file: Box<dyn RandomRead>,
    pub(crate) root: Node,
}

impl IndexFile {
    /// Opens the file and understands it to its last byte.
    pub(crate) fn open(uri: &str, storages: &Storages) -> Result<Self> {
        let file = storages.resolve(uri)?.open(uri)?;
        let root = parse(file.as_ref(), uri)?;
        Ok(Self { uri: uri.to_owned(), file, root })
    }

    /// The first index of the tree that has inverted lists for the rows.
    pub(crate) fn with_lists(&self) -> Option<(&Node, &InvertedLists)> {
        self.root.with_rows().into_iter().find_map(|node| node.lists.as_ref().map(|lists| (node, lists)))
    }

    /// The id map around the index, if it has one.
    pub(crate) fn id_map(&self) -> Option<&Vector> {
        self.root.id_map.as_ref()
    }
}

/// Understands all of `file`.
pub(crate) fn parse(file: &dyn RandomRead, uri: &str) -> Result<Node> {
    let mut parser = Parser { cursor: Cursor::new(file, uri, 0..file.length()), uri, depth: 0, parts: 0 };
    let root = parser.index()?;
    if parser.cursor.left() > 0 {
        let text = format!("{} bytes follow the end of the index", parser.cursor.left());
        return Err(parser.cursor.corrupt(parser.cursor.offset(), text));
    }
    Ok(root)
}

/// Reads one index after the other; its methods are spread over the files of this module.
pub(crate) struct Parser<'a> {
    cursor: Cursor<'a>,
    uri: &'a str,
    depth: u32,
    parts: u32,
}

impl Parser<'_> {
    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.depth += 1;
        self.parts += 1;
        if self.depth > MOST_DEPTH || self.parts > MOST_PARTS {
            let text = format!("more than {MOST_DEPTH} indexes inside one another, or more than {MOST_PARTS} in all");
            return Err(self.cursor.corrupt(self.cursor.offset(), text));
        }
        let result = read(self);
        self.depth -= 1;
        result
    }

    /// The index at the cursor, which must be there.
    fn index(&mut self) -> Result<Node> {
        let begin = self.cursor.offset();
        self.optional_index()?.ok_or_else(|| self.cursor.corrupt(begin, "there is no index where one is needed"))
    }

    /// The index at the cursor, or nothing where Faiss wrote that there is none.
    fn optional_index(&mut self) -> Result<Option<Node>> {
        self.nested(|parser| {
            let begin = parser.cursor.offset();
            let fourcc = parser.cursor.fourcc("an index")?;
            if &fourcc.0 == b"null" {
                return Ok(None);
            }
            for family in [Self::flat_family, Self::list_family, Self::wrapper, Self::binary_family] {
                if let Some(mut node) = family(parser, begin, fourcc)? {
                    node.span = begin..parser.cursor.offset();
                    return Ok(Some(node));
                }
            }
            Err(parser.unknown(begin, fourcc))
        })
    }

    fn unknown(&self, begin: u64, fourcc: FourCc) -> BuildError {
        // ScalableVectorSearch writes streams of its own, whose ends only its library finds.
        let external = ["ILVQ", "ISVL", "ISVD", "ISV2", "ISVF", "ISIQ", "ISIL", "ISID"];
        let uri = self.uri;
        if external.contains(&fourcc.to_string().as_str()) {
            let message = format!(
                "{uri}: '{fourcc}' at byte {begin} is an index of ScalableVectorSearch, which only its library reads"
            );
            return BuildError::new(ErrorKind::CorruptFile, message);
        }
        let [a, b, c, d] = fourcc.0;
        let what = format!("'{fourcc}' ({a:02x} {b:02x} {c:02x} {d:02x}) is no index that this version knows");
        if begin == 0 {
            return BuildError::new(
                ErrorKind::CorruptFile,
                format!("{uri} is no index file of Faiss: at byte 0: {what}"),
            );
        }
        self.cursor.corrupt(begin, what)
    }

    /// The fields that Faiss writes first, and where the number of rows stands.
    fn header(&mut self) -> Result<(Header, RowBytes)> {
        let dimension = self.cursor.small("the dimension")?;
        let at = self.cursor.offset();
        let rows = self.cursor.large("the number of rows")?;
        self.cursor.skip(Some(16), "two numbers that are not used")?;
        let trained = self.cursor.flag("whether the index is trained")?;
        let metric = self.cursor.i32("the metric")?;
        let metric_arg = if metric > 1 { Some(self.cursor.f32("the argument of the metric")?) } else { None };
        Ok((Header { dimension, rows, trained, metric, metric_arg }, count_of_rows(at)))
    }
}

/// The number of rows at `at`, which is zero in an index without rows.
fn count_of_rows(at: u64) -> RowBytes {
    RowBytes { range: at..at + 8, without_rows: Vec::new(), zeros: 8 }
}

/// A vector of rows, which is empty in an index without rows.
fn vector_of_rows(vector: &Vector) -> RowBytes {
    RowBytes { range: vector.span(), without_rows: Vec::new(), zeros: 8 }
}

/// An index of which only the beginning is known.
fn begun(fourcc: FourCc, kind: &'static str, header: Header, count: RowBytes) -> Node {
    Node {
        span: Range::default(),
        fourcc,
        kind,
        family: String::new(),
        header,
        code_size: None,
        parameters: Vec::new(),
        transforms: Vec::new(),
        parts: Vec::new(),
        codes: None,
        codes_row_bytes: None,
        packing: None,
        id_map: None,
        lists: None,
        row_bytes: vec![count],
    }
}
