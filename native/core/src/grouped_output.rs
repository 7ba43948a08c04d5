//! An output with an index for each group of rows: a directory for each, named like the group, and above them the file
//! by which readers of grouped indexes know how many there have to be. Each directory is the output of a build of its
//! own; all of these have one name, and none is published before all can be.

use std::time::SystemTime;

use faiss_indexer_storage::{Storage, Storages, join};
use serde::{Deserialize, Serialize};

use crate::build_context::{MANIFEST_NAME, SUCCESS_NAME, TEMPORARY_NAME, check_build_name, temporary_directory_of};
use crate::error::{BuildError, ErrorKind, Result};
use crate::group_metadata::group_metadata;
use crate::output_directory::{Below, last_name, refuse_taken_directory};
use crate::plain_name::is_plain_name;
use crate::publication::{put, read_if_there, remove_empty_directory};
use crate::spec::IndexSpec;

/// How many groups there are, for readers that refuse an output with fewer or more directories.
const METADATA_NAME: &str = "ANN_INDEX_METADATA";
/// Among the temporary files of a build: its groups.
const GROUPS_NAME: &str = "groups.json";

/// The groups of a build that was started.
#[derive(Debug, Serialize, Deserialize)]
struct Groups {
    groups: Vec<String>,
}

/// Checks all of `spec` and of the directory above the groups that can be checked before any group is known; writes
/// nothing.
///
/// # Errors
/// As [`crate::check_build`]; [`ErrorKind::AlreadyExists`] for a directory above which holds an index itself, or below
/// which lies anything but indexes, or finished ones that are not to be replaced.
pub fn check_groups(spec: &[(String, String)], output: &str, storages: &Storages) -> Result<()> {
    let spec = IndexSpec::from_pairs(spec)?;
    spec.check_family()?;
    refuse_taken_output(&spec, output.trim_end_matches('/'), storages)
}

/// Checks as [`check_groups`] does, and writes down the groups of the build, for [`crate::abandon_named_build`]. A call
/// that is repeated changes nothing.
///
/// # Errors
/// As [`check_groups`]; [`ErrorKind::InvalidSpec`] for a group that cannot name a directory.
pub fn start_groups(
    name: &str,
    spec: &[(String, String)],
    output: &str,
    groups: &[String],
    storages: &Storages,
) -> Result<()> {
    check_build_name(name)?;
    for group in groups {
        check_group(group)?;
    }
    let output = output.trim_end_matches('/');
    check_groups(spec, output, storages)?;
    removable(&IndexSpec::from_pairs(spec)?, output, groups, storages)?;
    let uri = join(&temporary_directory_of(name, output), GROUPS_NAME);
    let content = crate::receipts::to_json(&Groups { groups: groups.to_vec() })?;
    put(storages.resolve(&uri)?.as_ref(), &uri, content)
}

/// States the number of groups, and removes the indexes of groups that are there no more; to be called when the indexes
/// of all groups can be published, and before one is. A call may be repeated.
///
/// # Errors
/// [`ErrorKind::AlreadyExists`] as [`check_groups`]; storage errors.
pub fn publish_groups(
    name: &str,
    spec: &[(String, String)],
    output: &str,
    groups: &[String],
    storages: &Storages,
) -> Result<()> {
    let spec = IndexSpec::from_pairs(spec)?;
    let output = output.trim_end_matches('/');
    let storage = storages.resolve(output)?;
    let storage = storage.as_ref();
    let gone = removable(&spec, output, groups, storages)?;
    let staged = join(&temporary_directory_of(name, output), METADATA_NAME);
    put(storage, &staged, group_metadata(groups.len(), SystemTime::now())?)?;
    storage.rename(&staged, &join(output, METADATA_NAME))?;
    for directory in &gone {
        storage.delete(&join(directory, SUCCESS_NAME))?;
        storage.delete(directory)?;
    }
    Ok(())
}

/// Removes what [`start_groups`] has written, when all groups are published.
///
/// # Errors
/// Storage errors.
pub fn end_groups(name: &str, output: &str, storages: &Storages) -> Result<()> {
    let output = output.trim_end_matches('/');
    storages.resolve(output)?.delete(&temporary_directory_of(name, output))?;
    remove_empty_directory(output, storages)
}

/// The groups whose indexes are published in `output`, in the order of their names.
///
/// # Errors
/// Storage errors.
pub fn published_groups(output: &str, storages: &Storages) -> Result<Vec<String>> {
    let output = output.trim_end_matches('/');
    let storage = storages.resolve(output)?;
    let mut groups = Vec::new();
    for directory in directories(output, storage.as_ref())? {
        if storage.stat(&join(&directory, SUCCESS_NAME))?.is_some() {
            groups.push(last_name(&directory).to_owned());
        }
    }
    groups.sort();
    Ok(groups)
}

/// The directories of the groups of a build that was started and has not ended.
pub(crate) fn started_group_directories(name: &str, output: &str, storages: &Storages) -> Result<Vec<String>> {
    let uri = join(&temporary_directory_of(name, output), GROUPS_NAME);
    let started: Option<Groups> = read_if_there(&uri, storages)?;
    Ok(started.into_iter().flat_map(|started| started.groups).map(|group| join(output, &group)).collect())
}

fn refuse_taken_output(spec: &IndexSpec, output: &str, storages: &Storages) -> Result<()> {
    if output.is_empty() {
        return Err(BuildError::invalid("output is missing"));
    }
    let storage = storages.resolve(output)?;
    for name in [SUCCESS_NAME, MANIFEST_NAME] {
        if storage.stat(&join(output, name))?.is_some() {
            let message = format!("{output} holds an index of all rows ({name}); choose another output for groups");
            return Err(BuildError::new(ErrorKind::AlreadyExists, message));
        }
    }
    for directory in directories(output, storage.as_ref())? {
        refuse_taken_directory(spec, &directory, Below::Group, storages)?;
    }
    Ok(())
}

/// The directories of groups that are there no more, whose indexes may be removed.
fn removable(spec: &IndexSpec, output: &str, groups: &[String], storages: &Storages) -> Result<Vec<String>> {
    let storage = storages.resolve(output)?;
    let mut gone = directories(output, storage.as_ref())?;
    gone.retain(|directory| groups.iter().all(|group| group != last_name(directory)));
    for directory in &gone {
        refuse_taken_directory(spec, directory, Below::Group, storages)?;
        let what = if storage.stat(&join(directory, MANIFEST_NAME))?.is_none() {
            "holds no index that this could have built, and would count as a group; choose another output, or remove it"
        } else if !spec.overwrite {
            "holds the index of a group that is there no more; overwrite=true removes it"
        } else {
            continue;
        };
        return Err(BuildError::new(ErrorKind::AlreadyExists, format!("{directory} {what}")));
    }
    Ok(gone)
}

/// The directories in `output`, but for that of temporary files.
fn directories(output: &str, storage: &dyn Storage) -> Result<Vec<String>> {
    let mut directories = Vec::new();
    for child in storage.list(output)? {
        let is_directory = storage.stat(&child)?.is_some_and(|status| status.is_directory);
        if is_directory && last_name(&child) != TEMPORARY_NAME {
            directories.push(child.trim_end_matches('/').to_owned());
        }
    }
    Ok(directories)
}

fn check_group(group: &str) -> Result<()> {
    if is_plain_name(group) {
        return Ok(());
    }
    Err(BuildError::invalid(format!(
        "the group '{group}' cannot name a directory: letters, digits, '.', '-' and '_' can, after a letter or a digit"
    )))
}
