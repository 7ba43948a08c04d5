use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{CreateMode, FileStatus, RandomRead, Result, SequentialWrite, Storage, StorageError, join};

/// Files in memory, for `memory:` URIs. Clones share their files.
#[derive(Clone, Debug, Default)]
pub struct MemoryStorage {
    entries: Arc<Mutex<BTreeMap<String, Entry>>>,
}

#[derive(Clone, Debug)]
enum Entry {
    Directory,
    File(Arc<Vec<u8>>),
}

impl MemoryStorage {
    /// An empty file system.
    pub fn new() -> Self {
        Self::default()
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        // Every change is one insertion or removal at a time, so a panic elsewhere leaves nothing broken.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Storage for MemoryStorage {
    fn stat(&self, uri: &str) -> Result<Option<FileStatus>> {
        Ok(self.entries().get(&key(uri)).map(|entry| match entry {
            Entry::Directory => FileStatus { length: 0, is_directory: true },
            Entry::File(bytes) => FileStatus { length: length_of(bytes), is_directory: false },
        }))
    }

    fn list(&self, directory: &str) -> Result<Vec<String>> {
        let below = format!("{}/", key(directory));
        let names = self.entries();
        let children = names.range(below.clone()..).map_while(|(name, _)| name.strip_prefix(&below));
        Ok(children.filter(|name| !name.contains('/')).map(|name| join(directory, name)).collect())
    }

    fn open(&self, uri: &str) -> Result<Box<dyn RandomRead>> {
        match self.entries().get(&key(uri)) {
            None => Err(StorageError::NotFound { uri: uri.to_owned() }),
            Some(Entry::Directory) => Err(StorageError::is_a_directory("open", uri)),
            Some(Entry::File(bytes)) => Ok(Box::new(MemoryReader { bytes: Arc::clone(bytes), uri: uri.to_owned() })),
        }
    }

    fn create(&self, uri: &str, mode: CreateMode) -> Result<Box<dyn SequentialWrite>> {
        let mut entries = self.entries();
        let name = key(uri);
        refuse_taken_name(&entries, &name, mode, uri)?;
        if let Some((parent, _)) = name.rsplit_once('/') {
            make_directories(&mut entries, parent, "create", uri)?;
        }
        let writer = MemoryWriter { storage: self.clone(), bytes: Vec::new(), name, mode, uri: uri.to_owned() };
        Ok(Box::new(writer))
    }

    fn make_directories(&self, uri: &str) -> Result<()> {
        make_directories(&mut self.entries(), &key(uri), "make directory", uri)
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let (source, target) = (key(from), key(to));
        let mut entries = self.entries();
        let Some(moved) = entries.get(&source).cloned() else {
            return Err(StorageError::NotFound { uri: from.to_owned() });
        };
        if source == target {
            return Ok(());
        }
        match target.rsplit_once('/').map(|(parent, _)| parent) {
            None | Some("") => {}
            Some(parent) if matches!(entries.get(parent), Some(Entry::Directory)) => {}
            Some(_) => return Err(StorageError::NotFound { uri: to.to_owned() }),
        }
        match (&moved, entries.get(&target)) {
            (_, Some(Entry::Directory)) => {
                return Err(StorageError::is_a_directory("rename to", to));
            }
            (Entry::Directory, Some(Entry::File(_))) => {
                return Err(StorageError::AlreadyExists { uri: to.to_owned() });
            }
            _ => {}
        }
        let below = format!("{source}/");
        let names: Vec<String> =
            entries.keys().filter(|name| **name == source || name.starts_with(&below)).cloned().collect();
        for name in names {
            if let Some(entry) = entries.remove(&name) {
                let renamed = name.replacen(&source, &target, 1);
                entries.insert(renamed, entry);
            }
        }
        Ok(())
    }

    fn can_concatenate(&self, _directory: &str) -> Result<bool> {
        Ok(true)
    }

    fn concatenate(&self, target: &str, sources: &[String]) -> Result<bool> {
        let mut entries = self.entries();
        let mut joined = Vec::new();
        for uri in std::iter::once(target).chain(sources.iter().map(String::as_str)) {
            match entries.get(&key(uri)) {
                None => return Err(StorageError::NotFound { uri: uri.to_owned() }),
                Some(Entry::Directory) => return Err(StorageError::is_a_directory("concatenate", uri)),
                Some(Entry::File(bytes)) => joined.extend_from_slice(bytes),
            }
        }
        for source in sources {
            entries.remove(&key(source));
        }
        entries.insert(key(target), Entry::File(Arc::new(joined)));
        Ok(true)
    }

    fn delete(&self, uri: &str) -> Result<()> {
        let name = key(uri);
        let below = format!("{name}/");
        self.entries().retain(|other, _| *other != name && !other.starts_with(&below));
        Ok(())
    }
}

struct MemoryReader {
    bytes: Arc<Vec<u8>>,
    uri: String,
}

impl RandomRead for MemoryReader {
    fn length(&self) -> u64 {
        length_of(&self.bytes)
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        if buffer.is_empty() {
            return Ok(());
        }
        let range = usize::try_from(offset)
            .ok()
            .and_then(|start| Some(start..start.checked_add(buffer.len())?))
            .and_then(|range| self.bytes.get(range));
        match range {
            Some(bytes) => buffer.copy_from_slice(bytes),
            None => {
                return Err(StorageError::range_past_end(&self.uri, offset, buffer.len(), self.length()));
            }
        }
        Ok(())
    }
}

struct MemoryWriter {
    storage: MemoryStorage,
    bytes: Vec<u8>,
    name: String,
    mode: CreateMode,
    uri: String,
}

impl SequentialWrite for MemoryWriter {
    fn write_all(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<u64> {
        let mut entries = self.storage.entries();
        refuse_taken_name(&entries, &self.name, self.mode, &self.uri)?;
        let length = length_of(&self.bytes);
        entries.insert(self.name, Entry::File(Arc::new(self.bytes)));
        Ok(length)
    }
}

fn refuse_taken_name(entries: &BTreeMap<String, Entry>, name: &str, mode: CreateMode, uri: &str) -> Result<()> {
    match (entries.get(name), mode) {
        (Some(_), CreateMode::New) => Err(StorageError::AlreadyExists { uri: uri.to_owned() }),
        (Some(Entry::Directory), CreateMode::Overwrite) => Err(StorageError::is_a_directory("create", uri)),
        _ => Ok(()),
    }
}

fn make_directories(
    entries: &mut BTreeMap<String, Entry>,
    name: &str,
    operation: &'static str,
    uri: &str,
) -> Result<()> {
    let ends = name.match_indices('/').map(|(slash, _)| slash).skip(1).chain([name.len()]);
    for directory in ends.map(|end| &name[..end]).filter(|directory| !directory.is_empty()) {
        match entries.get(directory) {
            Some(Entry::File(_)) => {
                let message = format!("memory:{directory} is a file");
                return Err(StorageError::Io { operation, uri: uri.to_owned(), message });
            }
            Some(Entry::Directory) => {}
            None => {
                entries.insert(directory.to_owned(), Entry::Directory);
            }
        }
    }
    Ok(())
}

/// `memory:/a/b`, `memory:///a//b/` and `memory:a/b` are the same file, `/a/b`.
fn key(uri: &str) -> String {
    let location = uri.split_once(':').map_or(uri, |(_, rest)| rest);
    let parts = location.split('/').filter(|part| !part.is_empty());
    parts.fold(String::new(), |key, part| key + "/" + part)
}

fn length_of(bytes: &[u8]) -> u64 {
    // A slice never has more than isize::MAX bytes.
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_their_files() {
        let storage = MemoryStorage::new();
        storage.create("memory:/a/b", CreateMode::New).unwrap().finish().unwrap();
        assert_eq!(storage.clone().list("memory:///a").unwrap(), ["memory:///a/b"]);
    }

    #[test]
    fn a_directory_is_renamed_with_all_that_is_in_it() {
        let storage = MemoryStorage::new();
        storage.create("memory:/a/b/c", CreateMode::New).unwrap().finish().unwrap();
        storage.rename("memory:/a/b", "memory:/a/d").unwrap();
        assert_eq!(storage.list("memory:/a").unwrap(), ["memory:/a/d"]);
        assert_eq!(storage.list("memory:/a/d").unwrap(), ["memory:/a/d/c"]);
    }
}
