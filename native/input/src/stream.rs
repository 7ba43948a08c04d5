use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use crate::batch::Batch;
use crate::error::{InputError, Result};
use crate::file_bytes::FileBytes;
use crate::input::Files;
use crate::row_file::{Reading, guarded};
use crate::split::Split;

/// Batches of the splits that are being read. Ends after the last batch or the first error. Dropping it stops the
/// readers and waits for them, which takes at most one request to the file system and one page or batch of decoding.
#[derive(Debug)]
pub struct BatchStream {
    receiver: Option<Receiver<Result<Batch>>>,
    stop: Arc<AtomicBool>,
    readers: Vec<JoinHandle<()>>,
    failure: Option<InputError>,
}

/// Batches that wait until they are taken, beside the one that each reader holds.
const WAITING_BATCHES: usize = 4;

impl BatchStream {
    pub(crate) fn start(files: &Arc<Files>, splits: &[Split], readers: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut stream = Self { receiver: None, stop: Arc::clone(&stop), readers: Vec::new(), failure: None };
        if let Err(failure) = stream.start_readers(files, splits, readers) {
            stream.finish();
            stream.failure = Some(failure);
        }
        stream
    }

    fn start_readers(&mut self, files: &Arc<Files>, splits: &[Split], readers: usize) -> Result<()> {
        for split in splits {
            files.file_of(split)?;
        }
        if splits.is_empty() {
            return Ok(());
        }
        let work = Arc::new(Work {
            files: Arc::clone(files),
            splits: splits.to_vec(),
            dimension: files.dimension()?,
            next: AtomicUsize::new(0),
            stop: Arc::clone(&self.stop),
        });
        let (sender, receiver) = sync_channel(WAITING_BATCHES);
        self.receiver = Some(receiver);
        for number in 0..readers.clamp(1, splits.len()) {
            let (work, sender) = (Arc::clone(&work), sender.clone());
            let reader = thread::Builder::new()
                .name(format!("input-{number}"))
                .spawn(move || work.run(&sender))
                .map_err(|error| InputError::Thread { message: error.to_string() })?;
            self.readers.push(reader);
        }
        Ok(())
    }

    /// Stops and joins the readers; true when one of them panicked.
    fn finish(&mut self) -> bool {
        self.stop.store(true, Ordering::Relaxed);
        // A reader that waits for room in the channel is woken by this.
        self.receiver = None;
        self.readers.drain(..).map(JoinHandle::join).fold(false, |panicked, joined| panicked | joined.is_err())
    }
}

impl Iterator for BatchStream {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(failure) = self.failure.take() {
            return Some(Err(failure));
        }
        match self.receiver.as_ref()?.recv() {
            Ok(Ok(batch)) => Some(Ok(batch)),
            Ok(Err(error)) => {
                self.finish();
                Some(Err(error))
            }
            // Every reader has ended.
            Err(_) => self.finish().then(|| Err(InputError::Thread { message: "a reader panicked".to_owned() })),
        }
    }
}

impl Drop for BatchStream {
    fn drop(&mut self) {
        self.finish();
    }
}

/// What the readers share.
struct Work {
    files: Arc<Files>,
    splits: Vec<Split>,
    dimension: usize,
    next: AtomicUsize,
    stop: Arc<AtomicBool>,
}

impl Work {
    fn run(&self, sender: &SyncSender<Result<Batch>>) {
        // The next split is mostly of the same file.
        let mut open = None;
        while !self.stop.load(Ordering::Relaxed) {
            let Some(split) = self.splits.get(self.next.fetch_add(1, Ordering::Relaxed)) else { break };
            let read = guarded(&split.file, &split.part.to_string(), || self.read(split, &mut open, sender));
            if let Err(error) = read {
                // Reads fail once the stream is stopped; only the first error is told.
                if !self.stop.swap(true, Ordering::Relaxed) {
                    // Fails when the stream is gone, and nobody wants to know.
                    drop(sender.send(Err(error)));
                }
                break;
            }
        }
    }

    fn read<'a>(
        &self,
        split: &'a Split,
        open: &mut Option<(&'a str, Arc<FileBytes>)>,
        sender: &SyncSender<Result<Batch>>,
    ) -> Result<()> {
        let file = self.files.file_of(split)?;
        let bytes = match open.take() {
            Some((uri, bytes)) if uri == split.file => bytes,
            _ => file.open(&self.files.storages, &self.stop)?,
        };
        let mut deliver = |batch: Batch| {
            let wanted = !self.stop.load(Ordering::Relaxed);
            wanted && (batch.rows() == 0 || sender.send(Ok(batch)).is_ok())
        };
        let mut reading = Reading {
            dimension: self.dimension,
            batch_rows: self.files.batch_rows,
            storages: &self.files.storages,
            stop: &self.stop,
            deliver: &mut deliver,
        };
        file.rows.read(&bytes, &split.part, &mut reading)?;
        *open = Some((&split.file, bytes));
        Ok(())
    }
}
