use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use tempfile::NamedTempFile;

use crate::local_positional::LocalPositionalFile;
use crate::partial_names::{PARTIAL_PREFIX, PARTIAL_SUFFIX, is_partial};
use crate::{CreateMode, FileStatus, PositionalFile, RandomRead, Result, SequentialWrite, Storage, StorageError, join};

const WRITE_BUFFER_BYTES: usize = 256 * 1024;

/// Disks of this machine, for plain paths and `file:` URIs.
///
/// A file is written under a hidden name beside its own, synchronised, and renamed by
/// [`SequentialWrite::finish`]; a process that is killed before leaves the hidden file, which `list` leaves out
/// and which [`Storage::delete_unfinished`] and deleting the directory remove.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalStorage;

impl Storage for LocalStorage {
    fn stat(&self, uri: &str) -> Result<Option<FileStatus>> {
        match metadata("look up", uri) {
            Ok(found) => Ok(Some(FileStatus { length: found.len(), is_directory: found.is_dir() })),
            Err(StorageError::NotFound { .. }) => Ok(None),
            Err(other) => Err(other),
        }
    }

    fn modified(&self, uri: &str) -> Result<Option<u128>> {
        let modified = metadata("look up", uri)?.modified().map_err(|e| StorageError::from_io("look up", uri, &e))?;
        Ok(modified.duration_since(UNIX_EPOCH).ok().map(|since| since.as_nanos()))
    }

    fn list(&self, directory: &str) -> Result<Vec<String>> {
        let finished = names(directory)?.into_iter().filter(|name| !is_partial(name));
        let mut children: Vec<String> = finished.map(|name| join(directory, &name)).collect();
        children.sort();
        Ok(children)
    }

    fn open(&self, uri: &str) -> Result<Box<dyn RandomRead>> {
        let failed = |error: &io::Error| StorageError::from_io("open", uri, error);
        let file = File::open(path("open", uri)?).map_err(|error| failed(&error))?;
        let found = file.metadata().map_err(|error| failed(&error))?;
        if found.is_dir() {
            return Err(StorageError::is_a_directory("open", uri));
        }
        Ok(Box::new(LocalReader { file, length: found.len(), uri: uri.to_owned() }))
    }

    fn create(&self, uri: &str, mode: CreateMode) -> Result<Box<dyn SequentialWrite>> {
        let partial = PartialFile::create(uri, mode)?;
        Ok(Box::new(LocalWriter { partial, buffer: Vec::with_capacity(WRITE_BUFFER_BYTES) }))
    }

    fn create_sized(&self, uri: &str, length: u64, mode: CreateMode) -> Result<Option<Box<dyn PositionalFile>>> {
        let partial = PartialFile::create(uri, mode)?;
        Ok(Some(Box::new(LocalPositionalFile::allocate(partial, length)?)))
    }

    fn make_directories(&self, uri: &str) -> Result<()> {
        fs::create_dir_all(path("make directory", uri)?)
            .map_err(|error| StorageError::from_io("make directory", uri, &error))
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let source = path("rename", from)?;
        let target = path("rename", to)?;
        metadata("rename", from)?;
        fs::rename(source, &target)
            .and_then(|()| synchronise_directory(parent_of(&target)))
            .map_err(|error| StorageError::from_io("rename to", to, &error))
    }

    fn delete(&self, uri: &str) -> Result<()> {
        let target = path("delete", uri)?;
        let removed = fs::symlink_metadata(&target).and_then(|found| match found.is_dir() {
            true => fs::remove_dir_all(&target),
            false => fs::remove_file(&target),
        });
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StorageError::from_io("delete", uri, &error)),
            _ => Ok(()),
        }
    }

    fn delete_unfinished(&self, directory: &str) -> Result<()> {
        names(directory)?
            .iter()
            .filter(|name| is_partial(name))
            .try_for_each(|name| self.delete(&join(directory, name)))
    }
}

/// All names in a directory; none when it is missing.
fn names(directory: &str) -> Result<Vec<String>> {
    let failed = |error: &io::Error| StorageError::from_io("list", directory, error);
    let entries = match fs::read_dir(path("list", directory)?) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(&error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        match entry.map_err(|error| failed(&error))?.file_name().into_string() {
            Ok(name) => names.push(name),
            Err(name) => {
                let message = format!("the name {} in it is not UTF-8", name.display());
                return Err(StorageError::Io { operation: "list", uri: directory.to_owned(), message });
            }
        }
    }
    Ok(names)
}

struct LocalReader {
    file: File,
    length: u64,
    uri: String,
}

impl RandomRead for LocalReader {
    fn length(&self) -> u64 {
        self.length
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.file.read_exact_at(buffer, offset).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => StorageError::range_past_end(&self.uri, offset, buffer.len(), self.length),
            _ => StorageError::from_io("read", &self.uri, &error),
        })
    }
}

/// A file under a hidden name beside its own.
pub(crate) struct PartialFile {
    file: NamedTempFile,
    target: PathBuf,
    mode: CreateMode,
    uri: String,
}

impl PartialFile {
    fn create(uri: &str, mode: CreateMode) -> Result<Self> {
        let target = path("create", uri)?;
        match (metadata("create", uri), mode) {
            (Ok(_), CreateMode::New) => {
                return Err(StorageError::AlreadyExists { uri: uri.to_owned() });
            }
            (Ok(found), CreateMode::Overwrite) if found.is_dir() => {
                return Err(StorageError::is_a_directory("create", uri));
            }
            (Ok(_), CreateMode::Overwrite) | (Err(StorageError::NotFound { .. }), _) => {}
            (Err(other), _) => return Err(other),
        }
        let file = make_parent(&target)
            .and_then(|parent| {
                tempfile::Builder::new()
                    .prefix(PARTIAL_PREFIX)
                    .suffix(PARTIAL_SUFFIX)
                    .permissions(Permissions::from_mode(0o666))
                    .tempfile_in(parent)
            })
            .map_err(|error| StorageError::from_io("create", uri, &error))?;
        Ok(Self { file, target, mode, uri: uri.to_owned() })
    }

    pub(crate) fn file(&self) -> &File {
        self.file.as_file()
    }

    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    pub(crate) fn uri(&self) -> &str {
        &self.uri
    }

    pub(crate) fn failed(&self, operation: &'static str, error: &io::Error) -> StorageError {
        StorageError::from_io(operation, &self.uri, error)
    }

    fn write_all(&self, bytes: &[u8]) -> Result<()> {
        let mut file = self.file();
        file.write_all(bytes).map_err(|error| self.failed("write", &error))
    }

    /// Gives the file, once all of it is on disk, its name.
    pub(crate) fn publish(self) -> Result<u64> {
        let Self { file, target, mode, uri } = self;
        publish(file, &target, mode).map_err(|error| StorageError::from_io("finish", &uri, &error))
    }
}

struct LocalWriter {
    partial: PartialFile,
    buffer: Vec<u8>,
}

impl LocalWriter {
    fn flush(&mut self) -> Result<()> {
        let written = self.partial.write_all(&self.buffer);
        self.buffer.clear();
        written
    }
}

impl SequentialWrite for LocalWriter {
    fn write_all(&mut self, bytes: &[u8]) -> Result<()> {
        if self.buffer.len() + bytes.len() > WRITE_BUFFER_BYTES {
            self.flush()?;
        }
        if bytes.len() >= WRITE_BUFFER_BYTES {
            return self.partial.write_all(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<u64> {
        self.flush()?;
        self.partial.publish()
    }
}

fn publish(partial: NamedTempFile, target: &Path, mode: CreateMode) -> io::Result<u64> {
    partial.as_file().sync_all()?;
    let length = partial.as_file().metadata()?.len();
    match mode {
        CreateMode::New => partial.persist_noclobber(target)?,
        CreateMode::Overwrite => partial.persist(target)?,
    };
    synchronise_directory(parent_of(target))?;
    Ok(length)
}

/// A rename is durable only once its directory is.
fn synchronise_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn make_parent(target: &Path) -> io::Result<&Path> {
    let parent = parent_of(target);
    fs::create_dir_all(parent)?;
    Ok(parent)
}

fn parent_of(target: &Path) -> &Path {
    match target.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

fn metadata(operation: &'static str, uri: &str) -> Result<Metadata> {
    fs::metadata(path(operation, uri)?).map_err(|error| StorageError::from_io(operation, uri, &error))
}

/// `/x`, `x`, `file:/x`, `file:///x` and `file://localhost/x` are of this machine; other hosts are not.
pub(crate) fn path(operation: &'static str, uri: &str) -> Result<PathBuf> {
    let invalid = |message: &str| Err(StorageError::Io { operation, uri: uri.to_owned(), message: message.to_owned() });
    let location = match uri.split_once(':') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("file") => match rest.strip_prefix("//") {
            None => rest,
            Some(rest) => match rest.find('/').map(|slash| rest.split_at(slash)) {
                Some(("" | "localhost", absolute)) => absolute,
                _ => return invalid("a file: URI is written file:/path or file:///path"),
            },
        },
        _ => uri,
    };
    if location.is_empty() {
        return invalid("the path is empty");
    }
    Ok(PathBuf::from(location))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_local_path_is_understood_and_other_hosts_are_not() {
        for (uri, expected) in [
            ("/a/b c", "/a/b c"),
            ("a%20b", "a%20b"),
            ("file:/a", "/a"),
            ("file:///a", "/a"),
            ("FILE:///a", "/a"),
            ("file://localhost/a", "/a"),
        ] {
            assert_eq!(path("open", uri).unwrap(), PathBuf::from(expected));
        }
        for uri in ["file://node/a", "file://node", "file:", ""] {
            assert!(matches!(path("open", uri), Err(StorageError::Io { .. })), "{uri}");
        }
    }

    #[test]
    fn a_file_in_progress_is_not_listed() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().to_str().unwrap();
        let mut writer = LocalStorage.create(&join(root, "shard"), CreateMode::New).unwrap();
        writer.write_all(b"half").unwrap();
        assert_eq!(LocalStorage.list(root).unwrap(), Vec::<String>::new());
        drop(writer);
        assert_eq!(fs::read_dir(root).unwrap().count(), 0);
    }

    #[test]
    fn what_a_killed_process_left_of_its_files_is_removed_and_finished_files_stay() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().to_str().unwrap();
        LocalStorage.create(&join(root, "shard"), CreateMode::New).unwrap().finish().unwrap();
        // A process that is killed drops nothing.
        std::mem::forget(LocalStorage.create(&join(root, "shard-2"), CreateMode::New).unwrap());
        std::mem::forget(LocalStorage.create_sized(&join(root, "index"), 100_000, CreateMode::New).unwrap());
        assert_eq!(fs::read_dir(root).unwrap().count(), 3);
        LocalStorage.delete_unfinished(root).unwrap();
        let left: Vec<_> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["shard"]);
        LocalStorage.delete_unfinished(&join(root, "missing")).unwrap();
    }

    #[test]
    fn of_two_writers_of_one_new_file_the_second_to_finish_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let uri = join(directory.path().to_str().unwrap(), "shard");
        let first = LocalStorage.create(&uri, CreateMode::New).unwrap();
        let second = LocalStorage.create(&uri, CreateMode::New).unwrap();
        assert_eq!(first.finish(), Ok(0));
        assert_eq!(second.finish(), Err(StorageError::AlreadyExists { uri }));
    }

    #[test]
    fn a_file_where_a_directory_should_be_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = join(directory.path().to_str().unwrap(), "file");
        LocalStorage.create(&file, CreateMode::New).unwrap().finish().unwrap();
        let below = join(&file, "child");
        let Err(error) = LocalStorage.create(&below, CreateMode::New) else {
            panic!("a file was created below a file");
        };
        assert!(matches!(&error, StorageError::Io { uri, .. } if *uri == below), "{error:?}");
    }
}
