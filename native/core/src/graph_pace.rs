//! How many rows are searched at the same time: what is best depends on the rows, the machine and its other load, and
//! changes while the graph grows. It decides how long a build takes, never its result.

use std::time::Duration;

/// More rows than this per thread are not searched ahead.
const MOST_AHEAD: usize = 32;
/// Rows that are searched ahead per thread where nothing is known.
const FIRST_AHEAD: usize = 8;
/// Rows by which a way is measured, after as many that only let it settle.
const TRIED_ROWS: usize = 128;
/// Rows after which the ways are compared again: as the graph grows, ever more rows are in each other's way no more.
const LEAST_SETTLED_ROWS: usize = 256;
const MOST_SETTLED_ROWS: usize = 65_536;

/// Chooses between one row at a time and several by measuring both, again and again.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    ahead: Ahead,
    phase: Phase,
    /// Rows of the phase, and of them those that were measured.
    rows: usize,
    measured: usize,
    time: Duration,
    /// Seconds per row, alone.
    alone: f64,
    /// Rows of all phases.
    all_rows: usize,
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
        let rows = FIRST_AHEAD * threads;
        let ahead = Ahead { rows, least: threads, most: MOST_AHEAD * threads, searched: 0, committed: 0 };
        Self { phase: Phase::TryAlone, ..Self::with(ahead) }
    }

    pub(crate) fn always(rows: usize) -> Self {
        Self::with(Ahead { rows, least: rows, most: rows, searched: 0, committed: 0 })
    }

    fn with(ahead: Ahead) -> Self {
        Self { ahead, phase: Phase::Always, rows: 0, measured: 0, time: Duration::ZERO, alone: 0.0, all_rows: 0 }
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
        self.all_rows += committed;
        // The first rows alone may have been searched while several were: they take no time and say nothing.
        if self.rows > TRIED_ROWS {
            self.measured += committed;
            self.time += time;
        }
        match self.phase {
            Phase::Always => (),
            Phase::TryAlone if self.measured >= TRIED_ROWS => {
                self.alone = self.seconds_per_row();
                self.enter(Phase::TryTogether);
            }
            Phase::TryTogether if self.measured >= TRIED_ROWS => {
                self.enter(if self.seconds_per_row() < self.alone { Phase::Together } else { Phase::Alone });
            }
            Phase::TryAlone | Phase::TryTogether => (),
            Phase::Alone | Phase::Together => {
                if self.rows >= (self.all_rows / 4).clamp(LEAST_SETTLED_ROWS, MOST_SETTLED_ROWS) {
                    self.enter(Phase::TryAlone);
                }
            }
        }
    }

    fn seconds_per_row(&self) -> f64 {
        self.time.as_secs_f64() / f64::from(u32::try_from(self.measured).unwrap_or(u32::MAX))
    }

    fn enter(&mut self, phase: Phase) {
        if phase == Phase::TryTogether {
            self.ahead.rows = self.ahead.rows.max((FIRST_AHEAD * self.ahead.least).min(self.ahead.most));
        }
        (self.phase, self.rows, self.measured, self.time) = (phase, 0, 0, Duration::ZERO);
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
        for _ in 0..6 * TRIED_ROWS {
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
        for _ in 0..LEAST_SETTLED_ROWS {
            pace.record(1, 1, Duration::from_micros(10));
        }
        assert!(settle(&mut pace, 10, 5) > 1);
    }

    #[test]
    fn rows_that_were_searched_while_several_were_do_not_make_one_at_a_time_look_faster() {
        let mut pace = Pace::new(4);
        for _ in 0..TRIED_ROWS {
            pace.record(0, 1, Duration::ZERO);
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
