//! What a build with `report=true` does beside building: it keeps some rows as queries, finds their true neighbours
//! while rows are encoded, measures the merged index, and writes a page.

mod evaluate_build;
mod page;
mod partial_truth;
mod query_sample;
#[cfg(test)]
mod tests;

pub(crate) use evaluate_build::evaluate_build;
pub(crate) use page::report_page;
pub(crate) use partial_truth::PartialTruth;
pub(crate) use query_sample::{QuerySample, merge_queries};
