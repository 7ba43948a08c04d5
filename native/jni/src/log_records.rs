//! Log records wait here until the JVM thread takes them: the threads of native code never call Java.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use log::{Level, LevelFilter, Log, Metadata, Record};

const CAPACITY: usize = 1024;
const OWN_TARGET: &str = "faiss_indexer::log_records";

static RECORDS: LogRecords = LogRecords::new();

/// Makes the log of this library go here. A logger that is installed already stays.
pub(crate) fn install() {
    if log::set_logger(&RECORDS).is_ok() {
        log::set_max_level(LevelFilter::Debug);
    }
}

/// Every record since the last call: level, target and message in turn.
pub(crate) fn take() -> Vec<String> {
    RECORDS.take()
}

struct LogRecords {
    waiting: Mutex<Waiting>,
}

struct Waiting {
    records: VecDeque<[String; 3]>,
    dropped: u64,
}

impl LogRecords {
    const fn new() -> Self {
        let waiting = Waiting { records: VecDeque::new(), dropped: 0 };
        Self { waiting: Mutex::new(waiting) }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Vec<String> {
        let mut waiting = self.waiting();
        let dropped = std::mem::take(&mut waiting.dropped);
        let records = std::mem::take(&mut waiting.records);
        drop(waiting);
        let notice = (dropped > 0).then(|| {
            [Level::Warn.to_string(), OWN_TARGET.to_owned(), format!("{dropped} earlier log records were dropped")]
        });
        notice.into_iter().chain(records).flatten().collect()
    }
}

impl Log for LogRecords {
    fn enabled(&self, metadata: &Metadata) -> bool {
        let target = metadata.target();
        // The jni crate logs while it attaches and detaches threads, where a logger must not be entered. That of HDFS
        // writes down every call and what it knows of tokens.
        !target.starts_with("jni") && (!target.starts_with("hdfs_native") || metadata.level() <= Level::Warn)
    }

    fn log(&self, record: &Record) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let texts = [record.level().to_string(), record.target().to_owned(), record.args().to_string()];
        let mut waiting = self.waiting();
        if waiting.records.len() == CAPACITY {
            waiting.records.pop_front();
            waiting.dropped += 1;
        }
        waiting.records.push_back(texts);
    }

    fn flush(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(records: &LogRecords, target: &str, message: &str) {
        records.log(&Record::builder().level(Level::Info).target(target).args(format_args!("{message}")).build());
    }

    #[test]
    fn records_are_taken_once_and_in_order() {
        let records = LogRecords::new();
        log(&records, "a", "first");
        log(&records, "b", "second");
        assert_eq!(records.take(), ["INFO", "a", "first", "INFO", "b", "second"]);
        assert_eq!(records.take(), Vec::<String>::new());
    }

    #[test]
    fn what_the_jni_crate_logs_is_left_out() {
        let records = LogRecords::new();
        log(&records, "jni::vm::java_vm", "attached");
        assert_eq!(records.take(), Vec::<String>::new());
    }

    #[test]
    fn of_the_crate_for_hdfs_only_warnings_are_kept() {
        let records = LogRecords::new();
        log(&records, "hdfs_native::security::user", "Token Identifier");
        let warning = format_args!("a data node is lost");
        records.log(&Record::builder().level(Level::Warn).target("hdfs_native::hdfs").args(warning).build());
        assert_eq!(records.take(), ["WARN", "hdfs_native::hdfs", "a data node is lost"]);
    }

    #[test]
    fn the_oldest_records_give_way_and_are_counted() {
        let records = LogRecords::new();
        for number in 0..CAPACITY + 3 {
            log(&records, "a", &number.to_string());
        }
        let taken = records.take();
        assert_eq!(taken.len(), 3 * (CAPACITY + 1));
        assert_eq!(taken[..3], ["WARN", OWN_TARGET, "3 earlier log records were dropped"]);
        assert_eq!(taken[3..6], ["INFO", "a", "3"]);
    }
}
