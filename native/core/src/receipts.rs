//! What a finished stage reports. Receipts travel through the engine as JSON and are the commit list of a build:
//! a file that no receipt names does not exist for the stages after it.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::error::{BuildError, ErrorKind, Result};
use crate::evaluation::Evaluation;
use crate::ledger::Ledger;
use crate::merge::part::SectionSums;
use crate::process_memory::memory_bytes;

/// The report of any stage.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "lowercase")]
pub(crate) enum Receipt {
    Sample(SampleReceipt),
    Train(TrainReceipt),
    Encode(ShardReceipt),
    Merge(MergeReceipt),
    Evaluate(EvaluateReceipt),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SampleReceipt {
    pub(crate) partition: u32,
    /// Rows that can be in the index.
    pub(crate) good_rows: u64,
    pub(crate) ledger: Ledger,
    pub(crate) sample: Option<SampleFile>,
    /// Rows of this partition that may be queries of the report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) queries: Option<SampleFile>,
    pub(crate) clock: Clock,
}

/// Rows of one partition that the hash of their id selected.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SampleFile {
    pub(crate) uri: String,
    pub(crate) rows: u64,
    pub(crate) crc32c: u32,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TrainReceipt {
    pub(crate) uri: String,
    pub(crate) bytes: u64,
    pub(crate) fingerprint: String,
    pub(crate) training_rows: u64,
    /// The queries of the report, by ascending id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) queries: Option<SampleFile>,
    pub(crate) clock: Clock,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ShardReceipt {
    pub(crate) partition: u32,
    pub(crate) fingerprint: String,
    pub(crate) rows: u64,
    pub(crate) ledger: Ledger,
    pub(crate) runs: Vec<RunFile>,
    /// The neighbours of the report's queries among the rows of this shard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) truth: Option<TruthFile>,
    pub(crate) clock: Clock,
}

/// Neighbours of the report's queries.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TruthFile {
    pub(crate) uri: String,
    pub(crate) bytes: u64,
    pub(crate) crc32c: u32,
}

/// One sorted run of a shard, and the checksums of its sections.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunFile {
    pub(crate) uri: String,
    /// The part of the output that its rows belong to.
    pub(crate) shard: u32,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    pub(crate) crc32c: SectionChecksums,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SectionChecksums {
    pub(crate) list_sizes: u32,
    pub(crate) ids: u32,
    pub(crate) codes: u32,
    pub(crate) sorted_ids: u32,
    pub(crate) list_numbers: u32,
    pub(crate) second_codes: u32,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MergeReceipt {
    pub(crate) uri: String,
    pub(crate) bytes: u64,
    /// CRC-32C of the file, in hexadecimal.
    pub(crate) crc32c: String,
    pub(crate) rows: u64,
    /// Rows that `duplicateIds=keepFirst` left out.
    pub(crate) dropped_rows: u64,
    pub(crate) duplicates: DuplicateRows,
    pub(crate) fingerprint: String,
    /// The part of the output that this index is.
    pub(crate) shard: u32,
    /// Which part of the file this is, of a file that several tasks make: bytes and checksum are those of the part,
    /// rows those of the index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) part: Option<PartOfFile>,
    pub(crate) clock: Clock,
}

/// A range of the bytes of an index file, in a file of its own. Ranges follow one another as their numbers do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PartOfFile {
    pub(crate) number: u32,
    pub(crate) of: u32,
    /// What was read for it.
    pub(crate) sections: SectionSums,
}

impl MergeReceipt {
    pub(crate) fn checksum(&self) -> Result<u32> {
        u32::from_str_radix(&self.crc32c, 16)
            .map_err(|_| BuildError::invalid(format!("a receipt has the checksum '{}'", self.crc32c)))
    }
}

/// Rows whose id another row has too, whatever became of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DuplicateRows {
    /// All rows of a repeated id but one.
    pub(crate) rows: u64,
    /// The smallest repeated ids.
    pub(crate) first_ids: Vec<i64>,
}

impl DuplicateRows {
    /// How many ids are kept: the smallest, so that shards do not change them.
    pub(crate) const FIRST_IDS: usize = 5;

    /// Takes those of another shard.
    pub(crate) fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.first_ids.extend_from_slice(&other.first_ids);
        self.first_ids.sort_unstable();
        self.first_ids.truncate(Self::FIRST_IDS);
    }
}

/// What was measured of the finished index.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EvaluateReceipt {
    /// Absent when the index could not be searched; a note says why.
    pub(crate) evaluation: Option<Evaluation>,
    /// The setting that a user should start with, if recall was measured.
    pub(crate) suggested: Option<u64>,
    pub(crate) notes: Vec<String>,
    pub(crate) clock: Clock,
}

/// When a task began and ended, in milliseconds since 1970, and what memory its process had needed by then.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Clock {
    pub(crate) began: u64,
    pub(crate) ended: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) peak_bytes: Option<u64>,
}

impl Clock {
    /// From `began`, as [`Clock::start`] gave it, until this moment.
    pub(crate) fn stop(began: u64) -> Self {
        Self { began, ended: Self::start().max(began), peak_bytes: memory_bytes("VmHWM") }
    }

    pub(crate) fn start() -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or_default()
    }

    /// Seconds from the first beginning to the last end.
    pub(crate) fn wall_seconds(clocks: impl IntoIterator<Item = Self>) -> f64 {
        let (began, ended) =
            clocks.into_iter().fold((u64::MAX, 0), |(b, e), clock| (b.min(clock.began), e.max(clock.ended)));
        let milliseconds = u32::try_from(ended.saturating_sub(began)).unwrap_or(u32::MAX);
        f64::from(milliseconds) / 1000.0
    }
}

/// The receipts of a build, sorted by stage.
#[derive(Debug, Default)]
pub(crate) struct Receipts {
    pub(crate) samples: Vec<SampleReceipt>,
    pub(crate) trained: Option<TrainReceipt>,
    pub(crate) shards: Vec<ShardReceipt>,
    /// One for each shard of the output, in the order of the shards.
    pub(crate) merged: Vec<MergeReceipt>,
    /// Parts of these, of a merge in several parts, in the order of shards and parts.
    pub(crate) parts: Vec<MergeReceipt>,
    pub(crate) evaluated: Option<EvaluateReceipt>,
}

impl Receipts {
    pub(crate) fn parse(texts: &[String]) -> Result<Self> {
        let mut receipts = Self::default();
        for text in texts {
            let receipt = serde_json::from_str(text)
                .map_err(|error| BuildError::invalid(format!("a receipt cannot be read ({error}): {text}")))?;
            match receipt {
                Receipt::Sample(sample) => receipts.samples.push(sample),
                Receipt::Train(trained) => receipts.trained = Some(trained),
                Receipt::Encode(shard) => receipts.shards.push(shard),
                Receipt::Merge(part) if part.part.is_some() => receipts.parts.push(part),
                Receipt::Merge(merged) => receipts.merged.push(merged),
                Receipt::Evaluate(evaluated) => receipts.evaluated = Some(evaluated),
            }
        }
        receipts.merged.sort_by_key(|merged| merged.shard);
        let number = |receipt: &MergeReceipt| receipt.part.as_ref().map(|part| part.number);
        receipts.parts.sort_by_key(|part| (part.shard, number(part)));
        Ok(receipts)
    }

    pub(crate) fn trained(&self) -> Result<&TrainReceipt> {
        self.trained.as_ref().ok_or_else(|| BuildError::invalid("the receipt of the stage train is missing"))
    }

    /// The parts of the file of `shard`, of which there have to be `parts`.
    pub(crate) fn parts_of(&self, shard: u32, parts: u32) -> Result<Vec<&MergeReceipt>> {
        let found: Vec<&MergeReceipt> = self.parts.iter().filter(|receipt| receipt.shard == shard).collect();
        let places = found.iter().filter_map(|receipt| receipt.part.as_ref()).map(|part| (part.number, part.of));
        let is_same = |receipt: &&MergeReceipt| {
            found.first().is_some_and(|first| (first.rows, &first.fingerprint) == (receipt.rows, &receipt.fingerprint))
        };
        if places.eq((0..parts).map(|number| (number, parts))) && found.iter().all(is_same) {
            Ok(found)
        } else {
            let found = found.len();
            let message = format!("{found} receipts of parts are there for shard {shard}, and there are {parts} parts");
            Err(BuildError::invalid(message))
        }
    }

    /// When each task that merged or joined began and ended.
    pub(crate) fn merge_clocks(&self) -> Vec<Clock> {
        self.merged.iter().chain(&self.parts).map(|receipt| receipt.clock).collect()
    }

    /// The files of all shards, of which there have to be `shards`.
    pub(crate) fn merged(&self, shards: u64) -> Result<&[MergeReceipt]> {
        let numbers = self.merged.iter().map(|merged| u64::from(merged.shard));
        if numbers.eq(0..shards) {
            Ok(&self.merged)
        } else {
            let found = self.merged.len();
            Err(BuildError::invalid(format!("{found} receipts of the stage merge are there, and shards={shards}")))
        }
    }
}

/// The kinds of bad rows that a task met, in words that go on from "rows", and how many there were of each.
///
/// # Errors
/// [`ErrorKind::InvalidSpec`] for what is no receipt of a stage.
pub fn bad_rows(receipt: &str) -> Result<Vec<(&'static str, u64)>> {
    let receipts = Receipts::parse(&[receipt.to_owned()])?;
    let samples = receipts.samples.iter().map(|sample| &sample.ledger);
    let ledgers = samples.chain(receipts.shards.iter().map(|shard| &shard.ledger));
    Ok(ledgers.flat_map(Ledger::entries).map(|(kind, rows, _)| (kind, rows)).collect())
}

/// The JSON form of a value of ours.
pub(crate) fn to_json<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| BuildError::new(ErrorKind::Internal, error.to_string()))
}
