//! The merge against a model that sorts all rows in memory, for every kind of piece, partitioning, block size, number
//! of threads and kind of storage.

use std::sync::Arc;

use faiss_indexer_storage::{CreateMode, LocalStorage, MemoryStorage, Storage, Storages, join};

use crate::cancellation::Cancellation;
use crate::encoded_rows::EncodedRows;
use crate::error::{ErrorKind, Result};
use crate::index_layout::{CodePart, FilePiece, Labels, ListFormat, RowPacking};
use crate::index_template::list_block_header;
use crate::merge::part::{Part, SectionSum, SectionSums};
use crate::merge::runs::Runs;
use crate::merge::{MergeResources, MergedFile, merge_runs};
use crate::numbers::to_u64;
use crate::receipts::RunFile;
use crate::row_hash::row_hash;
use crate::run_file::{RunLayout, Section, write_run};
use crate::spec::DuplicateIds;
use crate::stage::Progress;
use crate::workers::Workers;

mod bounds;

const CODE: usize = 5;
const SECOND: usize = 3;

/// A row as a run holds it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Row {
    list: u32,
    id: i64,
    code: [u8; CODE],
    second: [u8; SECOND],
}

fn random(seed: u64, row: usize) -> u64 {
    row_hash(i64::try_from(row).unwrap(), seed)
}

/// Rows whose ids are all different.
fn rows(count: usize, nlist: u32, seed: u64) -> Vec<Row> {
    (0..count)
        .map(|row| Row {
            list: u32::try_from(random(seed, row) % u64::from(nlist)).unwrap(),
            id: (i64::try_from(row).unwrap() * 7_919 + 13) % 1_000_003 - 500_000,
            code: random(seed + 1, row).to_le_bytes()[..CODE].try_into().unwrap(),
            second: random(seed + 2, row).to_le_bytes()[..SECOND].try_into().unwrap(),
        })
        .collect()
}

/// Four rows per block, byte after byte of all four.
#[derive(Debug)]
struct ByteAfterByte(usize);

impl RowPacking for ByteAfterByte {
    fn rows_per_block(&self) -> u64 {
        4
    }

    fn block_bytes(&self) -> u64 {
        to_u64(4 * self.0)
    }

    fn pack(&self, codes: &[u8], rows: usize, packed: &mut [u8]) -> Result<()> {
        assert_eq!((codes.len(), packed.len()), (rows * self.0, rows.div_ceil(4) * 4 * self.0));
        packed.fill(0);
        for (row, code) in codes.chunks(self.0).enumerate() {
            for (at, byte) in code.iter().enumerate() {
                packed[row / 4 * 4 * self.0 + at * 4 + row % 4] = *byte;
            }
        }
        Ok(())
    }
}

/// What is built from the rows.
struct Case {
    nlist: u32,
    second: bool,
    pieces: Vec<FilePiece>,
}

fn bytes(text: &str) -> FilePiece {
    FilePiece::Bytes(text.as_bytes().to_vec())
}

fn codes(part: CodePart, unit_bytes: u64, packing: Option<Arc<dyn RowPacking>>) -> FilePiece {
    FilePiece::Codes { part, unit_bytes, packing }
}

fn cases(nlist: u32) -> Vec<(&'static str, Case)> {
    let packed = |bytes| -> Arc<dyn RowPacking> { Arc::new(ByteAfterByte(bytes)) };
    let lists = |format, labels| FilePiece::Lists { format, labels };
    let second = || codes(CodePart::Second, 1, None);
    let case = |second, pieces| Case { nlist, second, pieces };
    let mut cases = vec![
        ("lists", case(false, vec![bytes("head"), lists(ListFormat::Array, Labels::Ids)])),
        ("packed lists", case(false, vec![lists(ListFormat::Blocks(packed(CODE)), Labels::Ids), bytes("tail")])),
        (
            "lists under an id map",
            case(false, vec![lists(ListFormat::Array, Labels::Positions), bytes("between"), FilePiece::IdMap]),
        ),
        (
            "packed lists under an id map",
            case(false, vec![lists(ListFormat::Blocks(packed(CODE)), Labels::Positions), FilePiece::IdMap]),
        ),
        (
            "lists with a second code",
            case(true, vec![lists(ListFormat::Array, Labels::Positions), second(), bytes("x"), FilePiece::IdMap]),
        ),
        (
            "lists with a packed second code",
            case(
                true,
                vec![
                    lists(ListFormat::Array, Labels::Positions),
                    codes(CodePart::Second, 1, Some(packed(SECOND))),
                    FilePiece::IdMap,
                ],
            ),
        ),
    ];
    if nlist == 1 {
        cases.push((
            "one sequence",
            case(false, vec![bytes("head"), codes(CodePart::First, 1, None), bytes("-"), FilePiece::IdMap]),
        ));
        cases.push((
            "one packed sequence",
            case(false, vec![codes(CodePart::First, 1, Some(packed(CODE))), FilePiece::IdMap]),
        ));
        cases.push((
            "two sequences",
            case(true, vec![codes(CodePart::First, 5, None), second(), bytes("x"), FilePiece::IdMap]),
        ));
    }
    cases
}

/// The file that `rows` make, without any streaming.
fn model(case: &Case, rows: &[Row], policy: DuplicateIds) -> Vec<u8> {
    let second_of = |row: &Row| if case.second { row.second } else { [0; SECOND] };
    let mut by_list: Vec<Row> = rows.iter().map(|row| Row { second: second_of(row), ..row.clone() }).collect();
    by_list.sort();
    if policy == DuplicateIds::KeepFirst {
        let mut met = std::collections::HashSet::new();
        by_list.retain(|row| met.insert(row.id));
    }
    let mut by_id = by_list.clone();
    by_id.sort_by_key(|row| row.id);
    let count = to_u64(by_id.len());
    let pack = |packing: &Arc<dyn RowPacking>, codes: &[u8], rows: usize| {
        let blocks = to_u64(rows).div_ceil(packing.rows_per_block());
        let mut packed = vec![0xEE; usize::try_from(blocks * packing.block_bytes()).unwrap()];
        packing.pack(codes, rows, &mut packed).unwrap();
        packed
    };
    let mut file = Vec::new();
    for piece in &case.pieces {
        match piece {
            FilePiece::Bytes(bytes) => file.extend_from_slice(bytes),
            FilePiece::IdMap => {
                file.extend(count.to_le_bytes());
                file.extend(by_id.iter().flat_map(|row| row.id.to_le_bytes()));
            }
            FilePiece::Codes { part, unit_bytes, packing } => {
                let codes: Vec<u8> = match part {
                    CodePart::First => by_id.iter().flat_map(|row| row.code).collect(),
                    CodePart::Second => by_id.iter().flat_map(|row| row.second).collect(),
                };
                let codes = packing.as_ref().map_or(codes.clone(), |packing| pack(packing, &codes, by_id.len()));
                file.extend((to_u64(codes.len()) / unit_bytes).to_le_bytes());
                file.extend(codes);
            }
            FilePiece::Lists { format, labels } => {
                let list = |number| by_list.iter().filter(move |row| row.list == number);
                let sizes: Vec<u64> = (0..case.nlist).map(|number| to_u64(list(number).count())).collect();
                match format {
                    ListFormat::Array => file.extend(list_block_header(case.nlist.into(), to_u64(CODE), &sizes)),
                    ListFormat::Blocks(packing) => {
                        file.extend(b"ilbl");
                        file.extend(u64::from(case.nlist).to_le_bytes());
                        file.extend([0xFF; 8]);
                        file.extend(packing.rows_per_block().to_le_bytes());
                        file.extend(packing.block_bytes().to_le_bytes());
                    }
                }
                // Rows that are equal in all parts are alike in the file too, whichever of them is meant.
                let mut next_equal = std::collections::HashMap::new();
                for number in 0..case.nlist {
                    let codes: Vec<u8> = list(number).flat_map(|row| row.code).collect();
                    let labels: Vec<u8> = list(number)
                        .flat_map(|row| match labels {
                            Labels::Ids => row.id.to_le_bytes(),
                            Labels::Positions => {
                                let first = by_id.iter().position(|other| other == row).unwrap();
                                let equal = next_equal.entry(row.clone()).or_insert(first);
                                *equal += 1;
                                to_u64(*equal - 1).to_le_bytes()
                            }
                        })
                        .collect();
                    match format {
                        ListFormat::Array => file.extend([codes, labels].concat()),
                        ListFormat::Blocks(packing) => {
                            file.extend(to_u64(labels.len() / 8).to_le_bytes());
                            file.extend(&labels);
                            let packed = pack(packing, &codes, labels.len() / 8);
                            file.extend(to_u64(packed.len()).to_le_bytes());
                            file.extend(packed);
                        }
                    }
                }
            }
        }
    }
    file
}

fn layout(case: &Case) -> RunLayout {
    let positions = case.pieces.iter().any(|p| matches!(p, FilePiece::Lists { labels: Labels::Positions, .. }));
    RunLayout {
        fingerprint: "0".repeat(64),
        nlist: case.nlist.into(),
        code_size: to_u64(CODE),
        second_code_size: if case.second { to_u64(SECOND) } else { 0 },
        positions: positions && case.nlist > 1,
    }
}

fn write(case: &Case, partitions: &[Vec<Row>], directory: &str, storages: &Storages) -> Vec<RunFile> {
    let second_size = if case.second { SECOND } else { 0 };
    let mut runs = Vec::new();
    for (number, partition) in partitions.iter().enumerate() {
        let nlist = usize::try_from(case.nlist).unwrap();
        let mut encoded = EncodedRows::new(partition.len(), CODE, second_size, nlist).unwrap();
        for row in partition {
            encoded.lists.push(row.list);
            encoded.ids.push(row.id);
            encoded.codes.extend(row.code);
            encoded.codes.extend(&row.second[..second_size]);
        }
        encoded
            .by_shard(1, |shard, rows| {
                let uri = join(directory, &format!("run-{number}"));
                runs.push(write_run(uri, shard, &layout(case), rows, storages, &Cancellation::default())?);
                Ok(())
            })
            .unwrap();
    }
    runs
}

struct Place {
    directory: String,
    storages: Storages,
    _temporary: Option<tempfile::TempDir>,
}

impl Place {
    fn memory() -> Self {
        let storages = Storages::new().with_memory(Arc::new(MemoryStorage::new()));
        Self { directory: "memory:/d".into(), storages, _temporary: None }
    }

    fn local() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let directory = temporary.path().to_str().unwrap().to_owned();
        Self { directory, storages: Storages::new(), _temporary: Some(temporary) }
    }

    fn read(&self, name: &str) -> Vec<u8> {
        let uri = join(&self.directory, name);
        let file = self.storages.resolve(&uri).unwrap().open(&uri).unwrap();
        let mut bytes = vec![0; usize::try_from(file.length()).unwrap()];
        file.read_exact_at(0, &mut bytes).unwrap();
        bytes
    }

    fn replace(&self, uri: &str, bytes: &[u8]) {
        let mut file = self.storages.resolve(uri).unwrap().create(uri, CreateMode::Overwrite).unwrap();
        file.write_all(bytes).unwrap();
        file.finish().unwrap();
    }

    fn merge(
        &self,
        case: &Case,
        files: &[RunFile],
        policy: DuplicateIds,
        threads: usize,
        block_bytes: usize,
    ) -> Result<MergedFile> {
        self.merge_part(case, files, policy, threads, block_bytes, "index", Part::WHOLE)
    }

    #[allow(clippy::too_many_arguments, reason = "a test says all that it varies")]
    fn merge_part(
        &self,
        case: &Case,
        files: &[RunFile],
        policy: DuplicateIds,
        threads: usize,
        block_bytes: usize,
        name: &str,
        part: Part,
    ) -> Result<MergedFile> {
        let uri = join(&self.directory, name);
        let (workers, progress) = (Workers::new(threads, "merge").unwrap(), Progress::default());
        let cancellation = Cancellation::default();
        let resources = MergeResources::new(&self.storages, &workers, &cancellation, &progress);
        let resources = MergeResources { block_bytes, ..resources };
        self.storages.resolve(&uri).unwrap().delete(&uri).unwrap();
        let runs = Runs::open(layout(case), files.iter(), &self.storages)?;
        merge_runs(&runs, policy, |_| Ok(case.pieces.clone()), &uri, part, &resources)
    }

    /// Merges and compares with the model and with the receipt.
    fn check(&self, case: &Case, partitions: &[Vec<Row>], policy: DuplicateIds, name: &str) {
        let expected = model(case, &partitions.concat(), policy);
        let files = write(case, partitions, &self.directory, &self.storages);
        for (threads, block_bytes) in [(1, 16 << 20), (1, 300), (3, 2_000), (2, 40)] {
            let merged = self.merge(case, &files, policy, threads, block_bytes);
            let what = format!("{name}, {} runs, {policy:?}, {threads} threads, {block_bytes}", partitions.len());
            let merged = merged.unwrap_or_else(|error| panic!("{what}: {error}"));
            let found = self.read("index");
            let differ = found.iter().zip(&expected).position(|(a, b)| a != b);
            assert!(found == expected, "{what}: {} and {} bytes, {differ:?}", found.len(), expected.len());
            assert_eq!((merged.bytes, merged.crc32c), (to_u64(found.len()), crc32c::crc32c(&found)), "{what}");
        }
        for (of, block_bytes) in [(2, 16 << 20), (8, 300), (7, 40)] {
            let what = format!("{name}, {} runs, {policy:?}, {of} parts, {block_bytes}", partitions.len());
            self.check_parts(case, &files, policy, of, block_bytes, &expected, &what);
        }
    }

    /// Merges in parts, each in a task with another number of threads, and compares.
    #[allow(clippy::too_many_arguments, reason = "a test says all that it varies")]
    fn check_parts(
        &self,
        case: &Case,
        files: &[RunFile],
        policy: DuplicateIds,
        of: u32,
        block_bytes: usize,
        expected: &[u8],
        what: &str,
    ) {
        let mut found = Vec::new();
        let mut sums = SectionSums::default();
        for number in 0..of {
            let threads = usize::try_from(number % 3 + 1).unwrap();
            let merged = self.merge_part(case, files, policy, threads, block_bytes, "part", Part { number, of });
            let merged = merged.unwrap_or_else(|error| panic!("{what}, part {number}: {error}"));
            let part = self.read("part");
            assert_eq!((merged.bytes, merged.crc32c), (to_u64(part.len()), crc32c::crc32c(&part)), "{what}, {number}");
            sums.add(&merged.sections);
            found.extend(part);
        }
        let differ = found.iter().zip(expected).position(|(a, b)| a != b);
        assert!(found == expected, "{what}: {} and {} bytes, {differ:?}", found.len(), expected.len());
        // Together, the parts have read every row once.
        let rows = files.iter().map(|run| run.rows).sum();
        let crc = |of: fn(&RunFile) -> u32| files.iter().filter(|run| run.rows > 0).fold(0, |sum, run| sum ^ of(run));
        let has_lists = case.pieces.iter().any(|piece| matches!(piece, FilePiece::Lists { .. }));
        let has_places = case.second && case.nlist > 1;
        let sum = |is_read, crc32c| if is_read { SectionSum { crc32c, rows } } else { SectionSum::default() };
        let all = SectionSums {
            ids: sum(has_lists, crc(|run| run.crc32c.ids)),
            codes: sum(true, crc(|run| run.crc32c.codes)),
            list_numbers: sum(has_places, crc(|run| run.crc32c.list_numbers)),
            second_codes: sum(case.second, crc(|run| run.crc32c.second_codes)),
        };
        assert_eq!(sums, all, "{what}");
    }
}

/// Round robin after a shuffle, or neighbouring ids together.
fn partitions(rows: &[Row], count: usize, shuffled: bool) -> Vec<Vec<Row>> {
    let mut rows = rows.to_vec();
    if shuffled {
        rows.sort_by_key(|row| row_hash(row.id, 5) ^ u64::from(row.code[0]));
        (0..count).map(|part| rows.iter().skip(part).step_by(count).cloned().collect()).collect()
    } else {
        rows.sort_by_key(|row| row.id);
        rows.chunks(rows.len().div_ceil(count).max(1)).map(<[Row]>::to_vec).collect()
    }
}

#[test]
fn every_kind_of_piece_is_what_the_model_says_in_any_storage_partitioning_and_block_size() {
    for nlist in [1, 7, 300] {
        let rows = rows(700, nlist, 3);
        for (name, case) in cases(nlist) {
            for (count, shuffled) in [(1, true), (4, true), (5, false), (61, true)] {
                let partitions = partitions(&rows, count, shuffled);
                Place::memory().check(&case, &partitions, DuplicateIds::Fail, name);
                Place::local().check(&case, &partitions, DuplicateIds::Fail, name);
            }
        }
    }
}

#[test]
fn repeated_ids_are_kept_or_dropped_as_the_model_says_wherever_they_are() {
    for nlist in [1, 7] {
        let mut rows = rows(400, nlist, 3);
        for row in 0..400 {
            let copy = rows[row].clone();
            let mut other = copy.clone();
            match row % 9 {
                // The same list, another one, the same code, the same row.
                0 => other.code[0] ^= 1,
                1 => other.list = (other.list + 3) % nlist,
                2 => other.second[1] ^= 7,
                3 => {}
                _ => continue,
            }
            rows.push(other);
            if row % 2 == 0 {
                rows.push(Row { second: [row.to_le_bytes()[0]; 3], ..copy });
            }
        }
        for (name, case) in cases(nlist) {
            for policy in [DuplicateIds::Allow, DuplicateIds::KeepFirst] {
                for (count, shuffled) in [(1, true), (2, true), (6, true), (5, false), (37, true)] {
                    // A block of a few rows is enough for these groups of up to three rows.
                    Place::local().check(&case, &partitions(&rows, count, shuffled), policy, name);
                }
                Place::memory().check(&case, &partitions(&rows, 6, true), policy, name);
            }
        }
    }
}

/// Of the rows of id 4 many differ in their second codes only.
fn rows_that_share_an_id(count: usize, nlist: u32) -> Vec<Row> {
    let mut rows = rows(100 + count, nlist, 8);
    for (number, row) in rows.iter_mut().enumerate().skip(100) {
        row.id = 4;
        row.code = [random(31, number).to_le_bytes()[0] % 5; CODE];
    }
    rows
}

#[test]
fn an_id_that_most_rows_share_is_merged_in_small_blocks() {
    for nlist in [1, 3] {
        // Too many for some of the small blocks, for a block of first codes but not of second codes, and for all.
        for count in [30, 170, 800] {
            let rows = rows_that_share_an_id(count, nlist);
            for (name, case) in cases(nlist) {
                Place::local().check(&case, &partitions(&rows, 5, true), DuplicateIds::KeepFirst, name);
                Place::memory().check(&case, &partitions(&rows, 2, true), DuplicateIds::KeepFirst, name);
                if !case.second {
                    Place::local().check(&case, &partitions(&rows, 5, true), DuplicateIds::Allow, name);
                    Place::memory().check(&case, &partitions(&rows, 1, true), DuplicateIds::Allow, name);
                }
            }
        }
    }
}

#[test]
fn keeping_all_rows_of_an_id_that_fill_a_block_of_second_codes_is_refused_and_those_that_fit_are_ordered() {
    for nlist in [1, 3] {
        let rows = rows_that_share_an_id(800, nlist);
        for (name, case) in cases(nlist).into_iter().filter(|(_, case)| case.second) {
            let place = Place::local();
            let files = write(&case, &partitions(&rows, 5, true), &place.directory, &place.storages);
            let error = place.merge(&case, &files, DuplicateIds::Allow, 2, 2_000).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::DuplicateIds, "{name}: {error}");
            assert!(error.to_string().contains("id 4 has 800 rows"), "{name}: {error}");
            place.merge(&case, &files, DuplicateIds::Allow, 2, 1 << 20).unwrap();
            assert!(place.read("index") == model(&case, &rows, DuplicateIds::Allow), "{name}");
        }
    }
}

#[test]
fn ids_at_both_ends_of_the_range_no_rows_and_runs_without_rows_are_fine() {
    let mut extreme = rows(60, 4, 1);
    for (row, id) in [i64::MIN, i64::MAX, 0, -1, i64::MIN + 1, i64::MAX - 1].into_iter().enumerate() {
        extreme[row].id = id;
    }
    for (name, case) in cases(4) {
        Place::local().check(&case, &partitions(&extreme, 3, true), DuplicateIds::Fail, name);
        Place::local().check(&case, &[], DuplicateIds::Fail, name);
        let mut parts = partitions(&extreme, 2, true);
        parts.insert(1, Vec::new());
        Place::memory().check(&case, &parts, DuplicateIds::Fail, name);
    }
}

#[test]
fn repeated_ids_are_counted_under_every_policy() {
    let mut rows = rows(3_000, 5, 3);
    for row in [10, 20, 30, 40, 50, 60, 70] {
        let copy = rows[row].clone();
        rows.extend([copy.clone(), copy]);
    }
    let mut ids: Vec<i64> = rows[3_000..].iter().map(|row| row.id).collect();
    ids.sort_unstable();
    ids.dedup();
    let (_, case) = cases(5).remove(0);
    let place = Place::local();
    let files = write(&case, &partitions(&rows, 7, true), &place.directory, &place.storages);
    for (policy, kept) in [(DuplicateIds::Allow, 3_014), (DuplicateIds::KeepFirst, 3_000)] {
        let merged = place.merge(&case, &files, policy, 2, 1_000).unwrap();
        assert_eq!((merged.rows, merged.duplicates.rows, merged.duplicates.first_ids), (kept, 14, ids[..5].to_vec()));
    }
    let error = place.merge(&case, &files, DuplicateIds::Fail, 2, 1_000).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DuplicateIds);
    assert!(error.to_string().contains("14 rows") && error.to_string().contains(&ids[0].to_string()), "{error}");
}

#[test]
fn a_changed_byte_in_any_section_is_found_and_its_run_named() {
    let rows = rows(2_000, 7, 3);
    let (_, case) = cases(7).remove(4);
    assert!(case.second);
    for policy in [DuplicateIds::Fail, DuplicateIds::KeepFirst] {
        let place = Place::local();
        let files = write(&case, &partitions(&rows, 3, true), &place.directory, &place.storages);
        let damaged = &files[1];
        let intact = place.read("run-1");
        for section in Section::ALL {
            let (begin, end, _) = layout(&case).range(section, damaged.rows);
            for (offset, mask) in [(begin, 0x01), (begin, 0x80), ((begin + end) / 2, 0x10), (end - 1, 0x80)] {
                let mut changed = intact.clone();
                changed[usize::try_from(offset).unwrap()] ^= mask;
                place.replace(&damaged.uri, &changed);
                let error = place.merge(&case, &files, policy, 2, 900).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::CorruptFile, "{section:?} {offset}: {error}");
                assert!(error.to_string().contains(&damaged.uri), "{error}");
            }
        }
        place.replace(&damaged.uri, &intact[..intact.len() - 1]);
        assert_eq!(place.merge(&case, &files, policy, 2, 900).unwrap_err().kind(), ErrorKind::CorruptFile);
        assert!(LocalStorage.list(&place.directory).unwrap().iter().all(|uri| uri.contains("run-")));
    }
}

#[test]
fn a_million_lists_with_few_rows_are_merged_in_blocks() {
    let nlist = 1_000_000;
    let sparse = rows(5_000, nlist, 3);
    let case = Case {
        nlist,
        second: false,
        pieces: vec![FilePiece::Lists { format: ListFormat::Array, labels: Labels::Positions }, FilePiece::IdMap],
    };
    let place = Place::local();
    let files = write(&case, &partitions(&sparse, 4, true), &place.directory, &place.storages);
    let merged = place.merge(&case, &files, DuplicateIds::Fail, 2, 1 << 20).unwrap();
    let found = place.read("index");
    assert_eq!(merged.crc32c, crc32c::crc32c(&found));
    let mut by_list = sparse.clone();
    by_list.sort();
    let mut sizes = vec![0; usize::try_from(nlist).unwrap()];
    by_list.iter().for_each(|row| sizes[usize::try_from(row.list).unwrap()] += 1);
    let header = list_block_header(nlist.into(), to_u64(CODE), &sizes);
    assert!(found.starts_with(&header));
    let mut ids: Vec<i64> = sparse.iter().map(|row| row.id).collect();
    ids.sort_unstable();
    let place_of = |id| to_u64(ids.binary_search(&id).unwrap());
    let mut expected = Vec::new();
    for list in by_list.chunk_by(|a, b| a.list == b.list) {
        expected.extend(list.iter().flat_map(|row| row.code));
        expected.extend(list.iter().flat_map(|row| place_of(row.id).to_le_bytes()));
    }
    expected.extend(to_u64(ids.len()).to_le_bytes());
    expected.extend(ids.iter().flat_map(|id| id.to_le_bytes()));
    assert!(found[header.len()..] == expected);
}

#[test]
fn a_cancelled_merge_stops_and_leaves_nothing() {
    let rows = rows(2_000, 7, 3);
    for place in [Place::local(), Place::memory()] {
        let (_, case) = cases(7).remove(2);
        let files = write(&case, &partitions(&rows, 3, true), &place.directory, &place.storages);
        let (workers, progress) = (Workers::new(2, "merge").unwrap(), Progress::default());
        let cancellation = Cancellation::default();
        let resources = MergeResources::new(&place.storages, &workers, &cancellation, &progress);
        let runs = Runs::open(layout(&case), files.iter(), &place.storages).unwrap();
        let uri = join(&place.directory, "index");
        let cancel_late = |_| {
            cancellation.cancel();
            Ok(case.pieces.clone())
        };
        let error = merge_runs(&runs, DuplicateIds::Fail, cancel_late, &uri, Part::WHOLE, &resources).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        let left = place.storages.resolve(&uri).unwrap().list(&place.directory).unwrap();
        assert!(left.iter().all(|uri| uri.contains("run-")), "{left:?}");
    }
}
