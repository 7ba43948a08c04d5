//! `faiss-indexer evaluate`

use faiss_indexer_core::{BuildError, ErrorKind, Result};

use crate::arguments::EvaluateFlags;

pub(crate) fn run(flags: &EvaluateFlags) -> Result<()> {
    Err(BuildError::new(ErrorKind::Internal, format!("not joined: {flags:?}")))
}
