use std::fmt::Debug;

use crate::Result;

/// One file system, addressed by full URIs. Every call blocks until its effect can be seen by other callers.
///
/// Failures are told apart by [`crate::StorageError`]'s variants; their texts name the URI.
pub trait Storage: Send + Sync + Debug {
    /// What is at `uri`, or `None` when nothing is.
    fn stat(&self, uri: &str) -> Result<Option<FileStatus>>;

    /// When the content of the file `uri` was last changed, in nanoseconds since 1970, or `None` where the file system
    /// is not asked for it.
    fn modified(&self, _uri: &str) -> Result<Option<u128>> {
        Ok(None)
    }

    /// Full URIs of the direct children of `directory`, sorted; empty when the directory is missing. Files still
    /// being written may be left out.
    fn list(&self, directory: &str) -> Result<Vec<String>>;

    /// Opens a finished file. A missing one is `NotFound`.
    fn open(&self, uri: &str) -> Result<Box<dyn RandomRead>>;

    /// Starts a file, and makes the directories above it. With [`CreateMode::New`], something that exists under
    /// the name is `AlreadyExists`, here or at the latest in [`SequentialWrite::finish`].
    fn create(&self, uri: &str, mode: CreateMode) -> Result<Box<dyn SequentialWrite>>;

    /// Starts a file of `length` bytes whose parts may be written in any order and by several threads, or returns
    /// `None` where files are only appended to. A storage that returns a file serves its reads on any thread too.
    /// Names and directories are treated as in [`create`](Self::create).
    fn create_sized(&self, _uri: &str, _length: u64, _mode: CreateMode) -> Result<Option<Box<dyn PositionalFile>>> {
        Ok(None)
    }

    /// Makes a directory and those above it; one that exists is fine.
    fn make_directories(&self, uri: &str) -> Result<()>;

    /// Gives a file or directory another name in an existing directory of the same file system. A file of that
    /// name is replaced, in one step where the file system can. A missing `from` is `NotFound`.
    fn rename(&self, from: &str, to: &str) -> Result<()>;

    /// Removes a file, or a directory with all that is in it. What is not there needs no removing.
    fn delete(&self, uri: &str) -> Result<()>;

    /// Whether [`concatenate`](Self::concatenate) can be expected to work for files in the existing `directory`.
    fn can_concatenate(&self, _directory: &str) -> Result<bool> {
        Ok(false)
    }

    /// Appends the finished files `sources`, in order, to the finished file `target` without copying their bytes, in
    /// one step after which the sources are gone. All are different files of one directory, and none is empty. Returns
    /// `false`, and leaves every file as it was, where the storage cannot do that here. A missing file is `NotFound`.
    fn concatenate(&self, _target: &str, _sources: &[String]) -> Result<bool> {
        Ok(false)
    }

    /// What another client has to know to reach the HDFS of `directory` as this storage does. To be asked of the
    /// storage that a host brings.
    fn hdfs_directions(&self, _directory: &str) -> Result<HdfsDirections> {
        Ok(HdfsDirections::default())
    }

    /// Removes what files in `directory` left there that were begun and never finished, because their process was
    /// killed. Nothing may be writing into the directory. Where such files leave nothing, there is nothing to do.
    fn delete_unfinished(&self, _directory: &str) -> Result<()> {
        Ok(())
    }
}

/// An open file, readable at any offset.
pub trait RandomRead: Send + Sync {
    /// Length of the file in bytes when it was opened.
    fn length(&self) -> u64;

    /// Fills `buffer` from `offset` on. A range that reaches past the end of the file is an error.
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()>;
}

/// A file being written from front to back. Dropped without [`finish`](Self::finish) it leaves nothing under its
/// name, or what was there before.
pub trait SequentialWrite: Send {
    /// Appends all of `bytes`. After an error the file can only be dropped.
    fn write_all(&mut self, bytes: &[u8]) -> Result<()>;

    /// Makes the file complete, durable and visible under its name; returns its length in bytes.
    fn finish(self: Box<Self>) -> Result<u64>;
}

/// A file of a fixed length being written in any order. Bytes that nothing was written to are zero. Dropped without
/// [`finish`](Self::finish) it leaves nothing under its name, or what was there before.
pub trait PositionalFile: Send + Sync {
    /// Writes all of `bytes` from `offset` on. A range that reaches past the end of the file is an error.
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()>;

    /// Fills `buffer` with what was written from `offset` on.
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()>;

    /// Makes the file complete, durable and visible under its name; returns its length in bytes.
    fn finish(self: Box<Self>) -> Result<u64>;
}

/// What to do when the name of a new file is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreateMode {
    /// Refuse.
    New,
    /// Replace the file in one step once the new one is finished. A directory is never replaced.
    Overwrite,
}

/// What is known of a file or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStatus {
    /// Bytes in the file; without meaning for a directory.
    pub length: u64,
    /// Whether this is a directory.
    pub is_directory: bool,
}

/// How a host reaches a directory of HDFS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HdfsDirections {
    /// Keys and values of Hadoop's configuration.
    pub settings: Vec<(String, String)>,
    /// Whom name nodes take its word for that it is; none where they ask for a proof.
    pub user: Option<String>,
    /// Why another client could not read and write files there, where that is known.
    pub obstacle: Option<String>,
}
