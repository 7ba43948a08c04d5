//! Files of this machine that only this process reads. They have no name, so nothing of them stays however it ends.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::{FallocateFlags, fallocate, fstatvfs};
use rustix::io::Errno;

use crate::error::{BuildError, ErrorKind, Result};

static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();

/// Says where this process may put scratch files: where the host puts its own, if not in the system's directory for
/// temporary files. The first call counts.
pub fn set_scratch_directory(directory: PathBuf) {
    DIRECTORY.get_or_init(|| directory);
}

pub(crate) fn scratch_directory() -> PathBuf {
    DIRECTORY.get().cloned().unwrap_or_else(std::env::temp_dir)
}

/// A file of a fixed length whose space is reserved.
pub(crate) struct ScratchFile {
    file: File,
    directory: PathBuf,
    /// What it holds, for messages.
    content: String,
}

impl ScratchFile {
    /// A file of `bytes` bytes on the disk of `directory`.
    pub(crate) fn create(directory: &Path, bytes: u64, content: &str) -> Result<Self> {
        let (directory, content) = (directory.to_owned(), content.to_owned());
        let made = tempfile::tempfile_in(&directory).and_then(|file| Ok((free_bytes(&directory)?, file)));
        let (free, file) = made.map_err(|error| failed(&directory, &content, &error))?;
        let file = Self { file, directory, content };
        // A disk that is filled up by us fails others.
        if free / 10 * 9 < bytes {
            return Err(file.no_room(bytes, free));
        }
        match file.reserve(bytes) {
            Err(error) if error.kind() == io::ErrorKind::StorageFull => Err(file.no_room(bytes, free)),
            reserved => reserved.map_err(|error| file.failed(&error)).map(|()| file),
        }
    }

    pub(crate) fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.file.write_all_at(bytes, offset).map_err(|error| self.failed(&error))
    }

    pub(crate) fn read_exact_at(&self, offset: u64, bytes: &mut [u8]) -> Result<()> {
        self.file.read_exact_at(bytes, offset).map_err(|error| self.failed(&error))
    }

    /// For libraries that open files by path; as long as this value lives.
    pub(crate) fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.file.as_raw_fd()))
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        if bytes > 0 {
            match fallocate(&self.file, FallocateFlags::empty(), 0, bytes) {
                Ok(()) => return Ok(()),
                // The file is then sparse until it is written.
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
                Err(other) => return Err(other.into()),
            }
        }
        self.file.set_len(bytes)
    }

    fn no_room(&self, bytes: u64, free: u64) -> BuildError {
        let (directory, content) = (self.directory.display(), &self.content);
        let message = format!("no room in {directory} for {content}: {bytes} bytes are needed, and {free} are free");
        BuildError::new(ErrorKind::Storage, message)
    }

    fn failed(&self, error: &io::Error) -> BuildError {
        failed(&self.directory, &self.content, error)
    }
}

fn failed(directory: &Path, content: &str, error: &io::Error) -> BuildError {
    BuildError::new(ErrorKind::Storage, format!("{content} in {}: {error}", directory.display()))
}

/// What is free on the disk of `directory`, as far as its file system knows.
pub(crate) fn free_bytes(directory: &Path) -> io::Result<u64> {
    let found = fstatvfs(File::open(directory)?)?;
    Ok(if found.f_blocks == 0 { u64::MAX } else { found.f_bavail.saturating_mul(found.f_frsize) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scratch_file_has_no_name_and_can_be_opened_by_its_path() {
        let directory = tempfile::tempdir().unwrap();
        let file = ScratchFile::create(directory.path(), 10, "numbers").unwrap();
        file.write_all_at(3, b"abc").unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        assert_eq!(std::fs::read(file.path()).unwrap(), b"\0\0\0abc\0\0\0\0");
        let mut bytes = [0; 2];
        file.read_exact_at(4, &mut bytes).unwrap();
        assert_eq!(bytes, *b"bc");
    }

    #[test]
    fn what_has_no_room_names_the_directory_and_what_it_takes() {
        let directory = tempfile::tempdir().unwrap();
        let free = free_bytes(directory.path()).unwrap();
        for bytes in [free / 100 * 95, 1 << 60] {
            let error = ScratchFile::create(directory.path(), bytes, "numbers").err().unwrap();
            let text = error.to_string();
            let expected = format!("{} for numbers: {bytes} bytes are needed, and ", directory.path().display());
            assert!(text.contains(&expected), "{text}");
        }
        let absent = directory.path().join("absent");
        let text = ScratchFile::create(&absent, 1, "numbers").err().unwrap().to_string();
        assert!(text.contains("absent"), "{text}");
    }
}
