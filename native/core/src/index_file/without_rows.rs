//! The trained index inside a finished one: the same file with no rows in it.

use std::ops::Range;

use crate::index_file::node::{Node, Role, RowBytes};

/// A part of the trained index's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Bytes of the finished file.
    File(Range<u64>),
    Bytes(Vec<u8>),
    Zeros(u64),
}

/// The bytes of the index without rows, in order. `id_map`: whether an id map around the index is kept, empty.
pub(crate) fn pieces_without_rows(root: &Node, id_map: bool) -> Vec<Piece> {
    let inner = root.part(Role::Index).filter(|_| root.id_map.is_some() && !id_map);
    let root = inner.unwrap_or(root);
    let mut row_bytes: Vec<&RowBytes> = root.with_rows().into_iter().flat_map(|node| &node.row_bytes).collect();
    row_bytes.sort_by_key(|bytes| bytes.range.start);

    let mut pieces = Vec::new();
    let mut from = root.span.start;
    for RowBytes { range, without_rows, zeros } in row_bytes {
        pieces.push(Piece::File(from..range.start));
        pieces.push(Piece::Bytes(without_rows.clone()));
        pieces.push(Piece::Zeros(*zeros));
        from = range.end;
    }
    pieces.push(Piece::File(from..root.span.end));
    pieces
}

/// Bytes of all pieces.
pub(crate) fn pieces_length(pieces: &[Piece]) -> u64 {
    pieces
        .iter()
        .map(|piece| match piece {
            Piece::File(range) => range.end - range.start,
            Piece::Bytes(bytes) => crate::numbers::to_u64(bytes.len()),
            Piece::Zeros(count) => *count,
        })
        .sum()
}
