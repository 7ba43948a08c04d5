//! How far a stage is: a bar with rate and time left, or lines every few seconds.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressState, ProgressStyle};

use crate::arguments::ProgressChoice;
use crate::console;

/// How often [`Phase::set`] is worth calling.
pub(crate) const REFRESH: Duration = Duration::from_millis(100);

const BETWEEN_LINES: Duration = Duration::from_secs(3);

/// One stage over all its partitions.
#[derive(Debug)]
pub(crate) struct Phase {
    name: &'static str,
    /// Rows of all partitions; training does not say how far it is.
    total: Option<u64>,
    /// Rows that an earlier process did.
    before: u64,
    began: Instant,
    view: View,
}

#[derive(Debug)]
enum View {
    Bar(ProgressBar),
    Lines { last: Mutex<Instant> },
    Nothing,
}

impl Phase {
    pub(crate) fn begin(how: ProgressChoice, name: &'static str, total: Option<u64>, before: u64) -> Self {
        let began = Instant::now();
        let view = match how {
            ProgressChoice::Bar => View::Bar(bar(name, total, before)),
            ProgressChoice::Lines => View::Lines { last: Mutex::new(began) },
            ProgressChoice::Auto | ProgressChoice::None => View::Nothing,
        };
        Self { name, total, before, began, view }
    }

    /// Shows that `rows` rows are done.
    pub(crate) fn set(&self, rows: u64) {
        match &self.view {
            View::Bar(bar) if self.total.is_some() => bar.set_position(rows),
            View::Bar(bar) => bar.tick(),
            View::Lines { last } => {
                let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                if last.elapsed() >= BETWEEN_LINES {
                    *last = Instant::now();
                    console::say(&self.line(rows, self.began.elapsed()));
                }
            }
            View::Nothing => {}
        }
    }

    /// Shows that the stage is done.
    pub(crate) fn finish(self, rows: u64) {
        match &self.view {
            View::Bar(bar) => {
                bar.finish_and_clear();
                console::say(&self.last_line(rows, self.began.elapsed()));
            }
            View::Lines { .. } => console::say(&self.last_line(rows, self.began.elapsed())),
            View::Nothing => {}
        }
    }

    fn last_line(&self, rows: u64, elapsed: Duration) -> String {
        let (name, count, seconds) = (self.name, HumanCount(rows), elapsed.as_secs_f32());
        match rows.saturating_sub(self.before) {
            _ if self.total.is_none() => format!("{name}: done in {seconds:.1} s"),
            0 => format!("{name}: {count} rows were done before"),
            here => format!("{name}: {count} rows done in {seconds:.1} s, {} rows/s", rate(here, elapsed)),
        }
    }

    fn line(&self, rows: u64, elapsed: Duration) -> String {
        let Some(total) = self.total else {
            return format!("{}: {} s", self.name, elapsed.as_secs());
        };
        let done = rows.saturating_sub(self.before);
        let rate = rate(done, elapsed);
        let percent = rows.min(total) * 100 / total.max(1);
        let mut line =
            format!("{}: {} of {} rows, {percent} %, {rate} rows/s", self.name, HumanCount(rows), HumanCount(total));
        if done > 0 {
            let left = u128::from(total.saturating_sub(rows)) * elapsed.as_millis() / u128::from(done) / 1000;
            line += &format!(", {} left", readable(u64::try_from(left).unwrap_or(u64::MAX)));
        }
        line
    }
}

/// The bar of a stage that failed makes room for the reason.
impl Drop for Phase {
    fn drop(&mut self) {
        if let View::Bar(bar) = &self.view {
            bar.finish_and_clear();
        }
    }
}

fn bar(name: &'static str, total: Option<u64>, before: u64) -> ProgressBar {
    let template = match (total.is_some(), console::has_color()) {
        (true, true) => "{prefix:7} {bar:25.cyan/dim} {percent:>3} %  {human_pos} of {human_len} rows  {rate}  {left}",
        (true, false) => "{prefix:7} {bar:25} {percent:>3} %  {human_pos} of {human_len} rows  {rate}  {left}",
        (false, true) => "{prefix:7} {spinner:.cyan} {time}",
        (false, false) => "{prefix:7} {spinner} {time}",
    };
    // The templates are constants; were one wrong, indicatif's own bar would do.
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let style = style
        .progress_chars("━━─")
        .with_key("time", write_time)
        .with_key("rate", write_rate)
        .with_key("left", write_time_left);
    let bar = match total {
        Some(total) => ProgressBar::new(total),
        None => ProgressBar::no_length(),
    };
    let bar = console::bars().add(bar.with_style(style).with_prefix(name));
    bar.set_position(before);
    bar.reset_eta();
    bar.reset_elapsed();
    bar
}

fn write_rate(state: &ProgressState, text: &mut dyn std::fmt::Write) {
    let per_second = Duration::try_from_secs_f64(state.per_sec()).map_or(0, |rate| rate.as_secs());
    let _infallible = write!(text, "{} rows/s", HumanCount(per_second));
}

fn write_time(state: &ProgressState, text: &mut dyn std::fmt::Write) {
    let _infallible = write!(text, "{}", readable(state.elapsed().as_secs()));
}

fn write_time_left(state: &ProgressState, text: &mut dyn std::fmt::Write) {
    let _infallible = write!(text, "{} left", readable(state.eta().as_secs()));
}

/// Seconds in the two largest units.
fn readable(seconds: u64) -> String {
    match (seconds / 3600, seconds / 60) {
        (0, 0) => format!("{seconds} s"),
        (0, minutes) => format!("{minutes} min {} s", seconds % 60),
        (hours, minutes) => format!("{hours} h {} min", minutes % 60),
    }
}

fn rate(rows: u64, elapsed: Duration) -> HumanCount {
    let per_second = u128::from(rows) * 1000 / elapsed.as_millis().max(1);
    HumanCount(u64::try_from(per_second).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_rows_share_rate_and_time_left_of_this_process() {
        let phase = Phase::begin(ProgressChoice::Lines, "encode", Some(4_000_000), 1_000_000);
        let line = phase.line(2_000_000, Duration::from_secs(10));
        assert_eq!(line, "encode: 2,000,000 of 4,000,000 rows, 50 %, 100,000 rows/s, 20 s left");
        let phase = Phase::begin(ProgressChoice::Lines, "train", None, 0);
        assert_eq!(phase.line(0, Duration::from_secs(7)), "train: 7 s");
    }

    #[test]
    fn time_left_is_readable() {
        for (seconds, text) in [(0, "0 s"), (59, "59 s"), (150, "2 min 30 s"), (7_380, "2 h 3 min")] {
            assert_eq!(readable(seconds), text);
        }
    }

    #[test]
    fn the_last_line_of_a_stage_counts_what_this_process_did() {
        let seconds = Duration::from_secs(2);
        for (total, before, rows, expected) in [
            (Some(10_000), 4_000, 10_000, "encode: 10,000 rows done in 2.0 s, 3,000 rows/s"),
            (Some(10_000), 10_000, 10_000, "encode: 10,000 rows were done before"),
            (None, 0, 500, "encode: done in 2.0 s"),
        ] {
            let phase = Phase::begin(ProgressChoice::Lines, "encode", total, before);
            assert_eq!(phase.last_line(rows, seconds), expected);
        }
    }
}
