//! How many rows are searched at the same time: what is best depends on the rows, the machine and its other load, and
//! changes while the graph grows. It decides how long a build takes, never its result.

use std::time::Duration;

/// More rows than this per thread are not searched ahead.
const MOST_AHEAD: usize = 32;
/// Rows after which the two ways are compared, and rows that go the way that was faster.
const TRIED_ROWS: usize = 128;
const SETTLED_ROWS: usize = 8_192;

/// Chooses between one row at a time and several by measuring both, again and again.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    ahead: Ahead,
    phase: Phase,
    rows: usize,
    time: Duration,
    /// Seconds per row, alone.
    alone: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    TryAlone,
    TryTogether,
    Alone,
    Together,
    /// Without measuring.
    Always,
}

/// The number of rows, by how many of their searches turn out to be of use.
#[derive(Debug, Clone)]
struct Ahead {
    rows: usize,
    least: usize,
    most: usize,
    searched: usize,
    committed: usize,
}

impl Pace {
    pub(crate) fn new(threads: usize) -> Self {
        if threads == 1 {
            return Self::always(1);
        }
        let ahead = Ahead { rows: 2 * threads, least: threads, most: MOST_AHEAD * threads, searched: 0, committed: 0 };
        Self { phase: Phase::TryAlone, ..Self::with(ahead) }
    }

    pub(crate) fn always(rows: usize) -> Self {
        Self::with(Ahead { rows, least: rows, most: rows, searched: 0, committed: 0 })
    }

    fn with(ahead: Ahead) -> Self {
        Self { ahead, phase: Phase::Always, rows: 0, time: Duration::ZERO, alone: 0.0 }
    }

    /// Rows of the next round.
    pub(crate) fn rows(&self) -> usize {
        if matches!(self.phase, Phase::TryAlone | Phase::Alone) { 1 } else { self.ahead.rows }
    }

    /// No round is larger.
    pub(crate) fn most_rows(&self) -> usize {
        self.ahead.most
    }

    /// What a round took and gave.
    pub(crate) fn record(&mut self, searched: usize, committed: usize, time: Duration) {
        if matches!(self.phase, Phase::TryTogether | Phase::Together) {
            self.ahead.record(searched, committed);
        }
        self.rows += committed;
        self.time += time;
        let enough = if matches!(self.phase, Phase::TryAlone | Phase::TryTogether) { TRIED_ROWS } else { SETTLED_ROWS };
        if self.rows < enough || self.phase == Phase::Always {
            return;
        }
        let seconds = self.time.as_secs_f64() / f64::from(u32::try_from(self.rows).unwrap_or(u32::MAX));
        self.phase = match self.phase {
            Phase::TryAlone => {
                self.alone = seconds;
                Phase::TryTogether
            }
            Phase::TryTogether if seconds < self.alone => Phase::Together,
            Phase::TryTogether => Phase::Alone,
            _ => Phase::TryAlone,
        };
        (self.rows, self.time) = (0, Duration::ZERO);
    }
}

impl Ahead {
    /// More rows when nearly every search was of use, fewer when many were in vain, judged over enough of both.
    fn record(&mut self, searched: usize, committed: usize) {
        const ENOUGH: usize = 64;
        self.searched += searched;
        self.committed += committed;
        if self.committed < ENOUGH {
            return;
        }
        if self.committed * 20 >= self.searched * 17 {
            self.rows = (self.rows + self.rows / 4 + 1).min(self.most);
        } else if self.committed * 4 < self.searched * 3 {
            self.rows = (self.rows - self.rows / 4).max(self.least);
        }
        (self.searched, self.committed) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settle(pace: &mut Pace, alone: u64, together: u64) -> usize {
        for _ in 0..2 * TRIED_ROWS {
            let rows = pace.rows();
            let micros = if rows == 1 { alone } else { together };
            pace.record(rows, rows, Duration::from_micros(micros * u64::try_from(rows).unwrap()));
            if matches!(pace.phase, Phase::Alone | Phase::Together) {
                break;
            }
        }
        pace.rows()
    }

    #[test]
    fn the_faster_way_is_taken_and_questioned_again() {
        let mut pace = Pace::new(4);
        assert_eq!(settle(&mut pace, 10, 20), 1);
        for _ in 0..SETTLED_ROWS {
            pace.record(1, 1, Duration::from_micros(10));
        }
        assert!(settle(&mut pace, 10, 5) > 1);
    }

    #[test]
    fn rows_in_vain_make_rounds_smaller_and_rows_of_use_make_them_larger_within_bounds() {
        let mut pace = Pace { phase: Phase::Together, ..Pace::new(4) };
        for (searched, committed, expected) in [(128, 128, 128), (128, 64, 4), (64, 64, 128)] {
            for _ in 0..100 {
                pace.ahead.record(searched, committed);
            }
            assert_eq!(pace.rows(), expected);
        }
    }

    #[test]
    fn one_thread_takes_one_row_at_a_time() {
        let mut pace = Pace::new(1);
        pace.record(1, 1, Duration::from_secs(1));
        assert_eq!((pace.rows(), pace.most_rows()), (1, 1));
    }
}
