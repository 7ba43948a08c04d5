//! The bytes of a finished index file around its rows.
//!
//! Faiss writes the trained index twice, with the final number of rows in its headers and a different placeholder
//! where the rows belong. What both have in common is the file's beginning and end, whatever the family; the merge
//! streams the rows in between.

use crate::error::{BuildError, ErrorKind, Result};
use crate::faiss_index::FaissIndex;
use crate::family::MergePlan;
use crate::numbers::{to_u64, to_usize};

/// Where the rows go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum IndexTemplate {
    /// `before`, then the block of inverted lists.
    ByLists { before: Vec<u8> },
    /// `before`, the number of code units, the codes, `between`, the number of rows, the ids.
    ByPosition { before: Vec<u8>, code_units: u64, between: Vec<u8> },
}

impl IndexTemplate {
    /// The template of `rows` rows.
    pub(crate) fn new(trained: &[u8], plan: MergePlan, rows: u64) -> Result<Self> {
        let mut index = FaissIndex::read(trained)?;
        match plan {
            MergePlan::ByLists => {
                let file = index.write(rows, false, 0)?;
                let shape = index.shape();
                let empty = list_block_header(shape.nlist, shape.code_size, &vec![0; to_usize(shape.nlist)?]);
                match file.strip_suffix(empty.as_slice()) {
                    Some(before) => Ok(Self::ByLists { before: before.to_vec() }),
                    None => Err(unexpected("its inverted lists are not the last block")),
                }
            }
            MergePlan::ByPosition => {
                let (none, one) = (index.write(rows, true, 0)?, index.write(rows, true, 1)?);
                Self::by_position(&none, &one, rows, index.shape().code_size)
            }
        }
    }

    /// `none` holds no code and `one` a single one; they differ first in the number of code units.
    fn by_position(none: &[u8], one: &[u8], rows: u64, code_size: u64) -> Result<Self> {
        /// The id map is the last block of the file: the number of ids, which is zero here.
        const EMPTY_ID_MAP: [u8; 8] = [0; 8];
        let differ = none.iter().zip(one).take_while(|(a, b)| a == b).count();
        // Faiss counts the codes of Flat in floats and all others in bytes. A count whose low bytes are zero differs
        // from 0 in a later byte only.
        let units_at = |at: &usize| {
            let number = |file: &[u8]| file.get(*at..at + 8).and_then(|b| b.try_into().ok()).map(u64::from_le_bytes);
            number(one).filter(|units| {
                number(none) == Some(0) && (*units == code_size || units.checked_mul(4) == Some(code_size))
            })
        };
        let found = (differ.saturating_sub(7)..=differ).find_map(|at| units_at(&at).map(|units| (at, units)));
        let Some((at, units)) = found else {
            return Err(unexpected("its codes cannot be found"));
        };
        let Some(between) = none[at + 8..].strip_suffix(&EMPTY_ID_MAP) else {
            return Err(unexpected("its id map is not the last block"));
        };
        let grew_by_one_code = to_u64(one.len()) == to_u64(none.len()) + code_size;
        if !grew_by_one_code || !one.ends_with(&[between, EMPTY_ID_MAP.as_slice()].concat()) {
            return Err(unexpected("its codes are not in one place"));
        }
        Ok(Self::ByPosition { before: none[..at].to_vec(), code_units: units * rows, between: between.to_vec() })
    }
}

/// The beginning of Faiss' block of inverted lists (`write_InvertedLists` in index_write.cpp): all sizes, or pairs of
/// list and size when half of the lists or more are empty. The codes and then the ids of each list follow.
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

fn unexpected(what: &str) -> BuildError {
    BuildError::new(ErrorKind::Internal, format!("Faiss wrote this family in a way that is not known: {what}"))
}
