use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use crate::local::PartialFile;
use crate::{PositionalFile, Result, StorageError};

/// A file on a local disk whose space is reserved before its parts are written.
pub(crate) struct LocalPositionalFile {
    partial: PartialFile,
    length: u64,
}

impl LocalPositionalFile {
    /// A disk without room for `length` bytes is an error here rather than after hours of writing.
    pub(crate) fn allocate(partial: PartialFile, length: u64) -> Result<Self> {
        reserve(partial.file(), length).map_err(|error| partial.failed("reserve space for", &error))?;
        Ok(Self { partial, length })
    }

    fn reaches_past_end(&self, offset: u64, bytes: usize) -> bool {
        let end = u64::try_from(bytes).ok().and_then(|bytes| offset.checked_add(bytes));
        end.is_none_or(|end| end > self.length)
    }
}

impl PositionalFile for LocalPositionalFile {
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        if self.reaches_past_end(offset, bytes.len()) {
            return Err(StorageError::write_past_end(self.partial.uri(), offset, bytes.len(), self.length));
        }
        self.partial.file().write_all_at(bytes, offset).map_err(|error| self.partial.failed("write", &error))
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        if self.reaches_past_end(offset, buffer.len()) {
            return Err(StorageError::range_past_end(self.partial.uri(), offset, buffer.len(), self.length));
        }
        self.partial.file().read_exact_at(buffer, offset).map_err(|error| self.partial.failed("read", &error))
    }

    fn finish(self: Box<Self>) -> Result<u64> {
        self.partial.publish()
    }
}

fn reserve(file: &File, length: u64) -> io::Result<()> {
    if length > 0 {
        match fallocate(file, FallocateFlags::empty(), 0, length) {
            Ok(()) => return Ok(()),
            // Network file systems and old ones cannot reserve; the file is then sparse until it is written.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
            Err(other) => return Err(other.into()),
        }
    }
    file.set_len(length)
}
