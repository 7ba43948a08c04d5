//! Ten thousand damaged index files: an error or a description, never a crash, in bounded memory and time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::as_conversions, reason = "tests")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use faiss_indexer_core::process_memory::memory_bytes;
use faiss_indexer_core::{
    ErrorKind, Stage, StageKind, StageRequest, inspect, inspect_list_sizes, plan_training, publish, start_build, verify,
};
use faiss_indexer_storage::{CreateMode, MemoryStorage, Storage, Storages};
use sha2::{Digest, Sha256};

const MUTATIONS: u64 = 10_000;
/// Of these, files of published builds, with a manifest that states the damaged bytes.
const OF_BUILDS: u64 = 2_000;
const MEMORY_BYTES: u64 = 160 << 20;
const SECONDS: u64 = 30;

/// SplitMix64.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    /// A position that is more often near the beginning, where headers are.
    fn position(&mut self, length: usize) -> usize {
        let limit = [length, length, length.min(64), length.min(512)][self.below(4)];
        self.below(limit)
    }

    fn count(&mut self, length: usize) -> u64 {
        let near = length as u64;
        let counts = [
            u64::MAX,
            u64::MAX - 7,
            1 << 63,
            (1 << 63) - 1,
            1 << 61,
            1 << 60,
            1 << 40,
            1 << 32,
            u64::from(u32::MAX),
            1 << 31,
            (1 << 31) - 1,
            1 << 28,
            1 << 24,
            near,
            near / 4,
            near / 8,
            near - 8,
            0,
            1,
            2,
        ];
        counts[self.below(counts.len())]
    }

    fn mutate(&mut self, file: &[u8], other: &[u8]) -> Vec<u8> {
        let mut bytes = file.to_vec();
        match self.below(8) {
            0 => {
                let length = self.below(bytes.len() + 1);
                bytes.truncate(length);
            }
            1 | 2 => {
                for _ in 0..=self.below(8) {
                    let position = self.position(bytes.len());
                    bytes[position] ^= 1 << self.below(8);
                }
            }
            3 | 4 => {
                for _ in 0..=self.below(2) {
                    let (position, count) = (self.position(bytes.len()), self.count(bytes.len()).to_le_bytes());
                    let width = [4, 8][self.below(2)].min(bytes.len() - position);
                    bytes[position..position + width].copy_from_slice(&count[..width]);
                }
            }
            5 => {
                let (to, from) = (self.position(bytes.len()), self.position(other.len()));
                let length = self.below(512).min(bytes.len() - to).min(other.len() - from);
                bytes[to..to + length].copy_from_slice(&other[from..from + length]);
            }
            6 => {
                let (to, from) = (self.position(bytes.len()), self.position(other.len()));
                bytes.splice(to..(to + self.below(64)).min(file.len()), other[from..].iter().copied());
            }
            _ => {
                // Nothing but chance after the four characters of a family.
                let length = self.below(4096) + 4;
                bytes.resize(length.min(bytes.len()), 0);
                for byte in bytes.iter_mut().skip(4) {
                    *byte = if self.below(3) == 0 { self.next() as u8 } else { 0 };
                }
            }
        }
        bytes
    }
}

fn put(memory: &MemoryStorage, uri: &str, bytes: &[u8]) {
    let mut file = memory.create(uri, CreateMode::Overwrite).unwrap();
    file.write_all(bytes).unwrap();
    file.finish().unwrap();
}

fn get(memory: &MemoryStorage, uri: &str) -> Vec<u8> {
    let file = memory.open(uri).unwrap();
    let mut bytes = vec![0; usize::try_from(file.length()).unwrap()];
    file.read_exact_at(0, &mut bytes).unwrap();
    bytes
}

fn golden_files() -> Vec<(String, Vec<u8>)> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut files = BTreeMap::new();
    for version in ["1.7.4", "1.15.1"] {
        for entry in std::fs::read_dir(directory.join(version)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "index") {
                files.insert(path.to_str().unwrap().to_owned(), std::fs::read(&path).unwrap());
            }
        }
    }
    files.into_iter().collect()
}

fn allowed(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::CorruptFile | ErrorKind::OutOfMemory)
}

/// Publishes a small build and returns its output.
fn published(factory: &str, storages: &Storages, number: usize) -> String {
    const DIMENSION: usize = 8;
    let mut chance = Chance(5);
    let ids: Vec<i64> = (0..300).map(|id| id * 7 - 100).collect();
    let vectors: Vec<f32> = (0..ids.len() * DIMENSION).map(|_| (chance.next() >> 40) as f32).collect();
    let output = format!("memory:/build-{number}");
    let pairs = [("dimension", "8"), ("factoryString", factory), ("sampleRate", "1")];
    let pairs: Vec<_> = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let task = |kind, build: &str, receipts: &[String], rows: bool| {
        let request = StageRequest {
            kind,
            build: build.to_owned(),
            receipts: receipts.to_vec(),
            partition: 0,
            threads: 1,
            storages: storages.clone(),
        };
        let stage = Stage::open(request).unwrap();
        if rows {
            stage.append(&ids, &vectors).unwrap();
        }
        stage.finish().unwrap()
    };
    let build = start_build(&pairs, &output, storages).unwrap();
    let samples = vec![task(StageKind::Sample, &build, &[], true)];
    let build = plan_training(&build, &samples).unwrap().build;
    let trained = task(StageKind::Train, &build, &samples, false);
    let shard = task(StageKind::Encode, &build, std::slice::from_ref(&trained), true);
    let merged = task(StageKind::Merge, &build, &[trained.clone(), shard.clone()], false);
    publish(&build, &[samples, vec![trained, shard, merged]].concat(), storages).unwrap();
    output
}

/// The manifest of another file's length and checksum, its own checksum included.
fn forged(manifest: &str, index: &[u8]) -> String {
    let mut lines: Vec<String> = manifest.lines().map(str::to_owned).collect();
    for line in &mut lines {
        if line.starts_with("    \"bytes\"") {
            *line = format!("    \"bytes\": {},", index.len());
        }
        if line.starts_with("    \"crc32c\"") {
            *line = format!("    \"crc32c\": \"{:08x}\",", crc32c::crc32c(index));
        }
    }
    let body = lines[..lines.len() - 2].join("\n") + "\n";
    let sha256: String = Sha256::digest(body.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{body}  \"manifestSha256\": \"{sha256}\"\n}}\n")
}

#[test]
fn ten_thousand_damaged_files_give_errors_or_descriptions_in_bounded_memory() {
    let memory = MemoryStorage::new();
    let storages = Storages::new().with_memory(Arc::new(memory.clone()));
    let builds: Vec<(String, Vec<u8>, String)> = ["Flat", "PQ2np", "IVF4,Flat", "IVF300,SQ8", "OPQ2,IVF4,PQ2np"]
        .into_iter()
        .enumerate()
        .map(|(number, factory)| {
            let output = published(factory, &storages, number);
            let index = get(&memory, &format!("{output}/faiss.index"));
            let manifest = String::from_utf8(get(&memory, &format!("{output}/faiss.manifest.json"))).unwrap();
            assert_eq!(forged(&manifest, &index), manifest, "the forger's own manifest differs");
            (output, index, manifest)
        })
        .collect();
    let files = golden_files();
    assert!(files.len() > 150, "{}", files.len());

    let (before, began) = (memory_bytes("VmHWM").unwrap(), Instant::now());
    let mut chance = Chance(20_260_727);
    let (mut described, mut refused, mut verified) = (0, 0, 0);
    let uri = "memory:/damaged.index";
    for number in 0..MUTATIONS - OF_BUILDS {
        let (name, file) = &files[chance.below(files.len())];
        let other = &files[chance.below(files.len())].1;
        let bytes = chance.mutate(file, other);
        put(&memory, uri, &bytes);
        match inspect(uri, &storages) {
            Ok(description) => {
                described += 1;
                assert!(!description.to_string().is_empty());
                if let Err(error) = inspect_list_sizes(uri, &storages) {
                    assert!(allowed(error.kind()), "mutation {number} of {name}: {error}");
                }
            }
            Err(error) => {
                refused += 1;
                assert!(allowed(error.kind()), "mutation {number} of {name}: {error}");
                assert!(error.to_string().contains(uri), "mutation {number} of {name}: {error}");
            }
        }
    }
    for number in 0..OF_BUILDS {
        let (output, index, manifest) = &builds[chance.below(builds.len())];
        let other = &files[chance.below(files.len())].1;
        let bytes = chance.mutate(index, other);
        put(&memory, &format!("{output}/faiss.index"), &bytes);
        put(&memory, &format!("{output}/faiss.manifest.json"), forged(manifest, &bytes).as_bytes());
        match verify(output, &storages, &|_| ()) {
            Ok(_) => verified += 1,
            Err(error) => assert!(allowed(error.kind()), "mutation {number} of {output}: {error}"),
        }
    }
    // What only changes codes is as good an index as before, for all that its bytes tell.
    assert!(described > 500 && refused > 4_000 && verified > 50, "{described} {refused} {verified}");
    let (grown, seconds) = (memory_bytes("VmHWM").unwrap().saturating_sub(before), began.elapsed().as_secs());
    assert!(grown < MEMORY_BYTES && seconds < SECONDS, "{grown} bytes and {seconds} s");
}
