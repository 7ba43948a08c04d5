//! Factory strings: which family of index they ask for, and what it takes to build it.

use crate::error::{BuildError, Result};

/// The families that this version builds, as a reader would write them.
const SUPPORTED: &str = "Flat, SQ8, PQm, IVFn,Flat, IVFn,SQ8, IVFn,PQm, OPQm[_d],IVFn,PQm";
/// Centroids of one 8-bit sub-quantizer.
const SUBQUANTIZER_CENTROIDS: u64 = 256;
/// Faiss warns below this many training rows per centroid (Clustering.h, min_points_per_centroid).
const WANTED_PER_CENTROID: u64 = 39;
/// Faiss drops training rows beyond this many per centroid (Clustering.h, max_points_per_centroid).
const USABLE_PER_CENTROID: u64 = 256;
/// What Faiss trains the ranges of an inverted file's scalar quantizer on (IndexScalarQuantizer.cpp); we keep to it
/// without lists too.
const USABLE_FOR_RANGES: u64 = 100_000;

/// How the rows of all shards become one index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MergePlan {
    /// List after list, ids ascending; ids are stored in the lists.
    ByLists,
    /// One sequence of codes in id order, with an id map around it.
    ByPosition,
}

/// How many rows training needs, wants and can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TrainingRows {
    /// Fewer make Faiss fail.
    pub(crate) needed: u64,
    /// Fewer give a worse index.
    pub(crate) wanted: u64,
    /// More are not read.
    pub(crate) usable: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Flat,
    Sq8,
    Pq { subquantizers: u64 },
}

/// A factory string that was understood and fits the dimension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Family {
    factory_string: String,
    nlist: Option<u64>,
    encoding: Encoding,
}

impl Family {
    /// Understands `factory_string` for rows of `dimension`, or says why it cannot be built.
    pub(crate) fn parse(factory_string: &str, dimension: u64) -> Result<Self> {
        let refuse = |why: String| refused(factory_string, why);
        let Parts { rotation, nlist, encoding } = Parts::parse(factory_string)?;
        let encoded_dimension = rotation.and_then(|rotation| rotation.output).unwrap_or(dimension);
        if encoded_dimension > dimension {
            return Err(refuse(format!("OPQ cannot turn {dimension} dimensions into {encoded_dimension}")));
        }
        if let Some(Rotation { subquantizers, .. }) = rotation {
            check_divides(&format!("OPQ{subquantizers}"), subquantizers, encoded_dimension).map_err(&refuse)?;
        }
        if let Encoding::Pq { subquantizers } = encoding {
            check_divides(&format!("PQ{subquantizers}"), subquantizers, encoded_dimension).map_err(&refuse)?;
        }
        Ok(Self { factory_string: factory_string.to_owned(), nlist, encoding })
    }

    /// Refuses a string that no dimension makes right.
    pub(crate) fn check_syntax(factory_string: &str) -> Result<()> {
        Parts::parse(factory_string).map(drop)
    }

    /// A factory string for `rows` rows of `dimension`, and the reason for it.
    pub(crate) fn choose(rows: u64, dimension: u64) -> (String, String) {
        const EXACT_BELOW: u64 = 10_000;
        const LARGEST_CODE: u64 = 64;
        if rows < EXACT_BELOW {
            return ("Flat".into(), format!("{rows} rows are few enough for exact search"));
        }
        // The power of two nearest to 4 sqrt(rows), with enough rows for each centroid.
        let wanted = rows.isqrt().saturating_mul(4);
        let below = 1_u64 << wanted.ilog2();
        let nearest = if wanted - below > below / 2 { below * 2 } else { below };
        let nlist = nearest.min(rows / WANTED_PER_CENTROID);
        let subquantizers = (1..=LARGEST_CODE).rev().find(|m| dimension.is_multiple_of(*m) && dimension / m >= 4);
        match subquantizers.filter(|m| *m >= 8) {
            Some(m) => (
                format!("OPQ{m},IVF{nlist},PQ{m}"),
                format!("about 4 sqrt({rows}) lists, and {m} bytes a row for {dimension} dimensions"),
            ),
            None => (
                format!("IVF{nlist},SQ8"),
                format!("about 4 sqrt({rows}) lists; {dimension} dimensions do not split into sub-quantizers"),
            ),
        }
    }

    pub(crate) fn factory_string(&self) -> &str {
        &self.factory_string
    }

    pub(crate) fn merge_plan(&self) -> MergePlan {
        if self.nlist.is_some() { MergePlan::ByLists } else { MergePlan::ByPosition }
    }

    /// One sentence for the log: how this index will be built.
    pub(crate) fn describe(&self) -> String {
        match self.merge_plan() {
            MergePlan::ByLists => format!("{}: shards are merged list by list", self.factory_string),
            MergePlan::ByPosition => {
                format!("{}: shards are merged in id order under an id map", self.factory_string)
            }
        }
    }

    pub(crate) fn training_rows(&self) -> TrainingRows {
        let quantized = match self.encoding {
            Encoding::Flat => TrainingRows { needed: 0, wanted: 0, usable: 0 },
            Encoding::Sq8 => TrainingRows { needed: 1, wanted: 1_000, usable: USABLE_FOR_RANGES },
            Encoding::Pq { .. } => per_centroid(SUBQUANTIZER_CENTROIDS),
        };
        let lists = self.nlist.map_or(TrainingRows { needed: 0, wanted: 0, usable: 0 }, per_centroid);
        TrainingRows {
            needed: quantized.needed.max(lists.needed),
            wanted: quantized.wanted.max(lists.wanted),
            usable: quantized.usable.max(lists.usable),
        }
    }
}

/// The parts of a factory string, whatever the dimension.
#[derive(Debug, Clone, Copy)]
struct Parts {
    rotation: Option<Rotation>,
    nlist: Option<u64>,
    encoding: Encoding,
}

/// `OPQm` or `OPQm_d`.
#[derive(Debug, Clone, Copy)]
struct Rotation {
    subquantizers: u64,
    output: Option<u64>,
}

impl Parts {
    fn parse(factory_string: &str) -> Result<Self> {
        let refuse = |what: String| refused(factory_string, format!("{what}; this version builds {SUPPORTED}"));
        let mut texts: Vec<&str> = factory_string.split(',').collect();
        let text = texts.pop().unwrap_or_default();
        let encoding = parse_encoding(text).ok_or_else(|| refuse(format!("'{text}' is not understood")))?;
        let nlist = texts
            .pop()
            .map(|text| parse_nlist(text).ok_or_else(|| refuse(format!("'{text}' is not IVFn with n of at least 1"))));
        let nlist = nlist.transpose()?;
        let rotation = texts
            .pop()
            .map(|text| parse_rotation(text).ok_or_else(|| refuse(format!("'{text}' is not OPQm or OPQm_d"))));
        let rotation = rotation.transpose()?;
        let is_supported = texts.is_empty() && (rotation.is_none() || matches!(encoding, Encoding::Pq { .. }));
        if is_supported {
            Ok(Self { rotation, nlist, encoding })
        } else {
            Err(refuse("this combination is not supported".to_owned()))
        }
    }
}

fn refused(factory_string: &str, why: String) -> BuildError {
    BuildError::invalid(format!("factoryString='{factory_string}': {why}"))
}

fn per_centroid(centroids: u64) -> TrainingRows {
    TrainingRows { needed: centroids, wanted: centroids * WANTED_PER_CENTROID, usable: centroids * USABLE_PER_CENTROID }
}

fn parse_encoding(text: &str) -> Option<Encoding> {
    match text {
        "Flat" => Some(Encoding::Flat),
        "SQ8" => Some(Encoding::Sq8),
        _ => {
            let digits = text.strip_prefix("PQ")?;
            let digits = digits.strip_suffix("np").unwrap_or(digits);
            let digits = digits.strip_suffix("x8").unwrap_or(digits);
            positive(digits).map(|subquantizers| Encoding::Pq { subquantizers })
        }
    }
}

fn parse_nlist(text: &str) -> Option<u64> {
    const MOST_LISTS: u64 = 1 << 30;
    let digits = text.strip_prefix("IVF")?;
    let (digits, unit) = match digits.as_bytes().last()? {
        b'k' => (digits.strip_suffix('k')?, 1 << 10),
        b'M' => (digits.strip_suffix('M')?, 1 << 20),
        _ => (digits, 1),
    };
    positive(digits)?.checked_mul(unit).filter(|nlist| *nlist <= MOST_LISTS)
}

fn parse_rotation(text: &str) -> Option<Rotation> {
    let digits = text.strip_prefix("OPQ")?;
    let (subquantizers, output) = match digits.split_once('_') {
        None => (digits, None),
        Some((subquantizers, output)) => (subquantizers, Some(positive(output)?)),
    };
    Some(Rotation { subquantizers: positive(subquantizers)?, output })
}

/// Digits only: `u64::from_str` would also take a plus sign.
fn positive(digits: &str) -> Option<u64> {
    let only_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|number| only_digits && *number > 0)
}

fn check_divides(part: &str, subquantizers: u64, dimension: u64) -> std::result::Result<(), String> {
    if dimension.is_multiple_of(subquantizers) {
        return Ok(());
    }
    let below = (1..subquantizers.min(dimension + 1)).rev().find(|m| dimension.is_multiple_of(*m));
    let above = (subquantizers..=dimension).find(|m| dimension.is_multiple_of(*m));
    let fits: Vec<String> = below.into_iter().chain(above).map(|m| m.to_string()).collect();
    Err(format!(
        "{part} needs a dimension that is a multiple of {subquantizers}, and dimension={dimension} is not; \
         the nearest numbers of sub-quantizers that fit: {}",
        fits.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_supported_family_has_its_merge_plan_and_training_rows() {
        for (factory, plan, needed, usable) in [
            ("Flat", MergePlan::ByPosition, 0, 0),
            ("SQ8", MergePlan::ByPosition, 1, 100_000),
            ("PQ16", MergePlan::ByPosition, 256, 65_536),
            ("PQ16x8np", MergePlan::ByPosition, 256, 65_536),
            ("IVF4,Flat", MergePlan::ByLists, 4, 1_024),
            ("IVF1k,SQ8", MergePlan::ByLists, 1_024, 262_144),
            ("IVF4,PQ16", MergePlan::ByLists, 256, 65_536),
            ("OPQ16,IVF4,PQ16np", MergePlan::ByLists, 256, 65_536),
            ("OPQ16_64,IVF4,PQ16", MergePlan::ByLists, 256, 65_536),
        ] {
            let family = Family::parse(factory, 96).unwrap();
            let rows = family.training_rows();
            assert_eq!((family.merge_plan(), rows.needed, rows.usable), (plan, needed, usable), "{factory}");
        }
    }

    #[test]
    fn strings_that_cannot_be_built_are_refused_with_the_part_that_is_wrong() {
        for (factory, culprit) in [
            ("", "''"),
            ("Flatt", "'Flatt'"),
            ("PQ0", "'PQ0'"),
            ("PQ+8", "'PQ+8'"),
            ("PQ48", "multiple of 48"),
            ("PQ1000000000000", "multiple of 1000000000000"),
            ("IVF0,Flat", "'IVF0'"),
            ("IVF4096", "'IVF4096'"),
            ("OPQ7,IVF4,PQ10", "multiple of 7"),
            ("OPQ10_200,IVF4,PQ10", "into 200"),
            ("OPQ10,PQ10", "'OPQ10'"),
            ("OPQ10,IVF4,Flat", "combination"),
            ("PCA10,IVF4,PQ10", "'PCA10'"),
            ("A,OPQ10,IVF4,PQ10", "combination"),
            ("HNSW32", "'HNSW32'"),
        ] {
            let message = Family::parse(factory, 100).unwrap_err().to_string();
            assert!(message.contains(culprit) && message.contains(&format!("'{factory}'")), "{message}");
        }
    }

    #[test]
    fn the_chosen_string_can_be_built_for_every_size() {
        for dimension in [1, 2, 31, 96, 97, 100, 128, 192, 768, 1536] {
            for rows in [1, 9_999, 10_000, 50_000, 1_000_000, 10_000_000_000] {
                let (factory, _) = Family::choose(rows, dimension);
                let family = Family::parse(&factory, dimension).unwrap();
                assert!(family.training_rows().needed <= rows, "{factory} for {rows} rows");
            }
        }
    }
}
