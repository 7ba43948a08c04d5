//! Builds that begin with published indexes: their trained state is taken over, so new rows need no training, and
//! indexes that share it become one.

use std::collections::HashSet;

use faiss_indexer_storage::{CreateMode, Storages, join};
use log::info;
use uuid::Uuid;

use crate::build_context::{BuildContext, LeftOut, abandon, joins_files, shard_directory};
use crate::error::{BuildError, ErrorKind, Result};
use crate::family::MergePlan;
use crate::hdfs_access::HdfsAccess;
use crate::index_file::{IndexFile, Piece};
use crate::manifest::Manifest;
use crate::output_directory::{prepare_output, refuse_index_in_shards};
use crate::publication::finish_publication;
use crate::receipts::{Clock, DuplicateRows, Receipt, Receipts, TrainReceipt, to_json};
use crate::spec::{BadRows, IndexSpec};
use crate::trained_state::{each_part, recover};
use crate::training_plan::{parts_for, total_ledger};
use crate::verify::published_manifest;

/// What the trained state depends on, so that an extension cannot choose it anew.
const FIXED_KEYS: [&str; 6] = ["dimension", "factoryString", "metric", "idMap", "sampleRate", "seed"];

/// A build whose training is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    /// The build, as [`crate::plan_training`] would return it.
    pub build: String,
    /// The receipt of its training.
    pub trained: String,
    /// Rows of each index.
    pub rows: Vec<u64>,
}

/// Starts a build into `output` with the trained state of the published `indexes`, which must share it. Their rows are
/// not part of it until [`crate::import_index`] has brought them in. `overrides` are keys and values of a spec; what
/// they leave out is as in the first index, except that nothing is overwritten.
///
/// # Errors
/// [`ErrorKind::FingerprintMismatch`] for indexes of different training; [`ErrorKind::InvalidSpec`] for indexes that
/// cannot be extended and keys that are fixed; [`ErrorKind::CorruptFile`] for damaged ones; [`ErrorKind::NotFound`]
/// for what this project did not publish; storage errors. Nothing is left behind.
pub fn start_extension(
    indexes: &[String],
    output: &str,
    overrides: &[(String, String)],
    storages: &Storages,
) -> Result<Extension> {
    let began = Clock::start();
    let output = output.trim_end_matches('/');
    let (Some(first), false) = (indexes.first(), output.is_empty()) else {
        return Err(BuildError::invalid("an extension needs an index to begin with and an output"));
    };
    for index in indexes {
        finish_publication(index, storages)?;
        refuse_index_in_shards(index, output, storages)?;
    }
    let manifest = extensible_manifest(first, storages)?;
    let mut rows = vec![manifest.rows];
    let mut manifests = vec![manifest.clone()];
    for other in &indexes[1..] {
        let found = extensible_manifest(other, storages)?;
        if found.fingerprint != manifest.fingerprint {
            let message = format!(
                "{first} and {other} were trained differently (fingerprints {} and {}), so their codes mean \
                 different vectors and cannot be in one index",
                manifest.fingerprint, found.fingerprint
            );
            return Err(BuildError::new(ErrorKind::FingerprintMismatch, message));
        }
        rows.push(found.rows);
        manifests.push(found);
    }
    let mut context = manifest.context(&Uuid::new_v4().simple().to_string(), output);
    context.left_out_before = left_out(&manifests)?;
    override_spec(&mut context.spec, first, overrides)?;
    prepare_output(&context.spec, output, storages)?;
    refuse_output_in_shards(&manifest, first, output)?;

    let index = IndexFile::open(&join(first, &manifest.spec.index_filename), storages)?;
    refuse_graph(&index)?;
    refuse_single_task(&context, first)?;
    let Some(pieces) = recover(&index, &context, &manifest.fingerprint)? else {
        let what = format!("its trained state has another fingerprint than the manifest's {}", manifest.fingerprint);
        return Err(BuildError::corrupt(&index.uri, what));
    };
    let bytes = manifests.iter().filter_map(|manifest| manifest.index.as_ref()).map(|index| index.bytes).sum();
    context.joins_files = may_join_files(&context, storages)?;
    context.merge_parts = parts_for(&context, bytes)?;
    let build = to_json(&context)?;
    let (uri, bytes) = write_trained_state(&context, &index, &pieces, storages).inspect_err(|_| {
        // What matters to the user is why it could not be written.
        let _left_behind = abandon(&build, storages);
    })?;
    info!("took over {bytes} bytes of trained state from {first}");

    let (fingerprint, training_rows) = (manifest.fingerprint, manifest.training_rows);
    let clock = Clock::stop(began);
    let trained = TrainReceipt { uri, bytes, fingerprint, training_rows, queries: None, clock };
    Ok(Extension { build, trained: to_json(&Receipt::Train(trained))?, rows })
}

/// As far as can be told before there is a directory of the build: not of an output that does not exist.
fn may_join_files(context: &BuildContext, storages: &Storages) -> Result<bool> {
    let storage = storages.resolve(&context.output)?;
    let is_there = storage.stat(&context.output)?.is_some();
    Ok(is_there && joins_files(storage.as_ref(), &context.output))
}

fn write_trained_state(
    context: &BuildContext,
    index: &IndexFile,
    pieces: &[Piece],
    storages: &Storages,
) -> Result<(String, u64)> {
    let uri = context.attempt_file("trained");
    let mut file = storages.resolve(&uri)?.create(&uri, CreateMode::New)?;
    each_part(index, pieces, &mut |bytes| Ok(file.write_all(bytes)?))?;
    let bytes = file.finish()?;
    Ok((uri, bytes))
}

/// What the builds of all indexes left out. Every shard of one output states the bad rows of the whole.
fn left_out(manifests: &[Manifest]) -> Result<LeftOut> {
    let mut counted = HashSet::new();
    let mut left_out = LeftOut::default();
    for manifest in manifests {
        if manifest.shard.is_none() || counted.insert(manifest.common_to_shards()?) {
            left_out.bad_rows.merge(manifest.bad_rows.clone());
        }
        // Those that are in the index are counted again when it is merged.
        if manifest.duplicate_rows_left_out > 0 {
            let (rows, first_ids) = (manifest.duplicate_rows_left_out, manifest.duplicates.first_ids.clone());
            left_out.duplicates.add(&DuplicateRows { rows, first_ids });
        }
    }
    Ok(left_out)
}

/// The manifest above a shard states what the shard holds.
fn refuse_output_in_shards(manifest: &Manifest, first: &str, output: &str) -> Result<()> {
    match &manifest.shard {
        Some(shard) if output == first.trim_end_matches('/') => {
            let (number, of) = (shard.number, shard.of);
            Err(BuildError::invalid(format!(
                "{first} is shard {number} of {of}, and cannot change without them; choose another output"
            )))
        }
        _ => Ok(()),
    }
}

/// The manifest of an index that may be part of an extension, as far as the manifest tells.
pub(crate) fn extensible_manifest(directory: &str, storages: &Storages) -> Result<Manifest> {
    let manifest = published_manifest(directory.trim_end_matches('/'), storages)?.manifest;
    if manifest.shards.is_empty() {
        return Ok(manifest);
    }
    let message = format!(
        "{directory} holds {} shards, which are indexes of their own: name them, such as {}",
        manifest.shards.len(),
        join(directory, &shard_directory(0))
    );
    Err(BuildError::invalid(message))
}

/// An extension has no sample stage that counts bad rows; they are known when all rows are encoded.
pub(crate) fn refuse_bad_rows(context: &BuildContext, receipts: &Receipts) -> Result<()> {
    let ledger = total_ledger(receipts.shards.iter().map(|shard| &shard.ledger));
    let counted_before = context.good_rows.is_some();
    if counted_before || ledger.rows() == 0 || context.spec.bad_rows == BadRows::Skip {
        return Ok(());
    }
    Err(ledger.to_error(context.spec.dimension))
}

/// What is searched by code and yet depends on the rows beside it, or keeps its vectors only while it is built.
fn refuse_single_task(context: &BuildContext, directory: &str) -> Result<()> {
    let family = context.family()?;
    if family.merge_plan() != MergePlan::SingleTask {
        return Ok(());
    }
    let message = format!(
        "{directory}: an index of {} is built from all vectors in one task, so it can neither grow nor be merged",
        family.factory_string()
    );
    Err(BuildError::invalid(message))
}

pub(crate) fn refuse_graph(index: &IndexFile) -> Result<()> {
    if !index.root.has_graph() {
        return Ok(());
    }
    let message = format!(
        "{}: rows of {} are linked in one graph, which grows neither from codes nor together with another; build it \
         again from all rows",
        index.uri, index.root.family
    );
    Err(BuildError::invalid(message))
}

fn override_spec(spec: &mut IndexSpec, first: &str, overrides: &[(String, String)]) -> Result<()> {
    // These say how a machine builds, not what; the next one is another.
    spec.overwrite = false;
    spec.threads = None;
    spec.shards = 1;
    spec.merge_parts = None;
    spec.hdfs_access = HdfsAccess::default();
    for (key, value) in overrides {
        if FIXED_KEYS.contains(&key.as_str()) {
            return Err(BuildError::invalid(format!("{key} cannot be chosen: it is that of {first}")));
        }
        spec.set(key, value.trim())?;
    }
    Ok(())
}
