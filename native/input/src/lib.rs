//! Rows of ids and embeddings out of files: Parquet, Arrow IPC (file and stream) and `.npy` with a file of ids.
//! Knows neither Faiss nor a JVM.
//!
//! [`Input::open`] lists the files, reads what describes them and checks both columns. [`Input::splits`] are the
//! pieces that may be read independently. [`Input::read`] decodes pieces on several threads.
//!
//! # Memory
//! A batch holds at most 4 MiB of ids and embeddings, or one row. At most four batches wait in the channel and one in
//! each reader. Beside its batch, a reader has for each of the two columns a window of the file of at most 4 MiB or
//! one page, one decompressed page and one dictionary (Parquet), or 1 MiB (Arrow IPC), and the decoded columns of one
//! batch, which with the levels of Parquet take up to four times the batch. Nothing of it grows with the size of a
//! file, row group, record batch or array. What does grow is the description: footers of Parquet, and some hundred
//! bytes for each record batch; and an Arrow dictionary is held as a whole.

#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(
        clippy::as_conversions,
        clippy::expect_used,
        clippy::panic,
        clippy::unwrap_used,
        reason = "tests report by panicking"
    )
)]

mod arrow_buffer;
mod arrow_column;
mod arrow_file;
mod arrow_message;
mod batch;
mod column_path;
mod error;
mod extraction;
mod file_bytes;
mod file_format;
mod input;
mod listing;
mod npy_array;
mod npy_file;
mod number;
mod parquet_file;
mod parquet_footer;
mod parquet_window;
mod row_file;
mod split;
mod stream;

pub use batch::{Batch, Rejected};
pub use error::{InputError, Result};
pub use input::{Input, InputOptions, LearnedDimension, USUAL_EMBEDDING_COLUMN, USUAL_ID_COLUMN};
pub use split::{Split, SplitPart};
pub use stream::BatchStream;
