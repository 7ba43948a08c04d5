//! Trains, encodes, merges and publishes Faiss indexes. Knows no JVM and no engine.
//!
//! A build is a sequence of stages. [`start_build`] checks the spec and makes the output's temporary directory; an
//! engine then runs [`Stage`]s over its partitions and hands their receipts on: sample, [`plan_training`], train,
//! encode, merge; [`publish`] ends it, or [`abandon`].

#![deny(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::as_conversions, reason = "tests")
)]

mod build_context;
mod cancellation;
mod duplicates;
mod error;
mod faiss_index;
mod family;
mod fault;
mod index_layout;
mod index_template;
mod ledger;
mod merge;
mod merge_streams;
mod nearest;
mod numbers;
mod publish;
mod quantization;
mod receipts;
mod resumption;
mod row_hash;
mod run_file;
mod sampler;
mod shard_builder;
mod spec;
mod stage;
#[cfg(test)]
mod stock_faiss_tests;
#[cfg(test)]
mod test_builds;
mod training;
mod training_plan;
mod vectors;
#[cfg(test)]
mod whole_build_tests;
mod workers;

pub use build_context::{abandon, check_build, start_build};
pub use error::{BuildError, ErrorKind, Result};
pub use fault::{Fault, raise};
pub use publish::publish;
pub use resumption::{
    adopt_build, check_receipt, delete_unnamed_files, merge_tasks, spec_defaults, temporary_directory,
    unfinished_builds,
};
pub use stage::{ProgressReport, RejectedRow, Stage, StageKind, StageRequest};
pub use training_plan::{TrainingDecision, plan_training};

/// Name and version of this library and of the Faiss inside.
#[must_use]
pub fn build_info() -> String {
    format!("faiss-indexer {} (faiss {})", env!("CARGO_PKG_VERSION"), faiss_index::FAISS_VERSION)
}
