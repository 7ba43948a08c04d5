use std::io;
use std::thread::sleep;
use std::time::Duration;

use bytes::Bytes;
use hdfs_native::file::FileWriter;
use hdfs_native::{Client, HdfsError};

use super::client::{answered_soon, call};
use super::failure::storage_error;
use super::{length, look_up};
use crate::{CreateMode, Result, SequentialWrite, StorageError};

const WRITE_BUFFER_BYTES: usize = 1 << 20;
/// How often a name node is asked to close a file that may be open, and the pause between.
const RECOVERY_ATTEMPTS: u32 = 10;
const RECOVERY_PAUSE: Duration = Duration::from_secs(1);

/// A file under a hidden name beside its own.
pub(super) struct HdfsWriter {
    client: Client,
    /// Until all is written.
    file: Option<FileWriter>,
    partial: String,
    target: String,
    mode: CreateMode,
    uri: String,
    buffer: Vec<u8>,
    written: u64,
    broken: bool,
    renamed: bool,
}

impl HdfsWriter {
    pub(super) fn new(
        client: Client,
        file: FileWriter,
        partial: String,
        target: String,
        mode: CreateMode,
        uri: &str,
    ) -> Self {
        let (file, uri, buffer) = (Some(file), uri.to_owned(), Vec::new());
        Self { client, file, partial, target, mode, uri, buffer, written: 0, broken: false, renamed: false }
    }

    fn flush(&mut self) -> Result<()> {
        let Some(file) = self.file.as_mut().filter(|_| !self.broken) else {
            return Err(self.io("a write before failed"));
        };
        let bytes = Bytes::from(std::mem::take(&mut self.buffer));
        let sent = length(bytes.len());
        call(file.write_bytes(bytes)).map_err(|error| {
            self.broken = true;
            storage_error("write", &self.uri, error)
        })?;
        self.written += sent;
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        let Some(mut file) = self.file.take() else { return Err(self.io("the file is closed")) };
        match call(file.close()) {
            // Only the answer of the name node may have been lost. The length tells whether all has arrived.
            Err(HdfsError::IOError(error)) if !self.is_closed_by_the_name_node()? => {
                return Err(storage_error("finish", &self.uri, error.into()));
            }
            Ok(()) | Err(HdfsError::IOError(_)) => {}
            Err(error) => return Err(storage_error("finish", &self.uri, error)),
        }
        let found = look_up(&self.client, &self.partial, "finish", &self.uri)?.length;
        if length(found) != self.written {
            return Err(self.io(&format!("{found} bytes have arrived of {} that were written", self.written)));
        }
        Ok(())
    }

    fn is_closed_by_the_name_node(&self) -> Result<bool> {
        for attempt in 0..RECOVERY_ATTEMPTS {
            if attempt > 0 {
                sleep(RECOVERY_PAUSE);
            }
            match answered_soon(self.client.recover_lease(&self.partial)) {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                // The other name node may not be active yet.
                Err(HdfsError::IOError(error)) if error.kind() != io::ErrorKind::TimedOut => {}
                Err(error) => return Err(storage_error("finish", &self.uri, error)),
            }
        }
        Ok(false)
    }

    fn rename(&mut self) -> Result<()> {
        let overwrite = self.mode == CreateMode::Overwrite;
        let rename = || {
            let renamed = call(self.client.rename(&self.partial, &self.target, overwrite));
            renamed.map_err(|error| storage_error("finish", &self.uri, error))
        };
        let renamed = rename();
        // Only the answer may have been lost. Who cleans up may delete the hidden file, and only this renames it.
        let is_renamed = |this: &Self| {
            let partial = look_up(&this.client, &this.partial, "finish", &this.uri);
            let target = look_up(&this.client, &this.target, "finish", &this.uri);
            matches!(partial, Err(StorageError::NotFound { .. }))
                && target.is_ok_and(|found| length(found.length) == this.written)
        };
        match renamed {
            Err(StorageError::Io { .. }) if is_renamed(self) => Ok(()),
            Err(StorageError::Io { .. }) => rename(),
            settled => settled,
        }
    }

    fn io(&self, message: &str) -> StorageError {
        StorageError::Io { operation: "write", uri: self.uri.clone(), message: message.to_owned() }
    }
}

impl SequentialWrite for HdfsWriter {
    fn write_all(&mut self, bytes: &[u8]) -> Result<()> {
        for piece in bytes.chunks(WRITE_BUFFER_BYTES) {
            if self.buffer.len() + piece.len() > WRITE_BUFFER_BYTES {
                self.flush()?;
            }
            if self.buffer.capacity() == 0 {
                self.buffer.reserve(WRITE_BUFFER_BYTES);
            }
            self.buffer.extend_from_slice(piece);
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<u64> {
        if !self.buffer.is_empty() || self.broken {
            self.flush()?;
        }
        self.close()?;
        self.rename()?;
        self.renamed = true;
        Ok(self.written)
    }
}

impl Drop for HdfsWriter {
    fn drop(&mut self) {
        if self.renamed {
            return;
        }
        // What fails here leaves the hidden file, which deleting what is unfinished removes. A writer that is closed
        // first gives up its lease.
        if let Some(mut file) = self.file.take().filter(|_| !self.broken) {
            let _left_open = call(file.close());
        }
        let _left_behind = call(self.client.delete(&self.partial, false));
    }
}
