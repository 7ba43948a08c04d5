//! What the tests of the program share: rows in `.npy` files, a directory, and the program itself.

#![allow(dead_code, reason = "each test program uses a part")]

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// A file is the least that a partition has.
const ROWS_PER_FILE: usize = 5_000;

/// Rows in files, and room for outputs.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) directory: TempDir,
    pub(crate) dimension: usize,
    pub(crate) ids: Vec<i64>,
    pub(crate) vectors: Vec<f32>,
}

impl Scenario {
    /// A directory without rows.
    pub(crate) fn empty() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), dimension: 0, ids: Vec::new(), vectors: Vec::new() }
    }

    /// Clustered rows with ids that are neither dense nor in order.
    pub(crate) fn new(rows: usize, dimension: usize) -> Self {
        let mut random = Random(1);
        let centers: Vec<f32> = (0..50 * dimension).map(|_| random.component()).collect();
        let vectors = (0..rows)
            .flat_map(|row| {
                let center = row % 50 * dimension;
                (0..dimension).map(|d| centers[center + d] + 0.3 * random.component()).collect::<Vec<_>>()
            })
            .collect();
        let ids = (0..rows as i64).map(|row| (row * 7_919 + 13) % 1_000_003 - 500_000).collect();
        let scenario = Self { directory: tempfile::tempdir().unwrap(), dimension, ids, vectors };
        scenario.write();
        scenario
    }

    /// Writes the rows as they are to files in `vectors` and `ids`, in the order of their names.
    pub(crate) fn write(&self) {
        self.write_first(self.ids.len());
    }

    /// Writes only the first `rows` rows.
    pub(crate) fn write_first(&self, rows: usize) {
        self.write_to("vectors", "ids", 0..rows);
    }

    /// Writes some rows to files in the directories `vectors` and `ids`, in the order of their names.
    pub(crate) fn write_to(&self, vectors: &str, ids: &str, rows: Range<usize>) {
        for directory in [vectors, ids] {
            fs::create_dir_all(self.path(directory)).unwrap();
        }
        let some = &self.vectors[rows.start * self.dimension..rows.end * self.dimension];
        let files = self.ids[rows].chunks(ROWS_PER_FILE).zip(some.chunks(ROWS_PER_FILE * self.dimension));
        for (number, (some_ids, some)) in files.enumerate() {
            let rows = some_ids.len();
            let components: Vec<u8> = some.iter().flat_map(|component| component.to_le_bytes()).collect();
            let numbers: Vec<u8> = some_ids.iter().flat_map(|id| id.to_le_bytes()).collect();
            let shape = format!("({rows}, {})", self.dimension);
            write_npy(&self.path(&format!("{vectors}/{number:03}.npy")), "<f4", &shape, &components);
            write_npy(&self.path(&format!("{ids}/{number:03}.npy")), "<i8", &format!("({rows},)"), &numbers);
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// `faiss-indexer build` of the rows into the directory `output`.
    pub(crate) fn build(&self, output: &str, flags: &[&str]) -> Command {
        let mut command = program();
        command.current_dir(self.directory.path());
        command.args(["build", "--input", "vectors", "--ids", "ids", "--output", output]).args(flags);
        command
    }

    /// Any command in this directory.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = program();
        command.current_dir(self.directory.path()).args(words);
        command
    }

    /// A build that has to succeed; returns the index.
    pub(crate) fn built(&self, output: &str, flags: &[&str]) -> Vec<u8> {
        succeed(&mut self.build(output, flags));
        self.index(output)
    }

    pub(crate) fn index(&self, output: &str) -> Vec<u8> {
        fs::read(self.path(output).join("faiss.index")).unwrap()
    }

    /// Names in the directory `output`, sorted; empty when there is none.
    pub(crate) fn names(&self, output: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path(output)) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// The journal of the unfinished build in `output`, once there is one.
    pub(crate) fn journal(&self, output: &str) -> Option<PathBuf> {
        let mut builds = fs::read_dir(self.path(output).join("_temporary")).ok()?;
        Some(builds.next()?.unwrap().path().join("journal"))
    }

    /// Waits until the task `name` of the build into `output` is done.
    pub(crate) fn wait_for(&self, output: &str, name: &str, build: &mut Child) {
        while !self.journal(output).is_some_and(|journal| journal.join(name).exists()) {
            assert!(build.try_wait().unwrap().is_none(), "the build ended before {name}");
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
}

/// The program that is shipped when `FAISS_INDEXER_PROGRAM` names it, else the one that cargo built for the test.
pub(crate) fn program() -> Command {
    let shipped = std::env::var_os("FAISS_INDEXER_PROGRAM");
    let mut command = Command::new(shipped.unwrap_or_else(|| env!("CARGO_BIN_EXE_faiss-indexer").into()));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub(crate) fn run(command: &mut Command) -> (Option<i32>, String, String) {
    texts(&command.output().unwrap())
}

/// Runs a command that has to succeed; returns stdout and stderr.
pub(crate) fn succeed(command: &mut Command) -> (String, String) {
    let (code, stdout, stderr) = run(command);
    assert_eq!(code, Some(0), "{command:?}: {stderr}");
    (stdout, stderr)
}

pub(crate) fn texts(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// The JSON object in the last line of what a command that has to succeed writes to stdout.
pub(crate) fn answer(command: &mut Command) -> serde_json::Value {
    let (stdout, stderr) = succeed(command);
    let last = stdout.lines().last();
    last.and_then(|line| serde_json::from_str(line).ok()).unwrap_or_else(|| panic!("{stdout}{stderr}"))
}

/// Sends a signal by its name.
pub(crate) fn signal(process: &Child, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &process.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// A sequence that is the same in every run.
#[derive(Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn component(&mut self) -> f32 {
        self.next() as f32 / (1_u64 << 30) as f32 - 1.0
    }
}

fn write_npy(path: &Path, kind: &str, shape: &str, data: &[u8]) {
    let mut header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}");
    // The data begin at a multiple of 64, after a line break.
    let padding = 64 - (10 + header.len() + 1) % 64;
    header += &" ".repeat(padding);
    header.push('\n');
    let length = u16::try_from(header.len()).unwrap().to_le_bytes();
    let bytes = [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), data].concat();
    fs::write(path, bytes).unwrap();
}
