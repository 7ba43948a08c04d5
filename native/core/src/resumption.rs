//! What a host needs to go on with a build whose process ended before it was published.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use faiss_indexer_storage::{Storages, join};
use serde_json::{Map, Value};

use crate::build_context::{BuildContext, TEMPORARY_NAME};
use crate::error::{BuildError, ErrorKind, Result};
use crate::merge::joining::is_joined_in_place;
use crate::publication::PUBLICATION_NAME;
use crate::receipts::{Receipts, to_json};
use crate::spec::IndexSpec;

/// Keys of a spec that change how an index is built, and neither the index nor what is measured of it.
const KEYS_OF_THE_RUN: [&str; 4] = ["io.hdfs", "memoryLimit", "overwrite", "threads"];

/// Every key of a spec that has a default, and the default, as text.
///
/// # Errors
/// [`ErrorKind::Internal`].
pub fn spec_defaults() -> Result<Vec<(String, String)>> {
    let defaults = members(&IndexSpec::from_pairs(&[])?)?;
    let texts = defaults.into_iter().filter_map(|(key, value)| match value {
        Value::Null => None,
        Value::String(text) => Some((key, text)),
        other => Some((key, other.to_string())),
    });
    Ok(texts.filter(|(key, _)| key != "dimension").collect())
}

/// The directory of a build's temporary files. A host may keep directories of its own inside.
///
/// # Errors
/// [`ErrorKind::InvalidSpec`] if `build` is not the JSON of a build.
pub fn temporary_directory(build: &str) -> Result<String> {
    Ok(BuildContext::from_json(build)?.temporary_directory())
}

/// The temporary directories of builds into `output` that were neither published nor abandoned.
///
/// # Errors
/// Storage errors.
pub fn unfinished_builds(output: &str, storages: &Storages) -> Result<Vec<String>> {
    let parent = join(output.trim_end_matches('/'), TEMPORARY_NAME);
    let mut builds = storages.resolve(&parent)?.list(&parent)?;
    builds.retain(|uri| *uri != join(&parent, PUBLICATION_NAME));
    Ok(builds)
}

/// How many tasks the merge stage has; the partition of a task is its number.
///
/// # Errors
/// As [`temporary_directory`].
pub fn merge_tasks(build: &str) -> Result<u32> {
    BuildContext::from_json(build)?.merge_tasks()
}

/// How many tasks join what the merge stage wrote in parts; none where every task of it makes a whole file.
///
/// # Errors
/// As [`temporary_directory`].
pub fn assemble_tasks(build: &str) -> Result<u32> {
    BuildContext::from_json(build)?.assemble_tasks()
}

/// Whether the stage evaluate, one task, follows the merge.
///
/// # Errors
/// As [`temporary_directory`].
pub fn evaluates(build: &str) -> Result<bool> {
    Ok(BuildContext::from_json(build)?.spec.report)
}

/// The build as [`crate::start_build`] returned it once, with those values of `spec` that do not show in the index.
///
/// # Errors
/// [`ErrorKind::InvalidSpec`], naming the first value in which the two builds differ otherwise.
pub fn adopt_build(build: &str, spec: &[(String, String)], output: &str) -> Result<String> {
    let mut context = BuildContext::from_json(build)?;
    let asked = IndexSpec::from_pairs(spec)?;
    let output = output.trim_end_matches('/');
    refuse_difference("output", &Value::from(context.output.as_str()), &Value::from(output))?;
    let (before, after) = (members(&context.spec)?, members(&asked)?);
    for (key, value) in &after {
        if !KEYS_OF_THE_RUN.contains(&key.as_str()) {
            refuse_difference(key, before.get(key).unwrap_or(&Value::Null), value)?;
        }
    }
    context.spec = asked;
    to_json(&context)
}

/// The places of those receipts of one build whose files are gone or cut, each with what is wrong. Parts of an index
/// that were joined are not lost: the receipt of the join, or the file that they became, stands for them.
///
/// # Errors
/// [`ErrorKind::InvalidSpec`] for what is no receipt.
pub fn lost_receipts(build: &str, receipts: &[String], storages: &Storages) -> Result<Vec<(usize, BuildError)>> {
    let context = BuildContext::from_json(build)?;
    let mut lost = Vec::new();
    for (place, receipt) in receipts.iter().enumerate() {
        if let Err(error) = check_files(&files_of(&context, receipt)?, storages) {
            lost.push((place, error));
        }
    }
    if lost.is_empty() {
        return Ok(lost);
    }
    let is_lost: HashSet<usize> = lost.iter().map(|(place, _)| *place).collect();
    let sound: Vec<String> = receipts
        .iter()
        .enumerate()
        .filter(|(place, _)| !is_lost.contains(place))
        .map(|(_, text)| text.clone())
        .collect();
    let whole: HashSet<u32> = Receipts::parse(&sound)?.merged.iter().map(|merged| merged.shard).collect();
    let all = Receipts::parse(receipts)?;
    let mut kept = Vec::new();
    // Of all parts of a shard, the answer is the same.
    let mut joined: HashMap<u32, bool> = whole.into_iter().map(|shard| (shard, true)).collect();
    for (place, error) in lost {
        let is_joined = match Receipts::parse(&receipts[place..=place])?.parts.first() {
            Some(part) => match joined.entry(part.shard) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(unknown) => *unknown.insert(is_joined_in_place(part, &all, storages)?),
            },
            None => false,
        };
        if !is_joined {
            kept.push((place, error));
        }
    }
    Ok(kept)
}

fn check_files(files: &[(String, Option<u64>)], storages: &Storages) -> Result<()> {
    for (uri, bytes) in files {
        match storages.resolve(uri)?.stat(uri)?.map(|status| status.length) {
            Some(found) if bytes.is_none_or(|bytes| found == bytes) => {}
            Some(found) => {
                let expected = bytes.unwrap_or_default();
                return Err(BuildError::corrupt(uri, format!("it has {found} bytes instead of {expected}")));
            }
            None => return Err(BuildError::new(ErrorKind::NotFound, format!("{uri} is gone"))),
        }
    }
    Ok(())
}

/// Deletes the files in the build's temporary directory that none of `receipts` names: what tasks left behind that did
/// not get to their receipt. No task of the build may be running. Directories stay.
///
/// # Errors
/// Storage errors.
pub fn delete_unnamed_files(build: &str, receipts: &[String], storages: &Storages) -> Result<()> {
    let context = BuildContext::from_json(build)?;
    let mut named = HashSet::new();
    for receipt in receipts {
        named.extend(files_of(&context, receipt)?.into_iter().map(|(uri, _)| uri));
    }
    let directory = context.temporary_directory();
    let storage = storages.resolve(&directory)?;
    storage.delete_unfinished(&directory)?;
    for uri in storage.list(&directory)? {
        let is_file = storage.stat(&uri)?.is_some_and(|status| !status.is_directory);
        if is_file && !named.contains(&uri) {
            storage.delete(&uri)?;
        }
    }
    Ok(())
}

/// The files of a receipt, whatever its stage, and their lengths where it says them.
fn files_of(context: &BuildContext, receipt: &str) -> Result<Vec<(String, Option<u64>)>> {
    let receipt: Value = serde_json::from_str(receipt)
        .map_err(|error| BuildError::invalid(format!("a receipt cannot be read ({error}): {receipt}")))?;
    let mut files = Vec::new();
    collect_files(&receipt, &mut files);
    // A file of sampled rows has a vector and an id for each.
    for sampled in ["sample", "queries"].into_iter().filter_map(|name| receipt.get(name)) {
        if let (Some(sampled), Some(rows)) = (sampled["uri"].as_str(), sampled["rows"].as_u64()) {
            let bytes = rows * (context.spec.dimension * 4 + 8);
            files.iter_mut().filter(|(uri, _)| uri == sampled).for_each(|(_, length)| *length = Some(bytes));
        }
    }
    Ok(files)
}

fn collect_files(value: &Value, files: &mut Vec<(String, Option<u64>)>) {
    match value {
        Value::Object(members) => {
            if let Some(uri) = members.get("uri").and_then(Value::as_str) {
                files.push((uri.to_owned(), members.get("bytes").and_then(Value::as_u64)));
            }
            members.values().for_each(|member| collect_files(member, files));
        }
        Value::Array(elements) => elements.iter().for_each(|element| collect_files(element, files)),
        _ => {}
    }
}

fn members(spec: &IndexSpec) -> Result<Map<String, Value>> {
    match serde_json::to_value(spec) {
        Ok(Value::Object(members)) => Ok(members),
        other => Err(BuildError::new(ErrorKind::Internal, format!("a spec is no JSON object: {other:?}"))),
    }
}

fn refuse_difference(key: &str, before: &Value, after: &Value) -> Result<()> {
    if before == after {
        return Ok(());
    }
    Err(BuildError::invalid(format!("{key} differs: the unfinished build has {before}, this one {after}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::StageKind;
    use crate::start_build;
    use crate::test_builds::{OUTPUT, Rows, TestBuild};
    use faiss_indexer_storage::{CreateMode, Storage};

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_build_is_adopted_unless_something_that_shows_in_the_index_differs() {
        let test = TestBuild::new();
        let spec = pairs(&[("dimension", "8"), ("factoryString", "Flat"), ("threads", "2")]);
        let build = start_build(&spec, OUTPUT, &test.storages).unwrap();
        let others = pairs(&[("dimension", "8"), ("factoryString", "Flat"), ("memoryLimit", "1GiB")]);
        let adopted = BuildContext::from_json(&adopt_build(&build, &others, OUTPUT).unwrap()).unwrap();
        assert_eq!((adopted.spec.threads, adopted.spec.memory_limit), (None, 1 << 30));
        for (changed, output, named) in [
            (("metric", "ip"), OUTPUT, "metric differs: the unfinished build has \"l2\", this one \"ip\""),
            (("seed", "5"), OUTPUT, "seed differs"),
            (("dimension", "9"), OUTPUT, "dimension differs"),
            (("report", "false"), OUTPUT, "report differs: the unfinished build has true, this one false"),
            (("threads", "2"), "memory:/else", "output differs"),
        ] {
            let spec = [spec.clone(), pairs(&[changed])].concat();
            let message = adopt_build(&build, &spec, output).unwrap_err().to_string();
            assert!(message.contains(named), "{message}");
        }
    }

    #[test]
    fn a_file_of_a_receipt_that_is_gone_or_cut_is_named_and_only_files_of_receipts_stay() {
        let test = TestBuild::new();
        let rows = Rows::new(500, 8);
        let spec = pairs(&[("dimension", "8"), ("factoryString", "IVF4,Flat"), ("report", "false")]);
        let build = start_build(&spec, OUTPUT, &test.storages).unwrap();
        let receipt = test.task(StageKind::Sample, &build, &[], 0, Some(&rows)).unwrap();
        let directory = temporary_directory(&build).unwrap();
        assert_eq!(unfinished_builds(OUTPUT, &test.storages).unwrap(), std::slice::from_ref(&directory));
        let receipts = std::slice::from_ref(&receipt);
        let lost = || lost_receipts(&build, receipts, &test.storages).unwrap();
        assert!(lost().is_empty());
        let sample = test.memory.list(&directory).unwrap().remove(0);

        let left_behind = join(&directory, "left-behind");
        test.memory.create(&left_behind, CreateMode::New).unwrap().finish().unwrap();
        delete_unnamed_files(&build, receipts, &test.storages).unwrap();
        assert_eq!(test.memory.list(&directory).unwrap(), std::slice::from_ref(&sample));

        test.memory.create(&sample, CreateMode::Overwrite).unwrap().finish().unwrap();
        let (place, cut) = lost().remove(0);
        assert_eq!((place, cut.kind()), (0, ErrorKind::CorruptFile));
        test.memory.delete(&sample).unwrap();
        let (place, gone) = lost().remove(0);
        assert_eq!((place, gone.kind()), (0, ErrorKind::NotFound));
        assert!(cut.to_string().contains(&sample) && gone.to_string().contains(&sample), "{cut} {gone}");
    }

    #[test]
    fn what_a_killed_task_had_begun_to_write_is_deleted() {
        let directory = tempfile::tempdir().unwrap();
        let output = directory.path().to_str().unwrap();
        let storages = Storages::new();
        let build = start_build(&pairs(&[("dimension", "8")]), output, &storages).unwrap();
        let temporary = temporary_directory(&build).unwrap();
        let index = join(&temporary, "index");
        // A process that is killed drops nothing.
        std::mem::forget(storages.resolve(&index).unwrap().create_sized(&index, 100_000, CreateMode::New).unwrap());
        assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 1);
        delete_unnamed_files(&build, &[], &storages).unwrap();
        assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0);
    }

    #[test]
    fn every_stage_names_its_files_with_their_lengths() {
        let test = TestBuild::new();
        let spec = [("factoryString", "IVF4,SQ8"), ("sampleRate", "1"), ("report", "true")];
        let merged = test.merged(&spec, &[Rows::new(500, 8)]).unwrap();
        // With the report's queries beside the sample and the trained state, and their neighbours beside the run.
        for (receipt, expected) in merged.receipts.iter().zip([2, 2, 2, 1]) {
            let files = files_of(&BuildContext::from_json(&merged.build).unwrap(), receipt).unwrap();
            assert_eq!(files.len(), expected, "{files:?} of {receipt}");
            for (uri, bytes) in files {
                assert_eq!(bytes, test.memory.stat(&uri).unwrap().map(|status| status.length), "{uri} of {receipt}");
            }
        }
    }

    #[test]
    fn defaults_are_those_of_an_empty_spec() {
        let defaults = spec_defaults().unwrap();
        for pair in pairs(&[("metric", "l2"), ("seed", "1234"), ("sampleRate", "0.05"), ("shards", "1")]) {
            assert!(defaults.contains(&pair), "{defaults:?}");
        }
        assert!(!defaults.iter().any(|(key, _)| key == "threads" || key == "factoryString"), "{defaults:?}");
    }
}
