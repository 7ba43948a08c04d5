//! Files of every kind that is promised, written here or by pyarrow and numpy, read back.

#![allow(
    clippy::as_conversions,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests report by panicking"
)]

mod counting_storage;
mod golden;
mod npy;
mod refusals;
mod streaming;
mod table;
mod types;
