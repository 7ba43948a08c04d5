//! Damaged files of every format give errors: never a panic of ours, an abort, a hang or an allocation that the file does
//! not account for. The libraries in between may panic, which becomes an error.

#![allow(clippy::as_conversions, clippy::panic, clippy::unwrap_used, reason = "tests report by panicking")]

mod process_memory;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, Once};
use std::time::{Duration, Instant};

use faiss_indexer_input::{Input, InputOptions, Result};
use faiss_indexer_storage::{CreateMode, MemoryStorage, Storage, Storages};
use process_memory::memory_bytes;

/// Files of every format, small enough to be cut at every byte.
const FILES: [&str; 10] = [
    "default.parquet",
    "with_nulls.parquet",
    "small_pages_of_version_2.parquet",
    "checksums_and_gzip.parquet",
    "large_list_of_double_brotli.parquet",
    "half_lz4.parquet",
    "default.arrow",
    "stream_with_nulls_zstd.arrow",
    "growing_dictionary_file.arrow",
    "embeddings.npy",
];

const MUTATIONS_OF_EACH: u64 = 1_000;

/// Beyond what the process takes without any damaged file. A decoder that believes a damaged length takes gigabytes.
const ADDRESS_SPACE_BYTES: u64 = 6 << 30;
const RESIDENT_BYTES: u64 = 512 << 20;

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)).unwrap()
}

/// Opens and reads a file in every way.
fn read(name: &str, content: &[u8]) -> Result<u64> {
    let memory = MemoryStorage::new();
    for (name, content) in [("file", content), ("ids.npy", &golden("ids.npy"))] {
        let mut writer = memory.create(&format!("memory:/{name}"), CreateMode::New).unwrap();
        writer.write_all(content).unwrap();
        writer.finish().unwrap();
    }
    let storages = Storages::new().with_memory(Arc::new(memory));
    let ids_uri = name.ends_with(".npy").then(|| "memory:/ids.npy".to_owned());
    let options = InputOptions { ids_uri, ..InputOptions::default() };
    let input = Input::open(&["memory:/file".to_owned()], &options, &storages)?;
    input.identity()?;
    let mut rows = 0;
    for batch in input.read(input.splits(), 1) {
        rows += batch?.rows() as u64;
    }
    assert_eq!(rows, input.rows(), "rows were lost");
    Ok(rows)
}

/// A sequence that is the same in every run (Steele, Lea and Flood: SplitMix).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }
}

/// Where code panicked, in the whole process.
static PANICS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Notes panics instead of printing them: those that become errors would fill the output.
fn note_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            if place.starts_with("native/input/tests") {
                usual(panic);
            }
            PANICS.lock().unwrap().insert(place);
        }));
    });
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    note_panics();
    for name in FILES {
        let content = golden(name);
        assert_eq!(read(name, &content).unwrap(), 24, "{name}");
        for length in 0..content.len() {
            assert!(read(name, &content[..length]).is_err(), "{name} cut to {length} of {} bytes", content.len());
        }
    }
    assert_bounded();
}

#[test]
fn a_file_with_changed_bytes_is_read_or_refused_in_bounded_time_and_memory() {
    note_panics();
    let mut random = Random(4);
    for name in FILES {
        let content = golden(name);
        let mut refused = 0;
        for mutation in 0..MUTATIONS_OF_EACH {
            let mut damaged = content.clone();
            for _ in 0..=mutation % 3 {
                let byte = random.below(damaged.len());
                damaged[byte] = match random.below(3) {
                    0 => damaged[byte] ^ (1 << random.below(8)),
                    1 => 0xFF,
                    _ => random.below(256) as u8,
                };
            }
            let start = Instant::now();
            refused += u64::from(read(name, &damaged).is_err());
            assert!(start.elapsed() < Duration::from_secs(20), "{name}, mutation {mutation}: {:?}", start.elapsed());
        }
        assert!(refused > MUTATIONS_OF_EACH / 50, "{name}: {refused} refused");
    }
    assert_bounded();
}

fn assert_bounded() {
    let ours = |place: &&String| !["/arrow-", "/parquet-"].iter().any(|library| place.contains(library));
    assert_eq!(PANICS.lock().unwrap().iter().find(ours), None, "a panic");
    let (address_space, resident) = (memory_bytes("VmPeak"), memory_bytes("VmHWM"));
    assert!(address_space <= ADDRESS_SPACE_BYTES, "{address_space} bytes of address space");
    assert!(resident <= RESIDENT_BYTES, "{resident} bytes resident");
}
