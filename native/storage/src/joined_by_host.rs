use std::sync::Arc;

use crate::{CreateMode, FileStatus, RandomRead, Result, SequentialWrite, Storage};

/// A backend that cannot join files, on a host that can.
#[derive(Debug)]
pub(crate) struct JoinedByHost<S> {
    pub(crate) files: S,
    pub(crate) host: Arc<dyn Storage>,
}

impl<S: Storage> Storage for JoinedByHost<S> {
    fn stat(&self, uri: &str) -> Result<Option<FileStatus>> {
        self.files.stat(uri)
    }

    fn modified(&self, uri: &str) -> Result<Option<u128>> {
        self.files.modified(uri)
    }

    fn list(&self, directory: &str) -> Result<Vec<String>> {
        self.files.list(directory)
    }

    fn open(&self, uri: &str) -> Result<Box<dyn RandomRead>> {
        self.files.open(uri)
    }

    fn create(&self, uri: &str, mode: CreateMode) -> Result<Box<dyn SequentialWrite>> {
        self.files.create(uri, mode)
    }

    fn make_directories(&self, uri: &str) -> Result<()> {
        self.files.make_directories(uri)
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.files.rename(from, to)
    }

    fn delete(&self, uri: &str) -> Result<()> {
        self.files.delete(uri)
    }

    fn can_concatenate(&self, directory: &str) -> Result<bool> {
        self.host.can_concatenate(directory)
    }

    fn concatenate(&self, target: &str, sources: &[String]) -> Result<bool> {
        self.host.concatenate(target, sources)
    }

    fn delete_unfinished(&self, directory: &str) -> Result<()> {
        self.files.delete_unfinished(directory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LocalStorage, MemoryStorage, join};

    #[test]
    fn files_are_those_of_the_backend_and_the_host_joins_them() {
        let memory = MemoryStorage::new();
        let storage = JoinedByHost { files: memory.clone(), host: Arc::new(memory.clone()) };
        crate::conformance::run(&storage, "memory:/joined");
        let parts = ["a", "b"].map(|name| join("memory:/parts", name));
        for part in &parts {
            let mut file = storage.create(part, CreateMode::New).unwrap();
            file.write_all(part.as_bytes()).unwrap();
            file.finish().unwrap();
        }
        let cannot = JoinedByHost { files: memory.clone(), host: Arc::new(LocalStorage) };
        assert_eq!(cannot.can_concatenate("memory:/parts"), Ok(false));
        assert_eq!(cannot.concatenate(&parts[0], &parts[1..]), Ok(false));
        assert_eq!(storage.can_concatenate("memory:/parts"), Ok(true));
        assert_eq!(storage.concatenate(&parts[0], &parts[1..]), Ok(true));
        assert_eq!(memory.list("memory:/parts").unwrap(), [parts[0].clone()]);
    }
}
