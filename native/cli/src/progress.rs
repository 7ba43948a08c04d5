//! How far a stage is: a bar with rate and time left, or lines every few seconds.

use std::fmt::Write;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{BinaryBytes, HumanCount, ProgressBar, ProgressState, ProgressStyle};
use log::warn;

use crate::arguments::ProgressChoice;
use crate::console;

/// How often [`Phase::set`] is worth calling.
const REFRESH: Duration = Duration::from_millis(100);

const BETWEEN_LINES: Duration = Duration::from_secs(3);

/// What a stage counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Rows,
    Bytes,
}

/// One stage over all its partitions.
#[derive(Debug)]
pub(crate) struct Phase {
    name: &'static str,
    unit: Unit,
    /// Of all partitions; training does not say how far it is.
    total: Option<u64>,
    /// What an earlier process did.
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
    /// A stage that counts rows.
    pub(crate) fn begin(how: ProgressChoice, name: &'static str, total: Option<u64>, before: u64) -> Self {
        Self::of(Unit::Rows, how, name, total, before)
    }

    /// A stage that counts bytes.
    pub(crate) fn begin_bytes(how: ProgressChoice, name: &'static str, total: u64) -> Self {
        Self::of(Unit::Bytes, how, name, Some(total), 0)
    }

    fn of(unit: Unit, how: ProgressChoice, name: &'static str, total: Option<u64>, before: u64) -> Self {
        let began = Instant::now();
        let view = match how {
            ProgressChoice::Bar => View::Bar(bar(unit, name, total, before)),
            ProgressChoice::Lines => View::Lines { last: Mutex::new(began) },
            ProgressChoice::Auto | ProgressChoice::None => View::Nothing,
        };
        Self { name, unit, total, before, began, view }
    }

    /// Does `work` while another thread shows what `done` says.
    pub(crate) fn show_while<T>(&self, done: &(dyn Fn() -> u64 + Sync), work: impl FnOnce() -> T) -> T {
        thread::scope(|scope| {
            let (working, ended) = channel::<()>();
            let show = move || {
                while ended.recv_timeout(REFRESH) == Err(RecvTimeoutError::Timeout) {
                    self.set(done());
                }
            };
            if let Err(error) = thread::Builder::new().name("progress".into()).spawn_scoped(scope, show) {
                warn!("progress is not shown: {error}");
            }
            let result = work();
            drop(working);
            result
        })
    }

    /// Shows how much is done.
    pub(crate) fn set(&self, done: u64) {
        match &self.view {
            View::Bar(bar) if self.total.is_some() => bar.set_position(done),
            View::Bar(bar) => bar.tick(),
            View::Lines { last } => {
                let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                if last.elapsed() >= BETWEEN_LINES {
                    *last = Instant::now();
                    console::say(&self.line(done, self.began.elapsed()));
                }
            }
            View::Nothing => {}
        }
    }

    /// Shows that the stage is done.
    pub(crate) fn finish(self, done: u64) {
        match &self.view {
            View::Bar(bar) => {
                bar.finish_and_clear();
                console::say(&self.last_line(done, self.began.elapsed()));
            }
            View::Lines { .. } => console::say(&self.last_line(done, self.began.elapsed())),
            View::Nothing => {}
        }
    }

    fn last_line(&self, done: u64, elapsed: Duration) -> String {
        let (name, amount, seconds) = (self.name, self.unit.amount(done), elapsed.as_secs_f32());
        match done.saturating_sub(self.before) {
            _ if self.total.is_none() => format!("{name}: done in {seconds:.1} s"),
            0 if done > 0 => format!("{name}: {amount} were done before"),
            here => format!("{name}: {amount} done in {seconds:.1} s, {}/s", self.unit.amount(rate(here, elapsed))),
        }
    }

    fn line(&self, done: u64, elapsed: Duration) -> String {
        let Some(total) = self.total else {
            return format!("{}: {} s", self.name, elapsed.as_secs());
        };
        let here = done.saturating_sub(self.before);
        let rate = self.unit.amount(rate(here, elapsed));
        let percent = u128::from(done.min(total)) * 100 / u128::from(total.max(1));
        let mut line = format!("{}: {}, {percent} %, {rate}/s", self.name, self.unit.part(done, total));
        if here > 0 {
            let left = u128::from(total.saturating_sub(done)) * elapsed.as_millis() / u128::from(here) / 1000;
            line += &format!(", {} left", readable(u64::try_from(left).unwrap_or(u64::MAX)));
        }
        line
    }
}

impl Unit {
    fn amount(self, number: u64) -> String {
        match self {
            Self::Rows => format!("{} rows", HumanCount(number)),
            Self::Bytes => BinaryBytes(number).to_string(),
        }
    }

    fn part(self, number: u64, total: u64) -> String {
        match self {
            Self::Rows => format!("{} of {}", HumanCount(number), self.amount(total)),
            Self::Bytes => format!("{} of {}", self.amount(number), self.amount(total)),
        }
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

fn template(has_total: bool, has_color: bool) -> &'static str {
    match (has_total, has_color) {
        (true, true) => "{prefix:8} {bar:25.cyan/dim} {percent:>3} %  {part}  {rate}  {left}",
        (true, false) => "{prefix:8} {bar:25} {percent:>3} %  {part}  {rate}  {left}",
        (false, true) => "{prefix:8} {spinner:.cyan} {time}",
        (false, false) => "{prefix:8} {spinner} {time}",
    }
}

fn bar(unit: Unit, name: &'static str, total: Option<u64>, before: u64) -> ProgressBar {
    let template = template(total.is_some(), console::has_color());
    // The templates are constants that a test parses.
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let style = style
        .progress_chars("━━─")
        .with_key("time", write_time)
        .with_key("part", move |state: &ProgressState, text: &mut dyn Write| {
            let _infallible = write!(text, "{}", unit.part(state.pos(), state.len().unwrap_or_default()));
        })
        .with_key("rate", move |state: &ProgressState, text: &mut dyn Write| {
            let per_second = Duration::try_from_secs_f64(state.per_sec()).map_or(0, |rate| rate.as_secs());
            let _infallible = write!(text, "{}/s", unit.amount(per_second));
        })
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

fn write_time(state: &ProgressState, text: &mut dyn Write) {
    let _infallible = write!(text, "{}", readable(state.elapsed().as_secs()));
}

fn write_time_left(state: &ProgressState, text: &mut dyn Write) {
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

fn rate(done: u64, elapsed: Duration) -> u64 {
    let per_second = u128::from(done) * 1000 / elapsed.as_millis().max(1);
    u64::try_from(per_second).unwrap_or(u64::MAX)
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
        let phase = Phase::begin_bytes(ProgressChoice::Lines, "verify", 4 << 30);
        let line = phase.line(1 << 30, Duration::from_secs(2));
        assert_eq!(line, "verify: 1.00 GiB of 4.00 GiB, 25 %, 512.00 MiB/s, 6 s left");
    }

    #[test]
    fn every_template_parses() {
        for (has_total, has_color) in [(true, true), (true, false), (false, true), (false, false)] {
            ProgressStyle::with_template(template(has_total, has_color)).unwrap();
        }
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
            (Some(0), 0, 0, "encode: 0 rows done in 2.0 s, 0 rows/s"),
            (None, 0, 500, "encode: done in 2.0 s"),
        ] {
            let phase = Phase::begin(ProgressChoice::Lines, "encode", total, before);
            assert_eq!(phase.last_line(rows, seconds), expected);
        }
    }
}
