//! How many files of this machine stay open. A merge may read more runs than a process may have files open.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Files that stay open, of all tasks of this process.
static KEPT: AtomicUsize = AtomicUsize::new(0);
/// Where Linux does not say, half of its usual limit.
const USUAL_MOST: usize = 512;

/// Leave to keep one file open, until it is dropped.
#[derive(Debug)]
pub(crate) struct KeptOpen(());

impl KeptOpen {
    /// `None` when files that stay open have taken half of what the process may have; the rest is for others, and for
    /// files that are closed soon.
    pub(crate) fn ask(most: usize) -> Option<Self> {
        let next = |kept: usize| (kept < most).then_some(kept + 1);
        KEPT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).ok().map(|_| Self(()))
    }
}

impl Drop for KeptOpen {
    fn drop(&mut self) {
        KEPT.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How many files may stay open.
pub(crate) fn most_kept_open() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    soft_limit(&limits).map_or(USUAL_MOST, |limit| limit / 2)
}

/// As in proc(5): the name of the limit, the soft limit, the hard limit, the unit.
fn soft_limit(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_read_as_linux_writes_it() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max processes             95000                95000                processes \n\
                      Max open files            1024                 524288               files     \n";
        assert_eq!(soft_limit(limits), Some(1024));
        assert_eq!(soft_limit(&limits.replace("1024  ", "unlimited")), None);
        assert_eq!(soft_limit(""), None);
        assert!(soft_limit(&std::fs::read_to_string("/proc/self/limits").unwrap()).is_some());
    }
}
