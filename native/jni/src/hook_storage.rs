use std::sync::Arc;

use faiss_indexer_storage::{
    CreateMode, FileStatus, HdfsDirections, RandomRead, Result, SequentialWrite, Storage, StorageError, join,
};
use jni::Env;
use jni::objects::JObject;
use jni::sys::jlong;
use uuid::Uuid;

use crate::hook::{CHUNK_BYTES, Hook};

const PARTIAL_PREFIX: &str = ".faiss-indexer-";
const PARTIAL_SUFFIX: &str = ".partial";

/// File systems that only the JVM knows, through a Java FileSystemHook. To be used on the JVM thread that is inside
/// a native method; other threads get an error.
#[derive(Debug)]
pub struct HookStorage {
    hook: Arc<Hook>,
}

impl HookStorage {
    /// Keeps a reference to `hook`, an object that implements FileSystemHook.
    ///
    /// # Errors
    /// When the JVM has no memory for the reference.
    pub fn new(env: &Env, hook: &JObject) -> jni::errors::Result<Self> {
        Ok(Self { hook: Arc::new(Hook::new(env, hook)?) })
    }
}

impl Storage for HookStorage {
    fn stat(&self, uri: &str) -> Result<Option<FileStatus>> {
        self.hook.status(uri)
    }

    fn list(&self, directory: &str) -> Result<Vec<String>> {
        // File systems spell the directory in their own way; the names in it are what counts.
        let listed = self.hook.list(directory)?;
        let finished = listed.iter().map(|child| last_name(child)).filter(|name| !is_partial(name));
        let mut children: Vec<String> = finished.map(|name| join(directory, name)).collect();
        children.sort();
        Ok(children)
    }

    fn open(&self, uri: &str) -> Result<Box<dyn RandomRead>> {
        let length = match self.hook.status(uri)? {
            None => return Err(StorageError::NotFound { uri: uri.to_owned() }),
            Some(found) if found.is_directory => return Err(StorageError::is_a_directory("open", uri)),
            Some(found) => found.length,
        };
        let stream = self.hook.open_for_reading(uri)?;
        Ok(Box::new(HookReader { hook: Arc::clone(&self.hook), stream, length, uri: uri.to_owned() }))
    }

    fn create(&self, uri: &str, mode: CreateMode) -> Result<Box<dyn SequentialWrite>> {
        let written = match mode {
            CreateMode::New => uri.to_owned(),
            // The old file has to stay until the new one is finished, whatever the file system does on create.
            CreateMode::Overwrite => {
                if self.hook.status(uri)?.is_some_and(|found| found.is_directory) {
                    return Err(StorageError::is_a_directory("create", uri));
                }
                partial_name(uri)
            }
        };
        let stream = self.hook.create(&written, false)?;
        Ok(Box::new(HookWriter {
            hook: Arc::clone(&self.hook),
            stream: Some(stream),
            pending: Vec::new(),
            length: 0,
            written,
            uri: uri.to_owned(),
        }))
    }

    fn make_directories(&self, uri: &str) -> Result<()> {
        self.hook.make_directories(uri)
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        if self.hook.status(from)?.is_none() {
            return Err(StorageError::NotFound { uri: from.to_owned() });
        }
        self.hook.rename(from, to)
    }

    fn delete(&self, uri: &str) -> Result<()> {
        self.hook.delete(uri).map(|_was_there| ())
    }

    fn can_concatenate(&self, directory: &str) -> Result<bool> {
        self.hook.can_concatenate(directory)
    }

    fn concatenate(&self, target: &str, sources: &[String]) -> Result<bool> {
        self.hook.concatenate(target, sources)
    }

    fn hdfs_directions(&self, directory: &str) -> Result<HdfsDirections> {
        let settings = self.hook.hdfs_settings(directory)?;
        let pairs = settings.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone()));
        Ok(HdfsDirections {
            settings: pairs.collect(),
            user: self.hook.hdfs_user(directory)?,
            obstacle: self.hook.hdfs_obstacle(directory)?,
        })
    }

    fn delete_unfinished(&self, directory: &str) -> Result<()> {
        let listed = self.hook.list(directory)?;
        let mut partial = listed.iter().map(|child| last_name(child)).filter(|name| is_partial(name));
        partial.try_for_each(|name| self.delete(&join(directory, name)))
    }
}

fn is_partial(name: &str) -> bool {
    name.starts_with(PARTIAL_PREFIX) && name.ends_with(PARTIAL_SUFFIX)
}

struct HookReader {
    hook: Arc<Hook>,
    stream: jlong,
    length: u64,
    uri: String,
}

impl RandomRead for HookReader {
    fn length(&self) -> u64 {
        self.length
    }

    fn read_exact_at(&self, offset: u64, bytes: &mut [u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let end = u64::try_from(bytes.len()).ok().and_then(|length| offset.checked_add(length));
        if end.is_none_or(|end| end > self.length) {
            return Err(StorageError::range_past_end(&self.uri, offset, bytes.len(), self.length));
        }
        let mut position = offset;
        for chunk in bytes.chunks_mut(CHUNK_BYTES) {
            self.hook.read_fully(&self.uri, self.stream, position, chunk)?;
            position += length_of(chunk);
        }
        Ok(())
    }
}

impl Drop for HookReader {
    fn drop(&mut self) {
        if let Err(error) = self.hook.close_stream(&self.uri, self.stream) {
            log::warn!("{error}");
        }
    }
}

struct HookWriter {
    hook: Arc<Hook>,
    /// `None` once it is closed.
    stream: Option<jlong>,
    pending: Vec<u8>,
    length: u64,
    /// The name that the bytes go to before they are finished.
    written: String,
    uri: String,
}

impl HookWriter {
    fn send_pending(&mut self) -> Result<()> {
        let (Some(stream), false) = (self.stream, self.pending.is_empty()) else {
            return Ok(());
        };
        self.hook.write(&self.uri, stream, &self.pending)?;
        self.pending.clear();
        Ok(())
    }

    fn close_and_rename(&mut self) -> Result<()> {
        self.send_pending()?;
        if let Some(stream) = self.stream {
            self.hook.close_stream(&self.uri, stream)?;
            self.stream = None;
        }
        if self.written != self.uri
            && let Err(error) = self.hook.rename(&self.written, &self.uri)
        {
            self.discard_written();
            return Err(error);
        }
        Ok(())
    }

    fn discard_written(&self) {
        if let Err(error) = self.hook.delete(&self.written) {
            log::warn!("{error}");
        }
    }
}

impl SequentialWrite for HookWriter {
    fn write_all(&mut self, bytes: &[u8]) -> Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = CHUNK_BYTES - self.pending.len();
            let (taken, remaining) = rest.split_at(room.min(rest.len()));
            self.pending.extend_from_slice(taken);
            self.length += length_of(taken);
            rest = remaining;
            if self.pending.len() == CHUNK_BYTES {
                self.send_pending()?;
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<u64> {
        self.close_and_rename()?;
        Ok(self.length)
    }
}

impl Drop for HookWriter {
    fn drop(&mut self) {
        if let Some(stream) = self.stream
            && let Err(error) = self.hook.abort_stream(&self.written, stream)
        {
            log::warn!("{error}");
            self.discard_written();
        }
    }
}

fn partial_name(uri: &str) -> String {
    let name = format!("{PARTIAL_PREFIX}{}{PARTIAL_SUFFIX}", Uuid::new_v4());
    match uri.rsplit_once('/') {
        Some((directory, _)) => format!("{directory}/{name}"),
        None => name,
    }
}

fn last_name(uri: &str) -> &str {
    let uri = uri.trim_end_matches('/');
    uri.rsplit_once('/').map_or(uri, |(_, name)| name)
}

fn length_of(bytes: &[u8]) -> u64 {
    // A slice never has more than isize::MAX bytes.
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partial_file_lies_beside_its_final_name() {
        let partial = partial_name("hdfs://node/out/faiss.index");
        assert!(partial.starts_with("hdfs://node/out/.faiss-indexer-"), "{partial}");
        assert!(partial.ends_with(".partial"), "{partial}");
        assert_ne!(partial, partial_name("hdfs://node/out/faiss.index"));
    }

    #[test]
    fn the_last_name_of_a_uri_has_no_slash() {
        for (uri, expected) in [("hdfs://n/a/b", "b"), ("/a/b/", "b"), ("b", "b")] {
            assert_eq!(last_name(uri), expected);
        }
    }
}
