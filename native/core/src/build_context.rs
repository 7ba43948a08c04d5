//! What every stage of one build knows: the spec, where files go, and what was decided on the way.

use faiss_indexer_storage::{Storage, Storages, join};
use log::{info, warn};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{BuildError, Result};
use crate::family::Family;
use crate::grouped_output::started_group_directories;
use crate::ledger::Ledger;
use crate::merge::part::Part;
use crate::numbers::to_u32;
use crate::output_directory::prepare_output;
use crate::publication::{Publication, remove_empty_directory, remove_if_empty};
use crate::receipts::DuplicateRows;
use crate::spec::IndexSpec;
use crate::training_plan::check_memory;

/// What is known about an index.
pub(crate) const MANIFEST_NAME: &str = "faiss.manifest.json";
/// What people read about it.
pub(crate) const REPORT_NAME: &str = "report.html";
/// Written last: the directory is complete.
pub(crate) const SUCCESS_NAME: &str = "_SUCCESS";
/// Parent of everything that is not published yet.
pub(crate) const TEMPORARY_NAME: &str = "_temporary";
/// What the directories of shards begin with.
const SHARD_PREFIX: &str = "shard_";

/// The directory of one of several indexes.
pub(crate) fn shard_directory(number: u32) -> String {
    format!("{SHARD_PREFIX}{number}")
}

/// Whether a name is one of [`shard_directory`].
pub(crate) fn is_shard_directory(name: &str) -> bool {
    let number = name.strip_prefix(SHARD_PREFIX).unwrap_or_default();
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// Travels between the stages as JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BuildContext {
    pub(crate) build_id: String,
    pub(crate) output: String,
    pub(crate) spec: IndexSpec,
    /// The family's factory string, once it is known.
    pub(crate) factory_string: Option<String>,
    /// Share of the rows that the sample stage keeps.
    pub(crate) sample_rate: f64,
    /// Rows that training gets, once it is known.
    pub(crate) training_rows: Option<u64>,
    /// Rows that the index will hold unless ids repeat, once it is known.
    pub(crate) good_rows: Option<u64>,
    /// Whether the output's file system joins files, so that several tasks may make one.
    #[serde(default)]
    pub(crate) joins_files: bool,
    /// Tasks that merge one index file.
    #[serde(default = "one_part")]
    pub(crate) merge_parts: u32,
    /// What the builds of the indexes that this one begins with left out.
    #[serde(default)]
    pub(crate) left_out_before: LeftOut,
}

fn one_part() -> u32 {
    1
}

/// Rows of the input that are not in an index.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LeftOut {
    pub(crate) bad_rows: Ledger,
    /// Rows whose id a row of the index has.
    pub(crate) duplicates: DuplicateRows,
}

impl BuildContext {
    pub(crate) fn from_json(text: &str) -> Result<Self> {
        serde_json::from_str(text)
            .map_err(|error| BuildError::invalid(format!("the build cannot be read ({error}): {text}")))
    }

    /// The family, which is known after planning at the latest.
    pub(crate) fn family(&self) -> Result<Family> {
        let factory_string = self
            .factory_string
            .as_ref()
            .ok_or_else(|| BuildError::invalid("the build was not planned: call plan_training first"))?;
        Family::parse(factory_string, self.spec.dimension, self.spec.metric, self.spec.id_map)
    }

    /// The backends by which the build reaches its output.
    pub(crate) fn backends(&self, storages: &Storages) -> Result<Storages> {
        self.spec.hdfs_access.backends(&self.output, storages)
    }

    /// The tasks of the merge stage: for each index file one, or one for each of its parts.
    pub(crate) fn merge_tasks(&self) -> Result<u32> {
        to_u32(self.spec.shards * u64::from(self.merge_parts))
    }

    /// The shard and the part that a task of the merge stage makes.
    pub(crate) fn merge_task(&self, task: u32) -> (u32, Part) {
        let of = self.merge_parts.max(1);
        match self.spec.shards {
            1 if of == 1 => (0, Part::WHOLE),
            _ => (task / of, Part { number: task % of, of }),
        }
    }

    /// The tasks that join parts: one for each index file that has several.
    pub(crate) fn assemble_tasks(&self) -> Result<u32> {
        if self.merge_parts > 1 { to_u32(self.spec.shards) } else { Ok(0) }
    }

    pub(crate) fn published(&self, name: &str) -> String {
        join(&self.output, name)
    }

    pub(crate) fn temporary_directory(&self) -> String {
        temporary_directory_of(&self.build_id, &self.output)
    }

    /// A name that no other attempt of the same task uses.
    pub(crate) fn attempt_file(&self, role: &str) -> String {
        join(&self.temporary_directory(), &format!("{role}-{}", Uuid::new_v4().simple()))
    }
}

/// Checks all that can be checked before the input is looked at. The spec may lack its dimension. Nothing is written,
/// but for a publication into `output` that was interrupted: it is finished.
///
/// # Errors
/// [`crate::ErrorKind::InvalidSpec`]; [`crate::ErrorKind::AlreadyExists`] for a directory that holds a finished index, unless the
/// spec says to overwrite it, and for one that holds something else that publishing would remove; storage errors.
pub fn check_build(spec: &[(String, String)], output: &str, storages: &Storages) -> Result<()> {
    check(&IndexSpec::from_pairs(spec)?, output, storages).map(drop)
}

/// Refuses a spec that needs more memory for `rows` rows than its limit allows, for front ends that know the number of
/// rows, or a bound on it, before any is read. Without it, the same is found out after the sample stage. The spec has
/// its dimension.
///
/// # Errors
/// [`crate::ErrorKind::InvalidSpec`], saying what is needed and what helps.
pub fn check_rows(spec: &[(String, String)], rows: u64) -> Result<()> {
    let spec = IndexSpec::from_pairs(spec)?;
    match &spec.factory_string {
        Some(text) => check_memory(&spec, &Family::parse(text, spec.dimension, spec.metric, spec.id_map)?, rows),
        // What is chosen for want of a factory string is never built by one task.
        None => Ok(()),
    }
}

/// Starts a build under a name of its own.
///
/// # Errors
/// As [`start_named_build`].
pub fn start_build(spec: &[(String, String)], output: &str, storages: &Storages) -> Result<String> {
    start_named_build(&Uuid::new_v4().simple().to_string(), spec, output, storages)
}

/// Checks `spec` and `output` as [`check_build`] does and makes the directory of this build, whose name no other build
/// into the output has. Returns the build as JSON. A call that is repeated changes nothing.
///
/// # Errors
/// As [`check_build`], before anything is written; [`crate::ErrorKind::InvalidSpec`] for a name that no directory can
/// have.
pub fn start_named_build(name: &str, spec: &[(String, String)], output: &str, storages: &Storages) -> Result<String> {
    check_build_name(name)?;
    let spec = IndexSpec::from_pairs(spec)?;
    let Checked { output, family, storages } = check(&spec, output, storages)?;
    if spec.dimension == 0 {
        return Err(BuildError::invalid("dimension is missing"));
    }
    // The sample stage keeps a little more than asked for, so that chance seldom makes it run twice.
    let sample_rate = match &family {
        Some(family) if family.training_rows().usable == 0 => 0.0,
        _ => (spec.sample_rate * 1.1).min(1.0),
    };
    let context = BuildContext {
        build_id: name.to_owned(),
        output: output.to_owned(),
        factory_string: spec.factory_string.clone(),
        spec,
        sample_rate,
        training_rows: None,
        good_rows: None,
        joins_files: false,
        merge_parts: one_part(),
        left_out_before: LeftOut::default(),
    };

    let (storage, directory) = (storages.resolve(output)?, context.temporary_directory());
    storage.make_directories(&directory)?;
    let joins_files = joins_files(storage.as_ref(), &directory);
    let context = BuildContext { joins_files, ..context };
    if let Some(family) = family {
        info!("plan for {}", family.describe());
    }
    crate::receipts::to_json(&context)
}

pub(crate) fn check_build_name(name: &str) -> Result<()> {
    if name.is_empty() || !name.bytes().all(|letter| letter.is_ascii_alphanumeric()) {
        return Err(BuildError::invalid(format!("'{name}' cannot name a build: only letters and digits can")));
    }
    Ok(())
}

/// Whether several tasks had better merge one file. That this cannot be found out is no reason to fail.
pub(crate) fn joins_files(storage: &dyn Storage, directory: &str) -> bool {
    storage.can_concatenate(directory).unwrap_or_else(|error| {
        info!("one task merges: {error}");
        false
    })
}

/// Deletes the temporary files of a build that will not be finished. A build whose publication has begun keeps them:
/// it will be finished by whoever comes next. Returns whether there were any: a build that has none left was overtaken
/// by another one into the same output.
///
/// # Errors
/// Storage errors.
pub fn abandon(build: &str, storages: &Storages) -> Result<bool> {
    let context = BuildContext::from_json(build)?;
    abandon_named_build(&context.build_id, &context.output, storages)
}

/// [`abandon`] for who knows of the build no more than its name; of all groups, if it is that of an output with groups.
///
/// # Errors
/// Storage errors.
pub fn abandon_named_build(name: &str, output: &str, storages: &Storages) -> Result<bool> {
    let output = output.trim_end_matches('/');
    // By the host's own client where there is one: ours may be what has failed.
    if Publication::read(output, storages)?.is_some_and(|begun| begun.build_id == name) {
        warn!("the next build into {output} finishes what this one began to publish");
        return Ok(true);
    }
    let (storage, directory) = (storages.resolve(output)?, temporary_directory_of(name, output));
    for group in started_group_directories(name, output, storages)? {
        abandon_named_build(name, &group, storages)?;
        remove_if_empty(&group, storage.as_ref())?;
    }
    let is_there = storage.stat(&directory)?.is_some();
    storage.delete(&directory)?;
    remove_empty_directory(output, storages)?;
    Ok(is_there)
}

pub(crate) fn temporary_directory_of(name: &str, output: &str) -> String {
    join(&join(output, TEMPORARY_NAME), name)
}

struct Checked<'a> {
    /// Without slashes at its end.
    output: &'a str,
    /// If the spec names one and the dimension.
    family: Option<Family>,
    storages: Storages,
}

impl IndexSpec {
    /// Checks the factory string if there is one, and returns what it stands for if the dimension is known.
    pub(crate) fn check_family(&self) -> Result<Option<Family>> {
        match &self.factory_string {
            Some(text) if self.dimension == 0 => Family::check_syntax(text, self.metric).map(|()| None),
            Some(text) => Family::parse(text, self.dimension, self.metric, self.id_map).map(Some),
            None => Ok(None),
        }
    }
}

fn check<'a>(spec: &IndexSpec, output: &'a str, storages: &Storages) -> Result<Checked<'a>> {
    let family = spec.check_family()?;
    let output = output.trim_end_matches('/');
    if output.is_empty() {
        return Err(BuildError::invalid("output is missing"));
    }
    let storages = spec.hdfs_access.backends(output, storages)?;
    prepare_output(spec, output, &storages)?;
    Ok(Checked { output, family, storages })
}
