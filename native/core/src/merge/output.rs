//! The file that a merge fills: in any order and by all threads where the storage can, else from front to back.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;

use faiss_indexer_storage::{CreateMode, PositionalFile, SequentialWrite};

use crate::cancellation::Cancellation;
use crate::checksum::RangesChecksum;
use crate::error::{BuildError, ErrorKind, Result};
use crate::merge::MergeResources;
use crate::merge::part::{Claim, Part, Window};
use crate::numbers::to_u64;
use crate::stage::Progress;
use crate::workers::Workers;

/// Bytes of the output and where they belong.
pub(crate) type Written = (u64, Vec<u8>);

pub(crate) struct Output<'a> {
    sink: Sink,
    checksum: RangesChecksum,
    window: Window,
    /// Blocks in work at one time.
    blocks: usize,
    workers: &'a Workers,
    cancellation: &'a Cancellation,
    progress: &'a Progress,
}

enum Sink {
    Positional(Box<dyn PositionalFile>),
    Appending(Mutex<Appending>),
}

struct Appending {
    file: Box<dyn SequentialWrite>,
    position: u64,
}

impl<'a> Output<'a> {
    /// Starts a file of the bytes that `part` has of `length`.
    pub(crate) fn create(uri: &str, length: u64, part: Part, resources: &MergeResources<'a>) -> Result<Self> {
        let MergeResources { storages, workers, cancellation, progress, block_bytes } = *resources;
        let window = Window::new(part, length);
        let length = window.range.end - window.range.start;
        let storage = storages.resolve(uri)?;
        let sink = match storage.create_sized(uri, length, CreateMode::New)? {
            Some(file) => Sink::Positional(file),
            None => Sink::Appending(Mutex::new(Appending { file: storage.create(uri, CreateMode::New)?, position: 0 })),
        };
        let blocks = blocks_in_work(block_bytes, workers.count());
        Ok(Self { sink, checksum: RangesChecksum::new(length), window, blocks, workers, cancellation, progress })
    }

    /// What of the file this output is.
    pub(crate) fn window(&self) -> &Window {
        &self.window
    }

    /// How far this output is concerned with a block of first codes, if `merge` needs all of them for the second codes,
    /// or with any other block.
    pub(crate) fn claim(&self, bytes: &Range<u64>, is_needed: bool) -> Claim {
        match self.window.claim(bytes) {
            Claim::Foreign if is_needed => Claim::Shared,
            claim => claim,
        }
    }

    /// Writes what belongs at `offset` of the whole file, as far as it is this output's.
    pub(crate) fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let Some((offset, bytes)) = self.window.clip(offset, bytes) else {
            return Ok(());
        };
        let offset = offset - self.window.range.start;
        match &self.sink {
            Sink::Positional(file) => file.write_all_at(offset, bytes)?,
            Sink::Appending(appending) => {
                let mut appending = appending.lock().unwrap_or_else(PoisonError::into_inner);
                if appending.position != offset {
                    let message = format!("byte {offset} was to be written at {}", appending.position);
                    return Err(BuildError::new(ErrorKind::Internal, message));
                }
                appending.file.write_all(bytes)?;
                appending.position += to_u64(bytes.len());
            }
        }
        self.checksum.add(offset, bytes);
        self.progress.add_bytes(to_u64(bytes.len()));
        Ok(())
    }

    /// Makes the file visible; returns its length and its CRC-32C.
    pub(crate) fn finish(self) -> Result<(u64, u32)> {
        let Some(checksum) = self.checksum.finished() else {
            return Err(BuildError::new(ErrorKind::Internal, "not every byte of the index was written"));
        };
        let bytes = match self.sink {
            Sink::Positional(file) => file.finish()?,
            Sink::Appending(appending) => {
                appending.into_inner().unwrap_or_else(PoisonError::into_inner).file.finish()?
            }
        };
        let length = self.window.range.end - self.window.range.start;
        if bytes != length {
            return Err(BuildError::new(ErrorKind::Internal, format!("{bytes} bytes instead of {length}")));
        }
        Ok((bytes, checksum))
    }

    /// Takes blocks from `plan` until there are no more, fills each by `read`, and writes what `merge` makes of it.
    /// Blocks come in the order of the file; `plan` runs on one thread at a time. Where the file is only appended to,
    /// planning and reading stay on the calling thread, for not every storage serves others.
    pub(crate) fn fill<B: Send>(
        &self,
        mut plan: impl FnMut() -> Result<Option<B>> + Send,
        read: impl Fn(&mut B) -> Result<()> + Sync + Send,
        merge: impl Fn(B) -> Result<Vec<Written>> + Sync + Send,
    ) -> Result<()> {
        let threads = self.blocks;
        if let Sink::Appending(_) = self.sink {
            loop {
                let mut blocks = Vec::with_capacity(threads);
                while blocks.len() < threads {
                    self.cancellation.check()?;
                    let Some(mut block) = plan()? else { break };
                    read(&mut block)?;
                    blocks.push(block);
                }
                if blocks.is_empty() {
                    return Ok(());
                }
                let mut merged: Vec<Vec<Written>> = blocks.iter().map(|_| Vec::new()).collect();
                let work = blocks.into_iter().zip(&mut merged).collect();
                self.workers.each(work, |(block, merged)| {
                    *merged = merge(block)?;
                    Ok(())
                })?;
                for (offset, bytes) in merged.into_iter().flatten() {
                    self.write(offset, &bytes)?;
                }
            }
        }
        let plan = Mutex::new(plan);
        let writers = Writers::default();
        std::thread::scope(|scope| {
            let (sender, receiver) = sync_channel(WAITING_WRITES);
            let receiver = Arc::new(Mutex::new(receiver));
            for number in 0..WRITERS {
                let (receiver, writers) = (Arc::clone(&receiver), &writers);
                let write = move || writers.write_all(&receiver, |(offset, bytes)| self.write(offset, &bytes));
                let started = Builder::new().name(format!("faiss-merge-writer-{number}")).spawn_scoped(scope, write);
                started.map_err(|error| {
                    BuildError::new(ErrorKind::OutOfMemory, format!("cannot start a thread that writes: {error}"))
                })?;
            }
            // The writers alone hold the channel's other end, so that a worker is not left waiting when they are gone.
            drop(receiver);
            let merged = self.workers.each((0..threads).map(|_| sender.clone()).collect(), |sender| {
                let work = || {
                    while !writers.failed.load(Ordering::Relaxed) {
                        self.cancellation.check()?;
                        let planned = (plan.lock().unwrap_or_else(PoisonError::into_inner))()?;
                        let Some(mut block) = planned else { break };
                        read(&mut block)?;
                        for written in merge(block)? {
                            if sender.send(written).is_err() {
                                break;
                            }
                        }
                    }
                    Ok(())
                };
                let result = work();
                if result.is_err() {
                    writers.failed.store(true, Ordering::Relaxed);
                }
                result
            });
            drop(sender);
            merged
        })?;
        writers.finish()
    }
}

/// Threads that wait for the disk, so that workers need not; and how many blocks wait for them.
const WRITERS: usize = 2;
const WAITING_WRITES: usize = 1;

#[derive(Default)]
struct Writers {
    failed: AtomicBool,
    error: Mutex<Option<BuildError>>,
}

impl Writers {
    /// Writes what comes until nothing more can come or a write fails.
    fn write_all(&self, receiver: &Mutex<Receiver<Written>>, write: impl Fn(Written) -> Result<()>) {
        loop {
            let next = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(written) = next else { return };
            if let Err(error) = write(written) {
                self.failed.store(true, Ordering::Relaxed);
                self.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                return;
            }
        }
    }

    fn finish(self) -> Result<()> {
        self.error.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }
}

/// Memory of all blocks that are in work at one time, in their three forms: read, being ordered, merged.
const BLOCKS_BYTES: usize = 96 << 20;

/// Blocks in work at one time. More threads than this would make blocks so small that reads get slow.
fn concurrent_blocks(threads: usize) -> usize {
    threads.clamp(1, 32)
}

/// The size of a block on that many threads.
pub(crate) fn block_bytes(threads: usize) -> usize {
    (BLOCKS_BYTES / 3 / concurrent_blocks(threads)).min(8 << 20)
}

fn blocks_in_work(block_bytes: usize, threads: usize) -> usize {
    (BLOCKS_BYTES / 3 / block_bytes.max(1)).clamp(1, concurrent_blocks(threads))
}

/// Memory of the blocks of a merge on that many threads, with those that wait for the disk.
pub(crate) fn blocks_bytes(block_bytes: usize, threads: usize) -> usize {
    block_bytes * (3 * blocks_in_work(block_bytes, threads) + WRITERS + WAITING_WRITES)
}
