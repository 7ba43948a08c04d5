//! Lines on stdout and stderr, and the log on stderr. Progress bars step aside for them.

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;

use faiss_indexer_core::{BuildError, ErrorKind, Result};
use indicatif::{MultiProgress, ProgressDrawTarget};
use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::arguments::{DisplayFlags, ProgressChoice};

/// The bars of this process, once there are any.
static BARS: OnceLock<MultiProgress> = OnceLock::new();

/// Installs the log and says how progress is to be shown.
pub(crate) fn install(flags: &DisplayFlags) -> ProgressChoice {
    let level = if flags.quiet { LevelFilter::Warn } else { LevelFilter::Info };
    if log::set_logger(&StderrLog).is_ok() {
        log::set_max_level(level);
    }
    match flags.progress {
        _ if flags.quiet => ProgressChoice::None,
        ProgressChoice::Auto if draws_well() => ProgressChoice::Bar,
        ProgressChoice::Auto => ProgressChoice::Lines,
        chosen => chosen,
    }
}

/// Writes a line to stderr. That nobody reads it is no reason to stop.
pub(crate) fn say(line: &str) {
    let write = || writeln!(io::stderr(), "{line}");
    let _unread = match BARS.get() {
        Some(bars) => bars.suspend(write),
        None => write(),
    };
}

/// Writes to stdout, where the result of a command goes.
pub(crate) fn answer(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    written.map_err(|error| BuildError::new(ErrorKind::Storage, format!("cannot write to stdout: {error}")))
}

/// Where bars are drawn.
pub(crate) fn bars() -> &'static MultiProgress {
    BARS.get_or_init(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()))
}

/// <https://no-color.org>
pub(crate) fn has_color() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn draws_well() -> bool {
    io::stderr().is_terminal() && std::env::var_os("TERM").is_some_and(|terminal| terminal != "dumb")
}

struct StderrLog;

impl Log for StderrLog {
    fn enabled(&self, _: &Metadata) -> bool {
        true
    }

    fn log(&self, record: &Record) {
        match record.level() {
            Level::Error => say(&format!("error: {}", record.args())),
            Level::Warn => say(&format!("warning: {}", record.args())),
            _ => say(&record.args().to_string()),
        }
    }

    fn flush(&self) {}
}
