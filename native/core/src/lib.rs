//! Trains, encodes, merges and publishes Faiss indexes. Knows no JVM and no engine.
//!
//! A build is a sequence of stages. [`start_build`] checks the spec and makes the output's temporary directory; an
//! engine then runs [`Stage`]s over its partitions and hands their receipts on: sample, [`plan_training`], train,
//! encode, merge, and evaluate if a report is asked for; [`publish`] ends it, or [`abandon`].

#![deny(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::as_conversions, reason = "tests")
)]

mod build_context;
mod build_report;
mod cancellation;
mod checksum;
mod duplicates;
mod encode_memory;
mod encoded_rows;
mod error;
pub mod evaluation;
mod extension;
#[cfg(test)]
mod extension_tests;
mod faiss_encoder;
mod faiss_index;
mod faiss_search;
#[cfg(test)]
mod families_page_tests;
mod family;
#[cfg(test)]
mod family_bytes_tests;
mod fault;
#[doc(hidden)]
pub mod graph_benchmark;
mod graph_hnsw;
mod graph_index;
mod graph_nsg;
mod graph_pace;
#[cfg(test)]
mod graph_tests;
mod group_metadata;
mod grouped_output;
#[cfg(test)]
mod grouped_output_tests;
mod hdfs_access;
mod import;
mod index_file;
mod index_filename;
mod index_layout;
mod index_template;
mod inspect;
#[cfg(test)]
mod inspect_tests;
mod ledger;
#[cfg(test)]
mod lone_rows_tests;
mod manifest;
mod memory_estimate;
mod merge;
#[cfg(test)]
mod merge_parts_tests;
mod nearest;
mod numbers;
mod open_files;
mod output_directory;
mod plain_name;
#[doc(hidden)]
pub mod process_memory;
mod publication;
#[cfg(test)]
mod publication_tests;
mod publish;
mod quantization;
#[cfg(test)]
mod readback_tests;
mod receipts;
mod resumption;
mod row_hash;
mod run_file;
mod run_reader;
mod sampler;
mod scratch;
mod shard_builder;
mod single_task;
mod spec;
mod stage;
#[cfg(test)]
mod stock_faiss_tests;
#[cfg(test)]
mod supported_families;
mod task_memory;
#[cfg(test)]
mod test_builds;
mod trained_state;
mod training;
mod training_plan;
mod vectors;
mod verify;
#[cfg(test)]
mod verify_tests;
#[cfg(test)]
mod whole_build_tests;
mod workers;

pub use build_context::{abandon, abandon_named_build, check_build, check_rows, start_build, start_named_build};
pub use cancellation::Cancellation;
pub use error::{BuildError, ErrorKind, Result};
pub use extension::{Extension, start_extension};
pub use fault::{Fault, raise};
pub use grouped_output::{check_groups, end_groups, publish_groups, published_groups, start_groups};
pub use import::{ImportControl, import_index};
pub use inspect::{IndexDescription, ListsDescription, index_bytes, inspect, inspect_all, inspect_list_sizes};
pub use publication::{finish_publication, interrupted_publication};
pub use publish::{publish, published};
pub use receipts::bad_rows;
pub use resumption::{
    adopt_build, assemble_tasks, delete_unnamed_files, evaluates, lost_receipts, merge_tasks, spec_defaults,
    temporary_directory, unfinished_builds,
};
pub use scratch::set_scratch_directory;
pub use spec::KEYS as SPEC_KEYS;
pub use stage::{ProgressReport, RejectedRow, Stage, StageKind, StageRequest};
pub use task_memory::task_memory;
pub use training_plan::{TrainingDecision, plan_training};
pub use verify::{Verified, verify};
pub use workers::Workers;

/// Name and version of this library and of the Faiss inside.
#[must_use]
pub fn build_info() -> String {
    format!("faiss-indexer {} (faiss {})", env!("CARGO_PKG_VERSION"), faiss_index::FAISS_VERSION)
}
