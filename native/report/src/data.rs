//! What a report tells. Parts that are missing are left out of the page.

/// Everything that is known about an index.
#[derive(Debug, Clone, Default)]
pub struct ReportData {
    /// The family, as a factory string.
    pub factory_string: String,
    /// The metric, as the spec names it.
    pub metric: String,
    /// Components per row.
    pub dimension: u64,
    /// Rows in the index.
    pub rows: u64,
    /// Bytes of the index file, or of all of them.
    pub bytes: u64,
    /// Rows that trained.
    pub training_rows: Option<u64>,
    /// Recall against exact search.
    pub recall: Option<Recall>,
    /// The inverted lists.
    pub lists: Option<ListSizes>,
    /// The stages of the build in their order.
    pub stages: Vec<StageFigures>,
    /// Rows of the input that are not in the index, by reason.
    pub left_out: Vec<LeftOutRows>,
    /// Option and value, as the build used them.
    pub spec: Vec<(String, String)>,
    /// Name and value of what identifies the index: fingerprint, checksum, versions.
    pub identity: Vec<(String, String)>,
    /// Sentences for the reader, such as why a part is missing.
    pub notes: Vec<String>,
}

/// Recall over how thorough a search is.
#[derive(Debug, Clone, Default)]
pub struct Recall {
    /// What the points differ in, such as `nprobe`; absent for exhaustive families.
    pub setting: Option<String>,
    /// Queries that were searched.
    pub queries: u64,
    /// By ascending value.
    pub points: Vec<RecallPoint>,
    /// The value that a user should start with.
    pub suggested: Option<u64>,
}

/// Recall at one value of the setting.
#[derive(Debug, Clone, Copy, Default)]
pub struct RecallPoint {
    /// The value; absent for exhaustive families.
    pub value: Option<u64>,
    /// Share of queries whose nearest row was found first.
    pub at_1: Option<f64>,
    /// Mean share of the 10 nearest rows that is among the 10 found.
    pub at_10: Option<f64>,
    /// Time that one thread spends on a query.
    pub seconds_per_query: Option<f64>,
}

/// How rows are spread over inverted lists.
#[derive(Debug, Clone, Default)]
pub struct ListSizes {
    /// Number of lists.
    pub lists: u64,
    /// Lists without rows.
    pub empty: u64,
    /// Rows of the smallest list.
    pub smallest: u64,
    /// Rows of the list in the middle.
    pub median: u64,
    /// Rows that 99 % of the lists do not exceed.
    pub percentile99: u64,
    /// Rows of the largest list.
    pub largest: u64,
    /// How much longer a search takes than with lists of equal size.
    pub imbalance: f64,
    /// By ascending size.
    pub histogram: Vec<ListSizeBin>,
}

/// Lists whose size is at least `from` and below `to`.
#[derive(Debug, Clone, Copy, Default)]
pub struct ListSizeBin {
    /// The smallest size.
    pub from: u64,
    /// The first size beyond.
    pub to: u64,
    /// How many lists.
    pub lists: u64,
}

/// What a stage took.
#[derive(Debug, Clone, Default)]
pub struct StageFigures {
    /// Its name.
    pub name: String,
    /// From its first task's beginning to its last task's end.
    pub seconds: f64,
    /// The most memory that a process of it had in use, if known.
    pub peak_bytes: Option<u64>,
}

/// Rows that are not in the index for one reason.
#[derive(Debug, Clone, Default)]
pub struct LeftOutRows {
    /// The reason, to be read after "rows".
    pub reason: String,
    /// How many.
    pub rows: u64,
    /// The first of their ids.
    pub first_ids: Vec<i64>,
}
