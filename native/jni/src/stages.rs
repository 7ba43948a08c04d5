//! The numbers that Java holds instead of stages.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use faiss_indexer_core::{BuildError, ErrorKind, Stage};

/// The open stages of this process.
pub(crate) static STAGES: LazyLock<HandleTable<Stage>> = LazyLock::new(HandleTable::new);

/// Values by number. A number is never given out twice, so a stale or invented one finds nothing, and a value that is
/// removed during a call lives until that call ends.
#[derive(Debug)]
pub(crate) struct HandleTable<T> {
    last: AtomicI64,
    values: RwLock<HashMap<i64, Arc<T>>>,
}

impl<T> HandleTable<T> {
    fn new() -> Self {
        Self { last: AtomicI64::new(0), values: RwLock::new(HashMap::new()) }
    }

    /// Keeps a value under a new number above 0.
    pub(crate) fn insert(&self, value: T) -> i64 {
        let handle = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        // Insertions and removals cannot panic half-way, so a poisoned lock guards a sound table.
        let mut values = self.values.write().unwrap_or_else(PoisonError::into_inner);
        values.insert(handle, Arc::new(value));
        handle
    }

    /// The value of a number; an error of kind CLOSED when there is none.
    pub(crate) fn get(&self, handle: i64) -> Result<Arc<T>, BuildError> {
        let values = self.values.read().unwrap_or_else(PoisonError::into_inner);
        values
            .get(&handle)
            .map(Arc::clone)
            .ok_or_else(|| BuildError::new(ErrorKind::Closed, format!("stage {handle} is closed or was never open")))
    }

    /// Forgets a number; returns its value the first time.
    pub(crate) fn remove(&self, handle: i64) -> Option<Arc<T>> {
        let mut values = self.values.write().unwrap_or_else(PoisonError::into_inner);
        values.remove(&handle)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_handle_finds_its_value_until_it_is_removed() {
        let table = HandleTable::new();
        let (first, second) = (table.insert("first"), table.insert("second"));
        assert_eq!(*table.get(first).unwrap(), "first");
        assert_eq!(table.remove(first).as_deref(), Some(&"first"));
        assert_eq!(table.remove(first), None);
        assert_eq!(*table.get(second).unwrap(), "second");
    }

    #[test]
    fn a_stale_or_invented_handle_is_an_error_of_kind_closed() {
        let table = HandleTable::new();
        let stale = table.insert(());
        table.remove(stale);
        for handle in [stale, 0, -1, i64::MAX, i64::MIN] {
            assert_eq!(table.get(handle).unwrap_err().kind(), ErrorKind::Closed);
        }
    }

    #[test]
    fn handles_are_not_used_again() {
        let table = HandleTable::new();
        let handles: Vec<i64> = (0..3)
            .map(|value| {
                let handle = table.insert(value);
                table.remove(handle);
                handle
            })
            .collect();
        assert_eq!(handles, [1, 2, 3]);
    }

    #[test]
    fn a_value_removed_during_a_call_lives_until_the_call_ends() {
        let table = HandleTable::new();
        let handle = table.insert(String::from("in use"));
        let in_use = table.get(handle).unwrap();
        table.remove(handle);
        assert_eq!(*in_use, "in use");
    }

    #[test]
    fn threads_get_different_handles() {
        let table = HandleTable::new();
        thread::scope(|scope| {
            for thread in 0..8 {
                let table = &table;
                scope.spawn(move || {
                    for _ in 0..1000 {
                        let handle = table.insert(thread);
                        assert_eq!(*table.get(handle).unwrap(), thread);
                        assert!(table.remove(handle).is_some());
                    }
                });
            }
        });
        assert_eq!(table.insert(8), 8001);
    }
}
