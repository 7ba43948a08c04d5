//! Fills the pieces of an index file, whose places are all known before the first byte is written.

use crate::error::{BuildError, ErrorKind, Result};
use crate::index_layout::{CodePart, FilePiece, ListFormat, RowPacking};
use crate::index_template::{list_block_header, packed_list_block_header};
use crate::merge::list_blocks::{BlockBuffers, LargeList, ListBlock, ListPlanner, list_bytes};
use crate::merge::output::Output;
use crate::merge::part::Claim;
use crate::merge::positions::LabelSource;
use crate::merge::row_merge::RowMerge;
use crate::merge::runs::{again, finish};
use crate::merge::sequence::{Content, SequencePasses, write_all_rows, write_sequence};
use crate::numbers::to_u64;
use crate::run_file::{RunLayout, Section};
use crate::run_reader::SectionPass;

/// The length of the file that `pieces` make with `kept` rows in each list.
pub(crate) fn file_bytes(pieces: &[FilePiece], layout: &RunLayout, kept: &[u64]) -> u64 {
    let rows = kept.iter().sum();
    let bytes = |piece: &FilePiece| match piece {
        FilePiece::Bytes(bytes) => to_u64(bytes.len()),
        FilePiece::Lists { format, .. } => {
            let lists: u64 = kept.iter().map(|size| list_bytes(format, layout.code_size, *size)).sum();
            to_u64(lists_header(format, layout, kept).len()) + lists
        }
        FilePiece::Codes { part, packing, .. } => 8 + codes_bytes(*part, packing.as_deref(), layout, rows),
        FilePiece::IdMap => 8 + 8 * rows,
    };
    pieces.iter().map(bytes).sum()
}

/// Writes `pieces` from the first to the last.
pub(crate) fn assemble(pieces: &[FilePiece], merge: &RowMerge, output: &Output, block_bytes: usize) -> Result<()> {
    let layout = &merge.runs.layout;
    let rows: u64 = merge.kept.iter().sum();
    let mut offset = 0;
    for piece in pieces {
        let begin = offset;
        offset += file_bytes(std::slice::from_ref(piece), layout, merge.kept);
        let is_reached = output.window().reaches(&(begin..offset));
        match piece {
            FilePiece::Bytes(bytes) => output.write(begin, bytes)?,
            FilePiece::Lists { .. } | FilePiece::Codes { part: CodePart::First, .. }
                if !is_reached && !merge.needs_first_codes => {}
            FilePiece::Codes { part: CodePart::Second, .. } | FilePiece::IdMap if !is_reached => {}
            FilePiece::Lists { format, .. } => {
                let header = lists_header(format, layout, merge.kept);
                output.write(begin, &header)?;
                write_lists(merge, output, format, begin + to_u64(header.len()), block_bytes)?;
            }
            FilePiece::Codes { part, unit_bytes, packing } => {
                let packing = packing.as_deref();
                let units = codes_bytes(*part, packing, layout, rows) / (*unit_bytes).max(1);
                output.write(begin, &units.to_le_bytes())?;
                let content = match part {
                    CodePart::First if layout.nlist == 1 => Content::Codes { list: 0, packing },
                    CodePart::First => return Err(unknown("first codes in id order beside inverted lists")),
                    CodePart::Second => Content::SecondCodes { packing },
                };
                write_all_rows(merge, output, content, begin + 8, block_bytes)?;
            }
            FilePiece::IdMap => {
                output.write(begin, &rows.to_le_bytes())?;
                write_all_rows(merge, output, Content::Ids { list: None }, begin + 8, block_bytes)?;
            }
        }
    }
    Ok(())
}

fn codes_bytes(part: CodePart, packing: Option<&dyn RowPacking>, layout: &RunLayout, rows: u64) -> u64 {
    let code_size = match part {
        CodePart::First => layout.code_size,
        CodePart::Second => layout.second_code_size,
    };
    match packing {
        None => rows * code_size,
        Some(packing) => rows.div_ceil(packing.rows_per_block()) * packing.block_bytes(),
    }
}

/// What Faiss writes before the first list.
fn lists_header(format: &ListFormat, layout: &RunLayout, kept: &[u64]) -> Vec<u8> {
    match format {
        ListFormat::Array => list_block_header(layout.nlist, layout.code_size, kept),
        ListFormat::Blocks(packing) => packed_list_block_header(layout.nlist, packing.as_ref()),
    }
}

fn write_lists(merge: &RowMerge, output: &Output, format: &ListFormat, offset: u64, block_bytes: usize) -> Result<()> {
    let sizes = merge.runs.passes(Section::ListSizes);
    let ids = merge.runs.passes(Section::Ids);
    let codes = merge.runs.passes(Section::Codes);
    let (ids_again, codes_again) = (again(&ids), again(&codes));
    let buffers = BlockBuffers::default();
    let mut planner = ListPlanner::new(merge, format, &sizes, offset, block_bytes);
    loop {
        output.fill(
            || loop {
                merge.cancellation.check()?;
                let Some(mut block) = planner.next()? else { return Ok(None) };
                match output.claim(&block.bytes(), merge.needs_first_codes) {
                    Claim::Foreign => continue,
                    claim => block.is_own = claim == Claim::Own,
                }
                return Ok(Some(block));
            },
            |block: &mut ListBlock| match block.is_own {
                true => block.read(&ids, &codes, merge, &buffers),
                false => block.read(&ids_again, &codes_again, merge, &buffers),
            },
            |block| block.merge(merge, format, &buffers),
        )?;
        let Some(large) = planner.large_list()? else { break };
        let end = large.offset + list_bytes(format, merge.runs.layout.code_size, merge.kept[large.list]);
        if !output.window().reaches(&(large.offset..end)) && !merge.needs_first_codes {
            continue;
        }
        write_large_list(merge, output, format, &large, [&ids, &codes], block_bytes)?;
    }
    finish(&sizes)?;
    output.window().settle(Section::Ids, &ids)?;
    output.window().settle(Section::Codes, &codes)
}

/// The codes of a list that is larger than a block, and its labels, in the order of the format.
fn write_large_list(
    merge: &RowMerge,
    output: &Output,
    format: &ListFormat,
    large: &LargeList,
    [ids, codes]: [&[SectionPass]; 2],
    block_bytes: usize,
) -> Result<()> {
    let list = u32::try_from(large.list).map_err(|_| unknown("a list number beyond 32 bits"))?;
    let kept = merge.kept[large.list];
    let code_size = merge.runs.layout.code_size;
    // One task alone counts the ids of the list: the one that it begins with.
    let is_own = output.claim(&(large.offset..large.offset), false) == Claim::Own;
    let ranges = ids.iter().zip(&large.ranges);
    let ids: Vec<SectionPass> = match is_own {
        true => ranges.map(|(pass, (first, rows))| pass.part(*first, *rows)).collect(),
        false => ranges.map(|(pass, (first, rows))| pass.reread(*first, *rows)).collect(),
    };
    let write_codes = |offset, packing| {
        let passes = SequencePasses { ids: &ids, codes, lists: None };
        let content = Content::Codes { list, packing };
        write_sequence(merge, output, &passes, large.ranges.iter().copied(), content, offset, block_bytes)
    };
    // Only the first reading of the ids counts as part of the section, so the second is compared with it.
    let ids_again = again(&ids);
    let write_labels = |offset| match &merge.labels {
        LabelSource::Ids => {
            let passes = SequencePasses { ids: &ids_again, codes: &[], lists: None };
            let content = Content::Ids { list: Some(list) };
            write_sequence(merge, output, &passes, large.ranges.iter().copied(), content, offset, block_bytes)
        }
        labels => write_places(merge, output, labels, large.row, kept, offset, block_bytes),
    };
    match format {
        ListFormat::Array => {
            write_codes(large.offset, None)?;
            write_labels(large.offset + kept * code_size)?;
        }
        ListFormat::Blocks(packing) => {
            output.write(large.offset, &kept.to_le_bytes())?;
            write_labels(large.offset + 8)?;
            let packed = kept.div_ceil(packing.rows_per_block()) * packing.block_bytes();
            output.write(large.offset + 8 + kept * 8, &packed.to_le_bytes())?;
            write_codes(large.offset + 16 + kept * 8, Some(packing.as_ref()))?;
        }
    }
    match &merge.labels {
        LabelSource::Ids => ids_again.iter().zip(&ids).try_for_each(|(again, before)| again.agree(before)),
        _ => Ok(()),
    }
}

fn write_places(
    merge: &RowMerge,
    output: &Output,
    labels: &LabelSource,
    row: u64,
    kept: u64,
    offset: u64,
    block_bytes: usize,
) -> Result<()> {
    for first in (0..kept).step_by((block_bytes / 8).max(1)) {
        merge.cancellation.check()?;
        let count = to_u64(block_bytes / 8).max(1).min(kept - first);
        let begin = offset + first * 8;
        if output.claim(&(begin..begin + count * 8), false) == Claim::Foreign {
            continue;
        }
        let places = match labels {
            LabelSource::Places(places) => places.read(row + first, count)?,
            _ => (first..first + count).flat_map(u64::to_le_bytes).collect(),
        };
        output.write(begin, &places)?;
    }
    Ok(())
}

fn unknown(what: &str) -> BuildError {
    BuildError::new(ErrorKind::Internal, format!("the merge cannot write {what}"))
}
