//! What a merge reads, holds and keeps open.

use std::process::Command;
use std::sync::Mutex;

use faiss_indexer_storage::{FileStatus, RandomRead, SequentialWrite};

use super::*;
use crate::duplicates::Repeats;
use crate::merge::list_blocks::{BlockBuffers, ListPlanner};
use crate::merge::positions::LabelSource;
use crate::merge::row_merge::{RowMerge, TieMemory};

/// Files in memory; what is read of them is counted, and one byte may be another in the second reading.
#[derive(Debug, Clone, Default)]
struct Watched {
    memory: MemoryStorage,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    bytes: u64,
    /// A file, a place in it, and how often that was read.
    changing: Option<(String, u64, u32)>,
}

struct WatchedFile {
    file: Box<dyn RandomRead>,
    uri: String,
    seen: Arc<Mutex<Seen>>,
}

impl RandomRead for WatchedFile {
    fn length(&self) -> u64 {
        self.file.length()
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> faiss_indexer_storage::Result<()> {
        self.file.read_exact_at(offset, buffer)?;
        let mut seen = self.seen.lock().unwrap();
        seen.bytes += to_u64(buffer.len());
        if let Some((uri, place, times)) = &mut seen.changing
            && *uri == self.uri
            && let Some(byte) = place.checked_sub(offset).and_then(|at| buffer.get_mut(usize::try_from(at).unwrap()))
        {
            *times += 1;
            *byte ^= u8::from(*times == 2);
        }
        Ok(())
    }
}

impl Storage for Watched {
    fn open(&self, uri: &str) -> faiss_indexer_storage::Result<Box<dyn RandomRead>> {
        let file = self.memory.open(uri)?;
        Ok(Box::new(WatchedFile { file, uri: uri.to_owned(), seen: Arc::clone(&self.seen) }))
    }

    fn stat(&self, uri: &str) -> faiss_indexer_storage::Result<Option<FileStatus>> {
        self.memory.stat(uri)
    }

    fn list(&self, directory: &str) -> faiss_indexer_storage::Result<Vec<String>> {
        self.memory.list(directory)
    }

    fn create(&self, uri: &str, mode: CreateMode) -> faiss_indexer_storage::Result<Box<dyn SequentialWrite>> {
        self.memory.create(uri, mode)
    }

    fn make_directories(&self, uri: &str) -> faiss_indexer_storage::Result<()> {
        self.memory.make_directories(uri)
    }

    fn rename(&self, from: &str, to: &str) -> faiss_indexer_storage::Result<()> {
        self.memory.rename(from, to)
    }

    fn delete(&self, uri: &str) -> faiss_indexer_storage::Result<()> {
        self.memory.delete(uri)
    }
}

fn watched_place() -> (Place, Watched) {
    let watched = Watched::default();
    let storages = Storages::new().with_memory(Arc::new(watched.clone()));
    (Place { directory: "memory:/d".into(), storages, _temporary: None }, watched)
}

#[test]
fn ids_of_a_large_list_that_differ_when_they_are_read_again_are_refused() {
    let rows = rows(700, 7, 3);
    for number in [0, 1] {
        let (_, case) = cases(7).remove(number);
        let (place, watched) = watched_place();
        let files = write(&case, &partitions(&rows, 3, true), &place.directory, &place.storages);
        place.merge(&case, &files, DuplicateIds::Fail, 1, 300).unwrap();
        let (begin, end, _) = layout(&case).range(Section::Ids, files[1].rows);
        for offset in [begin, (begin + end) / 2 / 8 * 8 + begin % 8, end - 8] {
            watched.seen.lock().unwrap().changing = Some((files[1].uri.clone(), offset, 0));
            let error = place.merge(&case, &files, DuplicateIds::Fail, 1, 300).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::CorruptFile, "{error}");
            assert!(error.to_string().contains("read again") && error.to_string().contains(&files[1].uri), "{error}");
        }
    }
}

#[test]
fn repeated_ids_are_refused_without_reading_the_codes() {
    let mut rows = rows(2_000, 7, 3);
    rows[5].id = rows[6].id;
    let (_, case) = cases(7).remove(0);
    let (place, watched) = watched_place();
    let files = write(&case, &partitions(&rows, 3, true), &place.directory, &place.storages);
    let error = place.merge(&case, &files, DuplicateIds::Fail, 1, 1 << 20).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DuplicateIds);
    let (read, all) = (watched.seen.lock().unwrap().bytes, files.iter().map(|run| run.bytes).sum::<u64>());
    assert!(read < all / 2, "{read} of {all} bytes");
}

#[test]
fn what_a_block_of_packed_lists_writes_is_no_larger_than_a_block() {
    const BLOCK_BYTES: usize = 2_000;
    let nlist = 500;
    let mut sparse = rows(500, nlist, 3);
    (0..).zip(&mut sparse).for_each(|(list, row)| row.list = list);
    let (_, case) = cases(nlist).remove(1);
    let FilePiece::Lists { format, .. } = &case.pieces[0] else { panic!("lists come first") };
    let place = Place::memory();
    let files = write(&case, &partitions(&sparse, 3, true), &place.directory, &place.storages);
    let runs = Runs::open(layout(&case), files.iter(), &place.storages).unwrap();
    let (cancellation, progress) = (Cancellation::default(), Progress::default());
    let (sizes, repeats) = (runs.list_sizes(&cancellation).unwrap(), Repeats::default());
    let (runs, kept, repeats) = (&runs, sizes.as_slice(), &repeats);
    let (ties, labels, cancellation, progress) = (TieMemory::None, LabelSource::Ids, &cancellation, &progress);
    let merge =
        RowMerge { runs, sizes: kept, kept, repeats, ties, needs_first_codes: false, labels, cancellation, progress };
    let [size_passes, ids, codes] = [Section::ListSizes, Section::Ids, Section::Codes].map(|part| runs.passes(part));
    let buffers = BlockBuffers::default();
    let mut planner = ListPlanner::new(&merge, format, &size_passes, 0, BLOCK_BYTES);
    let mut blocks = 0;
    while let Some(mut block) = planner.next().unwrap() {
        block.read(&ids, &codes, &merge, &buffers).unwrap();
        let bytes: usize = block.merge(&merge, format, &buffers).unwrap().iter().map(|(_, bytes)| bytes.len()).sum();
        assert!(bytes <= BLOCK_BYTES, "{bytes}");
        blocks += 1;
    }
    assert!(planner.large_list().unwrap().is_none() && blocks > 1);
}

#[test]
fn more_runs_than_files_that_may_be_open_are_merged() {
    const CHILD: &str = "FAISS_INDEXER_FEW_OPEN_FILES";
    if std::env::var(CHILD).is_ok() {
        let rows = rows(900, 7, 3);
        for (name, case) in cases(7) {
            Place::local().check(&case, &partitions(&rows, 200, true), DuplicateIds::Fail, name);
        }
        return;
    }
    let name = "merge::tests::bounds::more_runs_than_files_that_may_be_open_are_merged";
    let script = "ulimit -n 64 && exec \"$0\" --exact \"$1\"";
    let program = std::env::current_exe().unwrap();
    let output = Command::new("sh").args(["-c", script]).arg(program).arg(name).env(CHILD, "1").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}
