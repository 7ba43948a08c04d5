//! `faiss.manifest.json`: what is known of a published index, with a checksum of its own.
//!
//! Its last member is `manifestSha256`, the SHA-256 of every byte before that member's line, so that a changed byte
//! anywhere in the file is found: the lines from there on have one spelling only.

use std::collections::BTreeMap;

use faiss_indexer_storage::Storages;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::build_context::{BuildContext, LeftOut};
use crate::error::{BuildError, ErrorKind, Result};
use crate::evaluation::{ListBalance, RecallPoint, Setting, rule_of_thumb};
use crate::index_filename::check_index_filename;
use crate::inspect::StoredShape;
use crate::ledger::Ledger;
use crate::numbers::to_usize;
use crate::receipts::{DuplicateRows, EvaluateReceipt};
use crate::spec::IndexSpec;
use crate::training::hex;

/// The format that this version writes and reads.
pub(crate) const SCHEMA_VERSION: u32 = 1;
/// A manifest is a few kilobytes; what is larger is none.
const MOST_BYTES: u64 = 16 << 20;

/// The content of `faiss.manifest.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub(crate) schema_version: u32,
    pub(crate) faiss_indexer_version: String,
    pub(crate) faiss_version: String,
    pub(crate) factory_string: String,
    pub(crate) spec: IndexSpec,
    pub(crate) rows: u64,
    pub(crate) training_rows: u64,
    pub(crate) bad_rows: Ledger,
    pub(crate) duplicates: DuplicateRows,
    pub(crate) duplicate_rows_left_out: u64,
    pub(crate) partitions: usize,
    pub(crate) fingerprint: String,
    /// The build that published it; older manifests lack it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) build_id: String,
    /// The index beside the manifest, unless the output is shards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) index: Option<PublishedIndex>,
    /// Which shard of a larger output this is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) shard: Option<ShardOf>,
    /// The directories below the manifest that hold an index and a manifest each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) shards: Vec<PublishedShard>,
    pub(crate) seconds: BTreeMap<String, f64>,
    #[serde(flatten)]
    pub(crate) measured: Measured,
}

/// The place of an index among those that share the rows of a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ShardOf {
    pub(crate) number: u32,
    pub(crate) of: u64,
}

/// How well the index finds neighbours, and how to search it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Measured {
    /// A build with a report has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) recall: Option<MeasuredRecall>,
    /// How evenly rows are spread over the inverted lists; a build with a report has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lists: Option<ListBalance>,
    /// For inverted lists: what the recall suggests, or a rule of thumb.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) suggested_nprobe: Option<u64>,
    /// For graphs, what the recall suggests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) suggested_ef_search: Option<u64>,
    /// Why something could not be measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) notes: Vec<String>,
}

/// Recall against exact search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct MeasuredRecall {
    pub(crate) queries: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) setting: Option<Setting>,
    pub(crate) points: Vec<RecallPoint>,
}

impl Measured {
    pub(crate) fn of(receipt: Option<&EvaluateReceipt>, nlist: Option<u64>) -> Self {
        let evaluation = receipt.and_then(|receipt| receipt.evaluation.as_ref());
        let setting = evaluation.and_then(|evaluation| evaluation.setting);
        let suggested = |of| receipt.and_then(|receipt| receipt.suggested).filter(|_| setting == Some(of));
        Self {
            recall: evaluation.filter(|evaluation| !evaluation.points.is_empty()).map(|evaluation| MeasuredRecall {
                queries: evaluation.queries,
                setting,
                points: evaluation.points.clone(),
            }),
            lists: evaluation.and_then(|evaluation| evaluation.lists.clone()),
            suggested_nprobe: suggested(Setting::Nprobe).or(nlist.map(rule_of_thumb)),
            suggested_ef_search: suggested(Setting::EfSearch),
            notes: receipt.map(|receipt| receipt.notes.clone()).unwrap_or_default(),
        }
    }
}

/// The index file that a manifest describes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PublishedIndex {
    pub(crate) name: String,
    pub(crate) bytes: u64,
    /// CRC-32C of the file, eight hexadecimal digits.
    pub(crate) crc32c: String,
    #[serde(flatten)]
    pub(crate) shape: StoredShape,
}

/// One of the indexes that share the rows of a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PublishedShard {
    /// `shard_<number>`.
    pub(crate) directory: String,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    pub(crate) crc32c: String,
    /// The last member of the shard's manifest, which thereby cannot be exchanged for another.
    pub(crate) manifest_sha256: String,
}

/// A manifest that was read and whose checksum holds.
#[derive(Debug, Clone)]
pub(crate) struct CheckedManifest {
    pub(crate) uri: String,
    pub(crate) text: String,
    pub(crate) sha256: String,
    pub(crate) manifest: Manifest,
}

impl Manifest {
    /// The bytes of the file.
    pub(crate) fn to_file(&self) -> Result<String> {
        let internal = |text: String| BuildError::new(ErrorKind::Internal, text);
        let text = serde_json::to_string_pretty(self).map_err(|error| internal(error.to_string()))?;
        let body = text.strip_suffix("\n}").ok_or_else(|| internal("a manifest is no JSON object".to_owned()))?;
        let body = format!("{body},\n");
        let sha256 = hex(&Sha256::digest(body.as_bytes()));
        Ok(format!("{body}{}", last_lines(&sha256)))
    }

    /// What all shards of one output state, and no shard of another.
    pub(crate) fn common_to_shards(&self) -> Result<String> {
        let duplicates = DuplicateRows::default();
        let common = Self { rows: 0, duplicates, duplicate_rows_left_out: 0, index: None, shard: None, ..self.clone() };
        common.to_file()
    }

    /// What the manifest at `uri` states of the index beside it.
    pub(crate) fn stated_index(&self, uri: &str) -> Result<&PublishedIndex> {
        self.index.as_ref().ok_or_else(|| BuildError::corrupt(uri, "it states nothing of an index"))
    }

    /// The build that made the index, as far as its trained state depends on it.
    pub(crate) fn context(&self, build_id: &str, output: &str) -> BuildContext {
        BuildContext {
            build_id: build_id.to_owned(),
            output: output.to_owned(),
            spec: self.spec.clone(),
            factory_string: Some(self.factory_string.clone()),
            sample_rate: 0.0,
            training_rows: Some(self.training_rows),
            good_rows: None,
            joins_files: false,
            merge_parts: 1,
            left_out_before: LeftOut::default(),
        }
    }
}

fn last_lines(sha256: &str) -> String {
    format!("  \"manifestSha256\": \"{sha256}\"\n}}\n")
}

/// Reads the manifest at `uri` and checks its checksum.
pub(crate) fn read_manifest(uri: &str, storages: &Storages) -> Result<CheckedManifest> {
    let file = storages.resolve(uri)?.open(uri)?;
    if file.length() > MOST_BYTES {
        return Err(BuildError::corrupt(uri, format!("{} bytes are too many for a manifest", file.length())));
    }
    let mut bytes = vec![0; to_usize(file.length())?];
    file.read_exact_at(0, &mut bytes)?;
    check_manifest(uri, &bytes)
}

/// Checks the bytes of a manifest.
pub(crate) fn check_manifest(uri: &str, bytes: &[u8]) -> Result<CheckedManifest> {
    let text = std::str::from_utf8(bytes).map_err(|error| BuildError::corrupt(uri, error))?;
    let (body, rest) = text
        .rfind("  \"manifestSha256\"")
        .and_then(|place| text.split_at_checked(place))
        .ok_or_else(|| BuildError::corrupt(uri, "its last member is not manifestSha256"))?;
    let sha256 = hex(&Sha256::digest(body.as_bytes()));
    if rest != last_lines(&sha256) {
        let stated = rest.split('"').nth(3).unwrap_or_default();
        let what = format!("manifestSha256 states '{stated}', and its content has {sha256}");
        return Err(BuildError::corrupt(uri, what));
    }
    let manifest: Manifest = serde_json::from_str(text).map_err(|error| BuildError::corrupt(uri, error))?;
    if manifest.schema_version != SCHEMA_VERSION {
        let version = manifest.schema_version;
        return Err(BuildError::corrupt(
            uri,
            format!("schemaVersion is {version}; this version reads {SCHEMA_VERSION}"),
        ));
    }
    // No manifest leads out of its directory.
    let name = manifest.spec.index_filename.as_str();
    check_index_filename(name).map_err(|error| BuildError::corrupt(uri, error))?;
    if let Some(other) = manifest.index.as_ref().map(|index| index.name.as_str()).filter(|found| *found != name) {
        return Err(BuildError::corrupt(uri, format!("its spec names the index {name}, and its index is {other}")));
    }
    Ok(CheckedManifest { uri: uri.to_owned(), text: text.to_owned(), sha256, manifest })
}
