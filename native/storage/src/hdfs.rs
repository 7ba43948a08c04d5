//! HDFS without a JVM, through the crate `hdfs-native`.

mod client;
mod failure;
mod location;
mod reader;
mod writer;

use std::collections::BTreeMap;

use hdfs_native::{Client, HdfsError, WriteOptions};
use uuid::Uuid;

use crate::partial_names::{PARTIAL_PREFIX, PARTIAL_SUFFIX, is_partial};
use crate::{CreateMode, FileStatus, RandomRead, Result, SequentialWrite, Storage, StorageError, join};
use client::{answered_soon, call, call_again};
use failure::storage_error;
use location::Location;
use reader::HdfsReader;
use writer::HdfsWriter;

/// What a directory is made with, less the bits that HDFS takes away.
const DIRECTORY_PERMISSION: u32 = 0o755;

/// HDFS, for `hdfs://namenode:port/path`, `hdfs://nameservice/path` and, in the default file system, `hdfs:///path`.
///
/// `core-site.xml` and `hdfs-site.xml` are read from `HADOOP_CONF_DIR`, else from `HADOOP_HOME/etc/hadoop`. A cluster
/// without Kerberos is told the user of `HADOOP_USER_NAME`, else of the process. With Kerberos, credentials are the
/// delegation tokens in the file of `HADOOP_TOKEN_FILE_LOCATION`, else the ticket in the cache of the process.
/// Encryption zones are refused.
///
/// A file is written under a hidden name beside its own and renamed by [`SequentialWrite::finish`]; a process that is
/// killed before leaves the hidden file, which `list` leaves out and [`Storage::delete_unfinished`] removes.
#[derive(Clone, Debug, Default)]
pub struct HdfsStorage {
    settings: BTreeMap<String, String>,
    user: Option<String>,
}

impl HdfsStorage {
    /// With the configuration of the environment.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives Hadoop keys other values than the files of the configuration do.
    pub fn with_settings(settings: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { settings: settings.into_iter().collect(), user: None }
    }

    /// Names the user for a cluster that takes the client's word for it; none is as by default. Where a cluster asks
    /// for a proof, the proof tells the user.
    #[must_use]
    pub fn of_user(self, user: Option<String>) -> Self {
        Self { user, ..self }
    }

    /// Waits for an answer of the name node about `directory`, which need not exist, but not as long as other calls do.
    ///
    /// # Errors
    /// Why files could not be looked up there.
    pub fn reach(&self, directory: &str) -> Result<()> {
        let (client, path) = self.locate("look up", directory)?;
        match answered_soon(client.get_file_info(&path)) {
            Ok(_) | Err(HdfsError::FileNotFound(_)) => Ok(()),
            Err(error) => Err(storage_error("look up", directory, error)),
        }
    }

    fn locate(&self, operation: &'static str, uri: &str) -> Result<(Client, String)> {
        let Location { authority, path } = Location::parse(operation, uri)?;
        Ok((client::of(operation, uri, authority, &self.settings, self.user.as_deref())?, path))
    }

    /// Full URIs of all files in a directory, unfinished ones too; none when it is missing.
    fn names(&self, directory: &str) -> Result<Vec<String>> {
        let (client, path) = self.locate("list", directory)?;
        let found = match call(client.list_status(&path, false)) {
            Ok(found) => found,
            Err(HdfsError::FileNotFound(_)) => return Ok(Vec::new()),
            Err(error) => return Err(storage_error("list", directory, error)),
        };
        let mut names = Vec::with_capacity(found.len());
        for child in found {
            // A file is what it lists itself.
            if !child.isdir && child.path == path {
                let message = "it is not a directory".to_owned();
                return Err(StorageError::Io { operation: "list", uri: directory.to_owned(), message });
            }
            names.extend(child.path.rsplit('/').next().map(str::to_owned));
        }
        Ok(names)
    }
}

impl Storage for HdfsStorage {
    fn stat(&self, uri: &str) -> Result<Option<FileStatus>> {
        let (client, path) = self.locate("look up", uri)?;
        match look_up(&client, &path, "look up", uri) {
            Ok(found) => Ok(Some(FileStatus { length: length(found.length), is_directory: found.isdir })),
            Err(StorageError::NotFound { .. }) => Ok(None),
            Err(other) => Err(other),
        }
    }

    fn modified(&self, uri: &str) -> Result<Option<u128>> {
        let (client, path) = self.locate("look up", uri)?;
        let milliseconds = look_up(&client, &path, "look up", uri)?.modification_time;
        Ok(Some(u128::from(milliseconds) * 1_000_000))
    }

    fn list(&self, directory: &str) -> Result<Vec<String>> {
        let finished = self.names(directory)?.into_iter().filter(|name| !is_partial(name));
        let mut children: Vec<String> = finished.map(|name| join(directory, &name)).collect();
        children.sort();
        Ok(children)
    }

    fn open(&self, uri: &str) -> Result<Box<dyn RandomRead>> {
        let (client, path) = self.locate("open", uri)?;
        Ok(Box::new(HdfsReader::open(client, path, uri)?))
    }

    fn create(&self, uri: &str, mode: CreateMode) -> Result<Box<dyn SequentialWrite>> {
        let (client, path) = self.locate("create", uri)?;
        match (look_up(&client, &path, "create", uri), mode) {
            (Ok(_), CreateMode::New) => return Err(StorageError::AlreadyExists { uri: uri.to_owned() }),
            (Ok(found), CreateMode::Overwrite) if found.isdir => {
                return Err(StorageError::is_a_directory("create", uri));
            }
            (Ok(_), CreateMode::Overwrite) | (Err(StorageError::NotFound { .. }), _) => {}
            (Err(other), _) => return Err(other),
        }
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        let created = call_again(|| {
            let partial = format!("{parent}/{PARTIAL_PREFIX}{}{PARTIAL_SUFFIX}", Uuid::new_v4().simple());
            Ok((call(client.create(&partial, WriteOptions::default()))?, partial))
        });
        let (file, partial) = created.map_err(|error| match error {
            // Nothing else has the hidden name, so it is a directory above that is a file.
            HdfsError::AlreadyExists(message) => {
                StorageError::Io { operation: "create", uri: uri.to_owned(), message: failure::first_line(&message) }
            }
            other => storage_error("create", uri, other),
        })?;
        Ok(Box::new(HdfsWriter::new(client, file, partial, path, mode, uri)))
    }

    fn make_directories(&self, uri: &str) -> Result<()> {
        let (client, path) = self.locate("make directory", uri)?;
        call_again(|| call(client.mkdirs(&path, DIRECTORY_PERMISSION, true)))
            .map_err(|error| storage_error("make directory", uri, error))
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let (client, source) = self.locate("rename", from)?;
        let target = Location::parse("rename to", to)?;
        if target.authority != Location::parse("rename", from)?.authority {
            let message = format!("{from} is in another file system");
            return Err(StorageError::Io { operation: "rename to", uri: to.to_owned(), message });
        }
        look_up(&client, &source, "rename", from)?;
        if source == target.path {
            return Ok(());
        }
        call(client.rename(&source, &target.path, true)).map_err(|error| storage_error("rename to", to, error))
    }

    fn delete(&self, uri: &str) -> Result<()> {
        let (client, path) = self.locate("delete", uri)?;
        // False says that nothing was there.
        call_again(|| call(client.delete(&path, true))).map(|_| ()).map_err(|error| storage_error("delete", uri, error))
    }

    fn delete_unfinished(&self, directory: &str) -> Result<()> {
        self.names(directory)?
            .iter()
            .filter(|name| is_partial(name))
            .try_for_each(|name| self.delete(&join(directory, name)))
    }
}

fn look_up(client: &Client, path: &str, operation: &'static str, uri: &str) -> Result<hdfs_native::client::FileStatus> {
    call(client.get_file_info(path)).map_err(|error| storage_error(operation, uri, error))
}

fn length(bytes: usize) -> u64 {
    // No supported machine has addresses of more than 64 bits.
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
