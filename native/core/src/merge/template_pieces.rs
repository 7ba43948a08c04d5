//! The pieces of the families whose template has one place for all rows.

use crate::error::Result;
use crate::family::MergePlan;
use crate::index_layout::{CodePart, FilePiece, Labels, ListFormat};
use crate::index_template::IndexTemplate;

/// What an index of `rows` rows consists of.
pub(crate) fn pieces(trained: &[u8], plan: MergePlan, code_size: u64, rows: u64) -> Result<Vec<FilePiece>> {
    Ok(match IndexTemplate::new(trained, plan, rows)? {
        IndexTemplate::ByLists { before } => {
            let lists = FilePiece::Lists { format: ListFormat::Array, labels: Labels::Ids };
            vec![FilePiece::Bytes(before), lists]
        }
        IndexTemplate::ByPosition { before, code_units, between } => {
            let unit_bytes = (rows * code_size).checked_div(code_units).unwrap_or(1);
            let codes = FilePiece::Codes { part: CodePart::First, unit_bytes, packing: None };
            vec![FilePiece::Bytes(before), codes, FilePiece::Bytes(between), FilePiece::IdMap]
        }
    })
}
