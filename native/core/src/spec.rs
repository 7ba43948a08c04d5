//! What the user asks for, as key/value strings that become one checked value.

use serde::{Deserialize, Serialize};

use crate::error::{BuildError, Result};
use crate::faiss_index::FaissMetric;
use crate::family::FamilyRule;
use crate::hdfs_access::HdfsAccess;
use crate::index_filename::{check_index_filename, default_index_filename};
use crate::nearest::nearest;

/// Every key of a spec. The command line has the same words in kebab-case.
pub const KEYS: [&str; 17] = [
    "badRows",
    "dimension",
    "duplicateIds",
    "factoryString",
    "familyRule",
    "idMap",
    "indexFilename",
    "io.hdfs",
    "memoryLimit",
    "mergeParts",
    "metric",
    "overwrite",
    "report",
    "sampleRate",
    "seed",
    "shards",
    "threads",
];

/// Each shard is a directory and an index to load; more of them are a mistake.
const MOST_SHARDS: u64 = 1024;

/// More tasks would wait for the same disks.
pub(crate) const MOST_MERGE_PARTS: u64 = 64;

/// The distance that the index ranks by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Metric {
    L2,
    Ip,
    /// Rows are scaled to length 1, then compared by inner product.
    Cosine,
    /// Sum of absolute differences.
    L1,
    /// Largest absolute difference.
    Linf,
}

impl Metric {
    /// What Faiss computes for it, on rows that are scaled where it asks for that.
    pub(crate) fn in_faiss(self) -> FaissMetric {
        match self {
            Self::L2 => FaissMetric::L2,
            Self::Ip | Self::Cosine => FaissMetric::InnerProduct,
            Self::L1 => FaissMetric::L1,
            Self::Linf => FaissMetric::Linf,
        }
    }

    /// Whether nearer rows have larger values.
    pub(crate) fn is_similarity(self) -> bool {
        matches!(self, Self::Ip | Self::Cosine)
    }
}

/// Where the user's ids are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum IdMap {
    /// In the inverted lists where there are any, else in an `IndexIDMap` around the index.
    Auto,
    /// In an `IndexIDMap` around the index, whatever the family.
    Always,
}

/// What happens to rows that no index can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum BadRows {
    Fail,
    Skip,
}

/// What happens to rows that share an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum DuplicateIds {
    Fail,
    /// Keeps the row that comes first in (list, code) order, whatever order the input had.
    KeepFirst,
    Allow,
}

/// A checked spec.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IndexSpec {
    pub(crate) dimension: u64,
    /// Chosen from rows and dimension when absent.
    pub(crate) factory_string: Option<String>,
    /// How it is chosen.
    #[serde(default)]
    pub(crate) family_rule: FamilyRule,
    pub(crate) metric: Metric,
    pub(crate) sample_rate: f64,
    pub(crate) seed: u64,
    /// The engine's share for the task when absent.
    pub(crate) threads: Option<u64>,
    pub(crate) memory_limit: u64,
    pub(crate) bad_rows: BadRows,
    pub(crate) duplicate_ids: DuplicateIds,
    pub(crate) overwrite: bool,
    pub(crate) id_map: IdMap,
    /// The name of every index file of the output.
    #[serde(default = "default_index_filename")]
    pub(crate) index_filename: String,
    /// Number of complete indexes that share the rows.
    pub(crate) shards: u64,
    /// Tasks that merge one index file; chosen by its size when absent.
    #[serde(default)]
    pub(crate) merge_parts: Option<u64>,
    /// Whether a page about the finished index is written beside it.
    pub(crate) report: bool,
    /// The client of `hdfs:` URIs on a host that has one.
    #[serde(rename = "io.hdfs", default, skip_serializing_if = "HdfsAccess::is_default")]
    pub(crate) hdfs_access: HdfsAccess,
}

impl IndexSpec {
    /// Reads keys and values; the error names the key, the value and what is allowed. The dimension is 0 when absent.
    pub(crate) fn from_pairs(pairs: &[(String, String)]) -> Result<Self> {
        let mut spec = Self {
            dimension: 0,
            factory_string: None,
            family_rule: FamilyRule::default(),
            metric: Metric::L2,
            sample_rate: 0.05,
            seed: 1234,
            threads: None,
            memory_limit: 256 << 20,
            bad_rows: BadRows::Fail,
            duplicate_ids: DuplicateIds::Fail,
            overwrite: false,
            id_map: IdMap::Auto,
            index_filename: default_index_filename(),
            shards: 1,
            merge_parts: None,
            report: true,
            hdfs_access: HdfsAccess::default(),
        };
        for (key, value) in pairs {
            spec.set(key, value.trim())?;
        }
        Ok(spec)
    }

    pub(crate) fn set(&mut self, key: &str, value: &str) -> Result<()> {
        match key {
            "dimension" => self.dimension = whole_number(key, value, 1, 1 << 20)?,
            "factoryString" => self.factory_string = Some(value.to_owned()),
            "familyRule" => {
                self.family_rule = choice(key, value, &[("auto", FamilyRule::Auto), ("pq48", FamilyRule::Pq48)])?;
            }
            "metric" => {
                // One of the jobs before had lower case, another one capitals, and a third took either.
                self.metric = choice(
                    key,
                    &value.to_ascii_lowercase(),
                    &[
                        ("l2", Metric::L2),
                        ("ip", Metric::Ip),
                        ("cosine", Metric::Cosine),
                        ("innerproduct", Metric::Ip),
                        ("l1", Metric::L1),
                        ("linf", Metric::Linf),
                    ],
                )?;
            }
            "sampleRate" => self.sample_rate = fraction(key, value)?,
            "seed" => self.seed = whole_number(key, value, 0, u64::MAX)?,
            "threads" => self.threads = Some(whole_number(key, value, 1, 4096)?),
            "memoryLimit" => self.memory_limit = byte_count(key, value)?,
            "badRows" => self.bad_rows = choice(key, value, &[("fail", BadRows::Fail), ("skip", BadRows::Skip)])?,
            "duplicateIds" => {
                self.duplicate_ids = choice(
                    key,
                    value,
                    &[
                        ("fail", DuplicateIds::Fail),
                        ("keepFirst", DuplicateIds::KeepFirst),
                        ("allow", DuplicateIds::Allow),
                    ],
                )?;
            }
            "overwrite" => self.overwrite = choice(key, value, &[("true", true), ("false", false)])?,
            "io.hdfs" => {
                self.hdfs_access = choice(
                    key,
                    value,
                    &[("jvm", HdfsAccess::Jvm), ("native", HdfsAccess::Native), ("auto", HdfsAccess::Auto)],
                )?;
            }
            "idMap" => self.id_map = choice(key, value, &[("auto", IdMap::Auto), ("always", IdMap::Always)])?,
            "indexFilename" => {
                check_index_filename(value)?;
                self.index_filename = value.to_owned();
            }
            "shards" => self.shards = whole_number(key, value, 1, MOST_SHARDS)?,
            "mergeParts" => {
                self.merge_parts = match value {
                    "auto" => None,
                    _ => Some(
                        whole_number(key, value, 1, MOST_MERGE_PARTS)
                            .map_err(|error| BuildError::invalid(format!("{error}, nor auto")))?,
                    ),
                };
            }
            "report" => self.report = choice(key, value, &[("true", true), ("false", false)])?,
            unknown => {
                let suggestion = nearest(unknown, KEYS).unwrap_or("factoryString");
                return Err(BuildError::invalid(format!("unknown option '{unknown}'; did you mean '{suggestion}'?")));
            }
        }
        Ok(())
    }
}

fn choice<T: Copy>(key: &str, value: &str, choices: &[(&str, T)]) -> Result<T> {
    choices.iter().find(|(name, _)| *name == value).map(|(_, meaning)| *meaning).ok_or_else(|| {
        let allowed: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        BuildError::invalid(format!("{key}='{value}' is not supported; allowed: {}", allowed.join(", ")))
    })
}

fn whole_number(key: &str, value: &str, least: u64, most: u64) -> Result<u64> {
    value
        .parse()
        .ok()
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| BuildError::invalid(format!("{key}='{value}' is not a whole number from {least} to {most}")))
}

fn fraction(key: &str, value: &str) -> Result<f64> {
    value
        .parse()
        .ok()
        .filter(|rate: &f64| *rate > 0.0 && *rate <= 1.0)
        .ok_or_else(|| BuildError::invalid(format!("{key}='{value}' is not a number above 0 and at most 1")))
}

fn byte_count(key: &str, value: &str) -> Result<u64> {
    const UNITS: [(&str, u64); 6] =
        [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("KB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000)];
    const LEAST: u64 = 16 << 20;
    let (digits, unit) = UNITS
        .iter()
        .find_map(|(name, size)| value.strip_suffix(name).map(|digits| (digits.trim_end(), *size)))
        .unwrap_or((value, 1));
    digits
        .parse::<u64>()
        .ok()
        .and_then(|count| count.checked_mul(unit))
        .filter(|bytes| *bytes >= LEAST)
        .ok_or_else(|| BuildError::invalid(format!("{key}='{value}' is not a size of at least 16MiB, such as 256MiB")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(pairs: &[(&str, &str)]) -> Result<IndexSpec> {
        let pairs: Vec<_> = [("dimension", "8")].iter().chain(pairs).map(|(k, v)| ((*k).into(), (*v).into())).collect();
        IndexSpec::from_pairs(&pairs)
    }

    #[test]
    fn an_empty_spec_has_the_documented_defaults() {
        let spec = spec(&[]).unwrap();
        assert_eq!((spec.metric, spec.sample_rate, spec.seed), (Metric::L2, 0.05, 1234));
        assert_eq!((spec.bad_rows, spec.duplicate_ids, spec.overwrite), (BadRows::Fail, DuplicateIds::Fail, false));
        assert!(spec.report);
    }

    #[test]
    fn every_bad_value_is_refused_with_its_key_and_what_is_allowed() {
        for (key, value, hint) in [
            ("metric", "euclid", "l2, ip, cosine"),
            ("sampleRate", "0", "above 0"),
            ("sampleRate", "NaN", "above 0"),
            ("seed", "-1", "whole number"),
            ("threads", "0", "1 to 4096"),
            ("memoryLimit", "1KiB", "at least 16MiB"),
            ("memoryLimit", "lots", "at least 16MiB"),
            ("badRows", "keep", "fail, skip"),
            ("duplicateIds", "first", "fail, keepFirst, allow"),
            ("overwrite", "yes", "true, false"),
            ("idMap", "never", "auto, always"),
            ("indexFilename", "a/result.index", "letters, digits"),
            ("indexFilename", "_SUCCESS", "begin with a letter"),
            ("indexFilename", "report.html", "something else in the output"),
            ("indexFilename", "shard_0", "something else in the output"),
            ("io.hdfs", "java", "jvm, native, auto"),
            ("shards", "0", "1 to 1024"),
            ("mergeParts", "0", "1 to 64"),
            ("mergeParts", "some", "auto"),
            ("familyRule", "pq", "auto, pq48"),
            ("report", "yes", "true, false"),
        ] {
            let message = spec(&[(key, value)]).unwrap_err().to_string();
            assert!(message.contains(key) && message.contains(value) && message.contains(hint), "{message}");
        }
    }

    #[test]
    fn a_metric_is_known_in_capitals_too() {
        for (name, metric) in [("IP", Metric::Ip), ("InnerProduct", Metric::Ip), ("Linf", Metric::Linf)] {
            assert_eq!(spec(&[("metric", name)]).unwrap().metric, metric);
        }
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_known_one() {
        let message = spec(&[("factorystring", "Flat")]).unwrap_err().to_string();
        assert!(message.contains("'factorystring'") && message.contains("'factoryString'"), "{message}");
    }

    #[test]
    fn sizes_may_carry_a_unit() {
        for (text, bytes) in [("256MiB", 256 << 20), ("1 GiB", 1 << 30), ("20000000", 20_000_000)] {
            assert_eq!(spec(&[("memoryLimit", text)]).unwrap().memory_limit, bytes);
        }
    }
}
