//! Bytes in and out by URI. Knows nothing of Faiss or of a JVM.
//!
//! [`Storage`] is the seam: local disk, memory and, with the cargo feature `hdfs`, HDFS live here, other file systems
//! are brought by the host as one more implementation. [`Storages`] picks the backend for a URI. With the cargo feature
//! `conformance`, the module of the same name holds the suite that every backend passes.
//!
//! URIs are taken literally: a percent sign is a percent sign, as in Hadoop's `Path`.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::panic, clippy::unwrap_used, reason = "tests report by panicking"))]

#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
#[cfg(feature = "hdfs")]
mod hdfs;
#[cfg(feature = "hdfs")]
mod joined_by_host;
mod local;
mod local_positional;
mod memory;
mod partial_names;
mod storage;
mod storages;

pub use error::{Result, StorageError};
#[cfg(feature = "hdfs")]
pub use hdfs::HdfsStorage;
pub use local::LocalStorage;
pub use memory::MemoryStorage;
pub use storage::{CreateMode, FileStatus, HdfsDirections, PositionalFile, RandomRead, SequentialWrite, Storage};
pub use storages::{Storages, join};
