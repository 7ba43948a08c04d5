//! The pieces of a finished index file.
//!
//! Faiss writes the trained index with the final number of rows in its headers. What belongs between its bytes it
//! hands over from memory that the shim knows, so the places of rows are found whatever the family.

use std::sync::Arc;

use crate::error::{BuildError, ErrorKind, Result};
use crate::faiss_index::{FaissIndex, RowPart, RowPlace, Shape, pack_fast_scan};
use crate::family::{Family, MergePlan};
use crate::index_layout::{CodePart, FilePiece, ListFormat, RowPacking};
use crate::numbers::to_u64;

/// The file of `rows` rows of a family that is merged by lists or by position.
pub(crate) fn index_pieces(trained: &[u8], family: &Family, rows: u64) -> Result<Vec<FilePiece>> {
    let index = FaissIndex::read(trained)?;
    let shape = index.shape();
    let template = index.into_template(rows, family.id_map())?;
    let mut pieces = Vec::with_capacity(template.places.len() * 2 + 1);
    let mut begin = 0;
    for place in &template.places {
        let before =
            template.bytes.get(begin..place.offset).ok_or_else(|| unexpected("its places are not in order"))?;
        if !before.is_empty() {
            pieces.push(FilePiece::Bytes(before.to_vec()));
        }
        pieces.push(piece_of(place, shape, family));
        begin = place.offset;
    }
    let after = template.bytes.get(begin..).unwrap_or_default();
    if !after.is_empty() {
        pieces.push(FilePiece::Bytes(after.to_vec()));
    }
    let has_lists = pieces.iter().any(|piece| matches!(piece, FilePiece::Lists { .. }));
    if has_lists == (family.merge_plan() == MergePlan::ByLists) {
        Ok(pieces)
    } else {
        Err(unexpected("its lists are not where the plan has them"))
    }
}

fn piece_of(place: &RowPlace, shape: Shape, family: &Family) -> FilePiece {
    let packing = fast_scan_packing(shape);
    let codes = |part, packing| FilePiece::Codes { part, unit_bytes: place.unit_bytes, packing };
    match place.part {
        RowPart::Lists => {
            FilePiece::Lists { format: packing.map_or(ListFormat::Array, ListFormat::Blocks), labels: family.labels() }
        }
        RowPart::FirstCodes => codes(CodePart::First, packing),
        RowPart::SecondCodes => codes(CodePart::Second, None),
        RowPart::IdMap => FilePiece::IdMap,
    }
}

fn fast_scan_packing(shape: Shape) -> Option<Arc<dyn RowPacking>> {
    let Shape { packed_block_rows: block_rows, packed_subquantizers: subquantizers, .. } = shape;
    if block_rows == 0 {
        return None;
    }
    Some(Arc::new(FastScanPacking { block_rows, subquantizers }))
}

/// 4-bit codes in the order in which fast scan reads them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FastScanPacking {
    block_rows: u64,
    subquantizers: u64,
}

impl RowPacking for FastScanPacking {
    fn rows_per_block(&self) -> u64 {
        self.block_rows
    }

    fn block_bytes(&self) -> u64 {
        self.block_rows * self.subquantizers.div_ceil(2)
    }

    fn pack(&self, codes: &[u8], rows: usize, packed: &mut [u8]) -> Result<()> {
        pack_fast_scan(self.subquantizers, self.block_rows, to_u64(rows), codes, packed)
    }
}

/// The beginning of Faiss' block of inverted lists (`write_InvertedLists` in index_write.cpp): all sizes, or pairs of
/// list and size when half of the lists or more are empty. The codes and then the labels of each list follow.
pub(crate) fn list_block_header(nlist: u64, code_size: u64, sizes: &[u64]) -> Vec<u8> {
    let filled = to_u64(sizes.iter().filter(|size| **size > 0).count());
    let (name, table): (&[u8; 4], Vec<u64>) = if filled > nlist / 2 {
        (b"full", sizes.to_vec())
    } else {
        let pairs = (0..).zip(sizes).filter(|(_, size)| **size > 0).flat_map(|(list, size)| [list, *size]);
        (b"sprs", pairs.collect())
    };
    let mut header = b"ilar".to_vec();
    header.extend_from_slice(&nlist.to_le_bytes());
    header.extend_from_slice(&code_size.to_le_bytes());
    header.extend_from_slice(name);
    header.extend_from_slice(&to_u64(table.len()).to_le_bytes());
    header.extend(table.iter().flat_map(|number| number.to_le_bytes()));
    header
}

/// The beginning of Faiss' block of interleaved lists (`BlockInvertedListsIOHook::write`). For each list, the number
/// of rows (u64), their labels, the number of bytes of its blocks (u64) and its blocks follow.
#[cfg_attr(not(test), expect(dead_code, reason = "filled by the merge of pieces"))]
pub(crate) fn packed_list_block_header(nlist: u64, packing: &dyn RowPacking) -> Vec<u8> {
    /// Faiss' mark for codes that are not one after the other (InvertedLists::INVALID_CODE_SIZE).
    const NO_CODE_SIZE: u64 = u64::MAX;
    let numbers = [nlist, NO_CODE_SIZE, packing.rows_per_block(), packing.block_bytes()];
    let mut header = b"ilbl".to_vec();
    header.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    header
}

/// Where the rows of a single code go in a file without packing or positions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum IndexTemplate {
    /// `before`, then the block of inverted lists.
    ByLists { before: Vec<u8> },
    /// `before`, the number of code units, the codes, `between`, the number of rows, the ids.
    ByPosition { before: Vec<u8>, code_units: u64, between: Vec<u8> },
}

impl IndexTemplate {
    /// The template of `rows` rows.
    pub(crate) fn new(trained: &[u8], family: &Family, rows: u64) -> Result<Self> {
        let code_size = FaissIndex::read(trained)?.shape().code_size;
        let pieces = index_pieces(trained, family, rows)?;
        match pieces.as_slice() {
            [FilePiece::Bytes(before), FilePiece::Lists { format: ListFormat::Array, .. }] => {
                Ok(Self::ByLists { before: before.clone() })
            }
            [
                FilePiece::Bytes(before),
                FilePiece::Codes { unit_bytes, packing: None, .. },
                rest @ ..,
                FilePiece::IdMap,
            ] => {
                let between = match rest {
                    [FilePiece::Bytes(between)] => between.clone(),
                    _ => Vec::new(),
                };
                Ok(Self::ByPosition { before: before.clone(), code_units: rows * code_size / unit_bytes, between })
            }
            _ => Err(unexpected("this merge does not know its pieces")),
        }
    }
}

fn unexpected(what: &str) -> BuildError {
    BuildError::new(ErrorKind::Internal, format!("Faiss wrote this family in a way that is not known: {what}"))
}
