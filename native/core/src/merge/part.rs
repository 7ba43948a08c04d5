//! One of several tasks that merge into one file. Each writes a range of the bytes of the file; all see the same blocks
//! in the same order, and pass over those that lie outside their range.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::merge::runs::finish;
use crate::numbers::to_u64;
use crate::run_file::Section;
use crate::run_reader::SectionPass;

/// Memory of one block where several tasks merge. Blocks must be the same in all of them, whatever their threads.
pub(crate) const PART_BLOCK_BYTES: usize = 8 << 20;

/// A part of the bytes of a file, and how many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) number: u32,
    pub(crate) of: u32,
}

impl Part {
    /// All of the file.
    pub(crate) const WHOLE: Self = Self { number: 0, of: 1 };

    pub(crate) fn is_whole(self) -> bool {
        self.of <= 1
    }

    /// Its bytes of a file of `length`; parts differ by one byte at most.
    pub(crate) fn range(self, length: u64) -> Range<u64> {
        let of = u64::from(self.of.max(1));
        let begin = |number: u64| length / of * number + (length % of).min(number);
        begin(u64::from(self.number))..begin(u64::from(self.number) + 1)
    }
}

/// What a task has to do with a block of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim {
    /// The block begins here, so what is read for it counts here.
    Own,
    /// It begins in the range of another task, which reads it as well.
    Shared,
    Foreign,
}

/// The bytes of the file that a task writes.
#[derive(Debug)]
pub(crate) struct Window {
    pub(crate) range: Range<u64>,
    part: Part,
    sums: Mutex<SectionSums>,
}

impl Window {
    /// That of `part` of a file of `length` bytes.
    pub(crate) fn new(part: Part, length: u64) -> Self {
        Self { range: part.range(length), part, sums: Mutex::default() }
    }

    /// How far the task is concerned with a block that becomes these bytes. Every block is the own of exactly one task,
    /// and so is one that becomes no bytes.
    pub(crate) fn claim(&self, bytes: &Range<u64>) -> Claim {
        let is_last = self.part.number + 1 >= self.part.of;
        if bytes.start >= self.range.start && (bytes.start < self.range.end || is_last) {
            Claim::Own
        } else if bytes.start < self.range.end && bytes.end > self.range.start {
            Claim::Shared
        } else {
            Claim::Foreign
        }
    }

    /// Whether a block that begins anywhere in `bytes`, or at their end, can be the task's concern.
    pub(crate) fn reaches(&self, bytes: &Range<u64>) -> bool {
        let is_last = self.part.number + 1 >= self.part.of;
        self.range.start <= bytes.end && (bytes.start < self.range.end || is_last)
    }

    /// What of `bytes`, which belong at `offset`, the task writes, and where.
    pub(crate) fn clip<'b>(&self, offset: u64, bytes: &'b [u8]) -> Option<(u64, &'b [u8])> {
        let begin = self.range.start.saturating_sub(offset);
        let end = to_u64(bytes.len()).min(self.range.end.saturating_sub(offset));
        let bytes = bytes.get(usize::try_from(begin).ok()?..usize::try_from(end).ok()?)?;
        (!bytes.is_empty()).then_some((offset + begin, bytes))
    }

    /// Ends a pass over a section of all runs. One task has to have read all of it; of several, each notes what it has
    /// read, for who joins the parts.
    pub(crate) fn settle(&self, section: Section, passes: &[SectionPass]) -> Result<()> {
        if self.part.is_whole() {
            return finish(passes);
        }
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sum) = sums.of(section) {
            passes.iter().for_each(|pass| sum.add(pass.so_far()));
        }
        Ok(())
    }

    pub(crate) fn sums(&self) -> SectionSums {
        *self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What several tasks read of a section of all runs: checksums of ranges, shifted to the end of their sections, add up
/// to the sum of the checksums of the sections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SectionSum {
    pub(crate) crc32c: u32,
    pub(crate) rows: u64,
}

impl SectionSum {
    pub(crate) fn add(&mut self, other: Self) {
        self.crc32c ^= other.crc32c;
        self.rows += other.rows;
    }
}

/// The sections that no task reads alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SectionSums {
    pub(crate) ids: SectionSum,
    pub(crate) codes: SectionSum,
    pub(crate) list_numbers: SectionSum,
    pub(crate) second_codes: SectionSum,
}

impl SectionSums {
    fn of(&mut self, section: Section) -> Option<&mut SectionSum> {
        match section {
            Section::Ids => Some(&mut self.ids),
            Section::Codes => Some(&mut self.codes),
            Section::ListNumbers => Some(&mut self.list_numbers),
            Section::SecondCodes => Some(&mut self.second_codes),
            Section::ListSizes | Section::SortedIds => None,
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.ids.add(other.ids);
        self.codes.add(other.codes);
        self.list_numbers.add(other.list_numbers);
        self.second_codes.add(other.second_codes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_a_file_without_gaps_and_every_block_is_the_own_of_one() {
        for length in [0, 1, 7, 8, 1_000_003] {
            for of in [1, 2, 8, 64] {
                let windows: Vec<Window> = (0..of).map(|number| Window::new(Part { number, of }, length)).collect();
                assert!(windows.windows(2).all(|two| two[0].range.end == two[1].range.start));
                assert_eq!((windows[0].range.start, windows.last().unwrap().range.end), (0, length));
                for begin in [0, 1, length / 3, length / 2, length.saturating_sub(1), length] {
                    for bytes in [begin..begin, begin..length] {
                        let owners = windows.iter().filter(|window| window.claim(&bytes) == Claim::Own).count();
                        assert_eq!(owners, 1, "{bytes:?} of {length} in {of}");
                    }
                }
            }
        }
    }

    #[test]
    fn bytes_are_cut_to_the_range_of_the_part() {
        let window = Window::new(Part { number: 1, of: 3 }, 30);
        assert_eq!(window.clip(5, &[1; 30]), Some((10, &[1; 10][..])));
        assert_eq!(window.clip(15, &[1, 2, 3]), Some((15, &[1, 2, 3][..])));
        assert_eq!(window.clip(19, &[1, 2, 3]), Some((19, &[1][..])));
        for (offset, length) in [(0, 10), (20, 3), (12, 0), (0, 3)] {
            assert_eq!(window.clip(offset, &vec![1; length]), None, "{offset} {length}");
        }
    }
}
