use std::path::PathBuf;
use std::sync::Arc;

use crate::local;
use crate::{LocalStorage, Result, Storage, StorageError};

/// The backends of one host: local disk always, others when they are given.
#[derive(Clone, Debug)]
pub struct Storages {
    local: Arc<dyn Storage>,
    memory: Option<Arc<dyn Storage>>,
    hdfs: Option<Arc<dyn Storage>>,
    hook: Option<Arc<dyn Storage>>,
}

impl Storages {
    /// Local disk for plain paths and `file:` URIs and, if this crate is built with it, HDFS.
    pub fn new() -> Self {
        #[cfg(feature = "hdfs")]
        let hdfs: Option<Arc<dyn Storage>> = Some(Arc::new(crate::HdfsStorage::new()));
        #[cfg(not(feature = "hdfs"))]
        let hdfs = None;
        Self { local: Arc::new(LocalStorage), memory: None, hdfs, hook: None }
    }

    /// Adds the host's backend of every scheme that no other backend serves. It serves `hdfs:` URIs too, with the
    /// credentials of the host.
    pub fn with_hook(self, hook: Arc<dyn Storage>) -> Self {
        Self { hdfs: None, hook: Some(hook), ..self }
    }

    /// Makes `hdfs` the backend of `hdfs:` URIs, also beside a hook that was added before.
    pub fn with_hdfs(self, hdfs: Arc<dyn Storage>) -> Self {
        Self { hdfs: Some(hdfs), ..self }
    }

    /// These backends with [`crate::HdfsStorage`] for `hdfs:` URIs, which the hook only joins files for. The hook tells
    /// what to know of the HDFS of `directory`, and its name node has answered. Without a hook, or for a directory
    /// elsewhere, they are as they were.
    ///
    /// # Errors
    /// `OutOfReach` where only the host can read and write files; errors of the first call to the name node.
    pub fn with_hdfs_past_the_hook(self, directory: &str) -> Result<Self> {
        let Some(hook) = self.hook.as_ref().map(Arc::clone) else { return Ok(self) };
        let out_of_reach =
            |reason: &str| Err(StorageError::OutOfReach { uri: directory.to_owned(), reason: reason.to_owned() });
        match scheme(directory).map(str::to_ascii_lowercase).as_deref() {
            Some("hdfs") => {}
            Some("viewfs") => return out_of_reach("what it is a view of, only Hadoop's own client knows"),
            _ => return Ok(self),
        }
        let directions = hook.hdfs_directions(directory)?;
        if let Some(obstacle) = directions.obstacle {
            return out_of_reach(&obstacle);
        }
        #[cfg(feature = "hdfs")]
        {
            let files = crate::HdfsStorage::with_settings(directions.settings).of_user(directions.user);
            files.reach(directory)?;
            Ok(self.with_hdfs(Arc::new(crate::joined_by_host::JoinedByHost { files, host: hook })))
        }
        #[cfg(not(feature = "hdfs"))]
        out_of_reach("this library is built without a client of HDFS")
    }

    /// Adds the backend of `memory:` URIs.
    pub fn with_memory(self, memory: Arc<dyn Storage>) -> Self {
        Self { memory: Some(memory), ..self }
    }

    /// The backend that serves `uri`.
    ///
    /// # Errors
    /// `UnsupportedScheme` when none does.
    pub fn resolve(&self, uri: &str) -> Result<Arc<dyn Storage>> {
        let backend = match scheme(uri) {
            None => Some(&self.local),
            Some(name) if name.eq_ignore_ascii_case("file") => Some(&self.local),
            Some(name) if name.eq_ignore_ascii_case("memory") => self.memory.as_ref(),
            Some(name) if name.eq_ignore_ascii_case("hdfs") => self.hdfs.as_ref().or(self.hook.as_ref()),
            Some(_) => self.hook.as_ref(),
        };
        backend.map(Arc::clone).ok_or_else(|| self.unsupported(uri))
    }

    /// Where a file of this machine's disks is, for libraries that open files by path. None for every other URI.
    pub fn local_path(&self, uri: &str) -> Option<PathBuf> {
        match scheme(uri) {
            Some(name) if !name.eq_ignore_ascii_case("file") => None,
            _ => local::path("open", uri).ok(),
        }
    }

    fn unsupported(&self, uri: &str) -> StorageError {
        let memory = self.memory.as_ref().map(|_| "memory:");
        let hdfs = self.hdfs.as_ref().map(|_| "hdfs:");
        let hook = self.hook.as_ref().map(|_| "the schemes of the host's file systems");
        let allowed: Vec<&str> = ["plain paths", "file:"].into_iter().chain(memory).chain(hdfs).chain(hook).collect();
        StorageError::UnsupportedScheme {
            uri: uri.to_owned(),
            scheme: scheme(uri).unwrap_or_default().to_owned(),
            allowed: allowed.join(", "),
        }
    }
}

impl Default for Storages {
    fn default() -> Self {
        Self::new()
    }
}

/// The URI of `name` inside `directory`, with one slash between them.
pub fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() {
        return name.to_owned();
    }
    format!("{}/{}", directory.trim_end_matches('/'), name.trim_start_matches('/'))
}

/// The part of `uri` before the first colon when it can be a scheme (RFC 3986, 3.1).
fn scheme(uri: &str) -> Option<&str> {
    let (name, _) = uri.split_once(':')?;
    let mut characters = name.chars();
    let starts_well = characters.next().is_some_and(|first| first.is_ascii_alphabetic());
    let goes_on_well = characters.all(|next| next.is_ascii_alphanumeric() || matches!(next, '+' | '-' | '.'));
    (starts_well && goes_on_well).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryStorage;

    #[test]
    fn join_puts_one_slash_between() {
        for (directory, name, expected) in [
            ("/out", "a", "/out/a"),
            ("/out//", "a", "/out/a"),
            ("/", "a", "/a"),
            ("out", "a/b", "out/a/b"),
            ("", "a", "a"),
            ("memory:", "a", "memory:/a"),
            ("hdfs://node:8020/", "/a", "hdfs://node:8020/a"),
        ] {
            assert_eq!(join(directory, name), expected);
        }
    }

    #[test]
    fn only_what_rfc_3986_calls_a_scheme_is_one() {
        for (uri, expected) in [
            ("/a:b", None),
            ("a b:c", None),
            ("dir/x:y", None),
            (":x", None),
            ("1a:x", None),
            ("out", None),
            ("hdfs://x", Some("hdfs")),
            ("s3a:x", Some("s3a")),
            ("File:/x", Some("File")),
        ] {
            assert_eq!(scheme(uri), expected, "{uri}");
        }
    }

    #[test]
    fn each_scheme_goes_to_its_backend() {
        let memory: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
        let hook: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
        let storages = Storages::new().with_memory(Arc::clone(&memory)).with_hook(Arc::clone(&hook));
        for local in ["/a", "a", "file:/a", "file:///a", "FILE:/a"] {
            assert!(Arc::ptr_eq(&storages.resolve(local).unwrap(), &storages.local), "{local}");
        }
        assert!(Arc::ptr_eq(&storages.resolve("memory:/a").unwrap(), &memory));
        for host in ["hdfs://n/a", "gs://bucket/a", "viewfs:/a"] {
            assert!(Arc::ptr_eq(&storages.resolve(host).unwrap(), &hook), "{host}");
        }
        let hdfs: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
        let storages = storages.with_hdfs(Arc::clone(&hdfs));
        assert!(Arc::ptr_eq(&storages.resolve("HDFS://n/a").unwrap(), &hdfs));
        assert!(Arc::ptr_eq(&storages.resolve("viewfs:/a").unwrap(), &hook));
    }

    /// A host whose directories another client does not reach.
    #[derive(Debug)]
    struct Encrypted;

    impl Storage for Encrypted {
        fn hdfs_directions(&self, _directory: &str) -> Result<crate::HdfsDirections> {
            let obstacle = Some("it is encrypted".to_owned());
            Ok(crate::HdfsDirections { obstacle, ..crate::HdfsDirections::default() })
        }

        fn stat(&self, _uri: &str) -> Result<Option<crate::FileStatus>> {
            Ok(None)
        }

        fn list(&self, _directory: &str) -> Result<Vec<String>> {
            Ok(Vec::new())
        }

        fn open(&self, uri: &str) -> Result<Box<dyn crate::RandomRead>> {
            Err(StorageError::NotFound { uri: uri.to_owned() })
        }

        fn create(&self, uri: &str, _mode: crate::CreateMode) -> Result<Box<dyn crate::SequentialWrite>> {
            Err(StorageError::NotFound { uri: uri.to_owned() })
        }

        fn make_directories(&self, _uri: &str) -> Result<()> {
            Ok(())
        }

        fn rename(&self, _from: &str, _to: &str) -> Result<()> {
            Ok(())
        }

        fn delete(&self, _uri: &str) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn past_the_hook_there_is_a_way_only_where_the_host_knows_no_obstacle() {
        let hook: Arc<dyn Storage> = Arc::new(Encrypted);
        let hosted = || Storages::new().with_hook(Arc::clone(&hook));
        for (directory, reason) in [
            ("hdfs://node/zone", "hdfs://node/zone is out of reach: it is encrypted"),
            ("viewfs://c/a", "viewfs://c/a is out of reach: what it is a view of, only Hadoop's own client knows"),
        ] {
            assert_eq!(hosted().with_hdfs_past_the_hook(directory).unwrap_err().to_string(), reason);
            Storages::new().with_hdfs_past_the_hook(directory).unwrap();
        }
        for elsewhere in ["/out", "file:/out", "gs://bucket/out"] {
            let storages = hosted().with_hdfs_past_the_hook(elsewhere).unwrap();
            assert!(Arc::ptr_eq(&storages.resolve("hdfs://node/a").unwrap(), &hook), "{elsewhere}");
        }
    }

    #[test]
    fn past_the_hook_a_name_node_that_does_not_answer_is_found_out_at_once() {
        let storages = Storages::new().with_hook(Arc::new(MemoryStorage::new()));
        let error = storages.with_hdfs_past_the_hook("hdfs://localhost:1/a").unwrap_err();
        assert!(error.to_string().starts_with("cannot look up hdfs://localhost:1/a: "), "{error}");
    }

    #[test]
    fn only_files_of_this_machine_have_a_path() {
        let storages = Storages::new().with_memory(Arc::new(MemoryStorage::new()));
        for (uri, path) in [
            ("/a/b", Some("/a/b")),
            ("file:///a", Some("/a")),
            ("FILE:/a", Some("/a")),
            ("file://node/a", None),
            ("memory:/a", None),
            ("hdfs://n/a", None),
        ] {
            assert_eq!(storages.local_path(uri), path.map(PathBuf::from), "{uri}");
        }
    }

    #[test]
    fn a_scheme_without_a_backend_is_refused_by_name() {
        for (storages, uri, text) in [
            (
                Storages::new(),
                "gs://n/a",
                "no file system for scheme 'gs' of gs://n/a; allowed are plain paths, file:, hdfs:",
            ),
            (
                Storages::new(),
                "memory:/a",
                "no file system for scheme 'memory' of memory:/a; allowed are plain paths, file:, hdfs:",
            ),
            (
                Storages::new().with_memory(Arc::new(MemoryStorage::new())),
                "s3://b/a",
                "no file system for scheme 's3' of s3://b/a; allowed are plain paths, file:, memory:, hdfs:",
            ),
        ] {
            assert_eq!(storages.resolve(uri).unwrap_err().to_string(), text);
        }
    }
}
