//! What an index file turned out to be: a tree of indexes, each with its parameters and the places of its payload.

use std::ops::Range;

use serde::Serialize;

use crate::faiss_index::FaissMetric;
use crate::index_file::cursor::{FourCc, Vector};
use crate::index_file::inverted_lists::InvertedLists;
use crate::index_file::packed_codes::PackedLayout;

/// The fields that Faiss writes first for (nearly) every index.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Header {
    pub(crate) dimension: u64,
    pub(crate) rows: u64,
    pub(crate) trained: bool,
    /// Faiss' number of the metric (`MetricType.h`).
    pub(crate) metric: i32,
    pub(crate) metric_arg: Option<f32>,
}

/// The value of a parameter.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Parameter {
    Number(u64),
    Signed(i64),
    Fraction(f32),
    Flag(bool),
    Text(String),
}

/// What an index is to the one that it is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Role {
    /// Holds the rows behind a transform or an id map.
    Index,
    /// Finds the inverted lists of a vector.
    Quantizer,
    /// Holds the rows that are searched first.
    Base,
    /// Holds the rows that refine the result.
    Refine,
    /// Holds the rows that a graph points to.
    Storage,
}

impl Role {
    /// Whether the part's rows are the rows of the whole.
    pub(crate) fn holds_rows(self) -> bool {
        self != Self::Quantizer
    }
}

/// A step that vectors go through before they reach an index.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Transform {
    /// The class in Faiss.
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    /// As a factory string would have it.
    pub(crate) name: String,
    pub(crate) input_dimension: u64,
    pub(crate) output_dimension: u64,
    pub(crate) trained: bool,
}

/// Bytes that depend on the rows, and what stands there in the same index without rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RowBytes {
    pub(crate) range: Range<u64>,
    pub(crate) without_rows: Vec<u8>,
    /// Zero bytes after `without_rows`.
    pub(crate) zeros: u64,
}

/// One index of the tree.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    /// All of its bytes.
    pub(crate) span: Range<u64>,
    pub(crate) fourcc: FourCc,
    /// The class in Faiss.
    pub(crate) kind: &'static str,
    /// As a factory string would have it.
    pub(crate) family: String,
    pub(crate) header: Header,
    /// Bytes per row, where rows are stored as codes.
    pub(crate) code_size: Option<u64>,
    pub(crate) parameters: Vec<(&'static str, Parameter)>,
    pub(crate) transforms: Vec<Transform>,
    pub(crate) parts: Vec<(Role, Node)>,
    /// Codes in row order. Of an index with lists: those that refine its result.
    pub(crate) codes: Option<Vector>,
    /// Bytes per row of `codes`.
    pub(crate) codes_row_bytes: Option<u64>,
    /// How codes are interleaved, in `codes` or in the lists.
    pub(crate) packing: Option<PackedLayout>,
    pub(crate) id_map: Option<Vector>,
    pub(crate) lists: Option<InvertedLists>,
    pub(crate) row_bytes: Vec<RowBytes>,
}

impl Node {
    pub(crate) fn part(&self, role: Role) -> Option<&Node> {
        self.parts.iter().find(|(other, _)| *other == role).map(|(_, node)| node)
    }

    /// This index and those inside it that hold its rows, in the order of the file.
    pub(crate) fn with_rows(&self) -> Vec<&Node> {
        let mut nodes = vec![self];
        for (_, part) in self.parts.iter().filter(|(role, _)| role.holds_rows()) {
            nodes.extend(part.with_rows());
        }
        nodes
    }

    /// Whether rows are linked in a graph.
    pub(crate) fn has_graph(&self) -> bool {
        self.with_rows()
            .iter()
            .any(|node| ["IndexHNSW", "IndexNSG", "IndexNNDescent"].iter().any(|prefix| node.kind.starts_with(prefix)))
    }
}

/// The names of Faiss' metrics, as a spec has them where it can.
pub(crate) fn metric_name(metric: i32) -> String {
    if let Some(metric) = FaissMetric::from_number(metric) {
        let name = match metric {
            FaissMetric::InnerProduct => "ip",
            FaissMetric::L2 => "l2",
            FaissMetric::L1 => "l1",
            FaissMetric::Linf => "linf",
        };
        return name.to_owned();
    }
    // Those that we do not build.
    let name = match metric {
        4 => "lp",
        20 => "canberra",
        21 => "brayCurtis",
        22 => "jensenShannon",
        23 => "jaccard",
        24 => "nanEuclidean",
        25 => "gower",
        other => return format!("metric {other}"),
    };
    name.to_owned()
}
