//! `faiss-indexer merge`

use faiss_indexer_core::{BuildError, ErrorKind, Result};

use crate::arguments::MergeFlags;

pub(crate) fn run(flags: &MergeFlags) -> Result<()> {
    Err(BuildError::new(ErrorKind::Internal, format!("not joined: {flags:?}")))
}
