//! The trained state inside a published index: the same file without rows. The fingerprint proves that it is the one.

use sha2::Digest;

use crate::build_context::BuildContext;
use crate::error::Result;
use crate::index_file::{IndexFile, Piece, pieces_length, pieces_without_rows};
use crate::numbers::to_usize;
use crate::training::{begin_fingerprint, hex};

/// Bytes that are held at a time.
const BUFFER_BYTES: u64 = 1 << 20;

/// The pieces of `index` that make the trained state with `fingerprint`, if they do.
pub(crate) fn recover(index: &IndexFile, context: &BuildContext, fingerprint: &str) -> Result<Option<Vec<Piece>>> {
    // The id map around an index is part of what was trained, or was put around it afterwards.
    let id_maps = if index.id_map().is_some() { vec![false, true] } else { vec![false] };
    for id_map in id_maps {
        let pieces = pieces_without_rows(&index.root, id_map);
        let mut hash = begin_fingerprint(context, pieces_length(&pieces))?;
        each_part(index, &pieces, &mut |bytes| {
            hash.update(bytes);
            Ok(())
        })?;
        if hex(&hash.finalize()) == fingerprint {
            return Ok(Some(pieces));
        }
    }
    Ok(None)
}

/// Hands over the bytes of `pieces`, in order, a part at a time.
pub(crate) fn each_part(index: &IndexFile, pieces: &[Piece], take: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut buffer = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Bytes(bytes) => take(bytes)?,
            Piece::File(range) => {
                let mut from = range.start;
                while from < range.end {
                    let count = BUFFER_BYTES.min(range.end - from);
                    buffer.resize(to_usize(count)?, 0);
                    index.file.read_exact_at(from, &mut buffer)?;
                    take(&buffer)?;
                    from += count;
                }
            }
            Piece::Zeros(zeros) => {
                let mut left = *zeros;
                while left > 0 {
                    let count = BUFFER_BYTES.min(left);
                    buffer.clear();
                    buffer.resize(to_usize(count)?, 0);
                    take(&buffer)?;
                    left -= count;
                }
            }
        }
    }
    Ok(())
}
