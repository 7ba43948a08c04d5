use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FallocateFlags, OFlags, fallocate};
use rustix::io::Errno;

use crate::local::PartialFile;
use crate::{PositionalFile, Result, StorageError};

/// What memory, offset and length of a write past the page cache must be multiples of, on every usual disk.
const ALIGNMENT: usize = 4096;
const ALIGNMENT_IN_FILE: u64 = 4096;
/// Bytes that go to the disk at once: the thread waits for each, so they are not few.
const DIRECT_BYTES: usize = 4 << 20;
/// Smaller parts go through the page cache.
const LEAST_DIRECT_BYTES: usize = 1 << 20;

/// A file on a local disk whose space is reserved before its parts are written.
///
/// Large parts go past the page cache where the file system lets them: a file of many gigabytes that is written once
/// would only push out of it what is needed again. The ends of a part that fill no whole pages go through it.
pub(crate) struct LocalPositionalFile {
    partial: PartialFile,
    length: u64,
    direct: Option<File>,
    /// Memory for direct writes, as many as were ever under way at the same time.
    buffers: Mutex<Vec<Vec<u8>>>,
}

impl LocalPositionalFile {
    /// A disk without room for `length` bytes is an error here rather than after hours of writing.
    pub(crate) fn allocate(partial: PartialFile, length: u64) -> Result<Self> {
        reserve(partial.file(), length).map_err(|error| partial.failed("reserve space for", &error))?;
        let direct = OFlags::DIRECT.bits().cast_signed();
        let direct = OpenOptions::new().write(true).custom_flags(direct).open(partial.path()).ok();
        Ok(Self { partial, length, direct, buffers: Mutex::new(Vec::new()) })
    }

    fn write_cached(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.partial.file().write_all_at(bytes, offset)
    }

    /// `offset` and the length of `bytes` are multiples of the alignment.
    fn write_direct(&self, direct: &File, mut offset: u64, bytes: &[u8]) -> io::Result<()> {
        let free = self.buffers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut buffer = free.unwrap_or_else(|| vec![0; DIRECT_BYTES + ALIGNMENT]);
        let begin = buffer.as_ptr().align_offset(ALIGNMENT);
        for chunk in bytes.chunks(DIRECT_BYTES) {
            let aligned = &mut buffer[begin..begin + chunk.len()];
            aligned.copy_from_slice(chunk);
            match direct.write_all_at(aligned, offset) {
                // The disk wants another alignment.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => self.write_cached(offset, chunk)?,
                written => written?,
            }
            offset += length_of(chunk);
        }
        self.buffers.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let head = usize::try_from(offset.next_multiple_of(ALIGNMENT_IN_FILE) - offset).unwrap_or(usize::MAX);
        match &self.direct {
            Some(direct) if bytes.len() >= LEAST_DIRECT_BYTES => {
                let (head, rest) = bytes.split_at(head);
                let (whole_pages, tail) = rest.split_at(rest.len() / ALIGNMENT * ALIGNMENT);
                let after_head = offset + length_of(head);
                self.write_cached(offset, head)?;
                self.write_direct(direct, after_head, whole_pages)?;
                self.write_cached(after_head + length_of(whole_pages), tail)
            }
            _ => self.write_cached(offset, bytes),
        }
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
        self.write(offset, bytes).map_err(|error| self.partial.failed("write", &error))
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

fn length_of(bytes: &[u8]) -> u64 {
    // A slice never has more than isize::MAX bytes.
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
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
