//! `faiss-indexer inspect`

use faiss_indexer_core::{BuildError, ErrorKind, Result};

use crate::arguments::InspectFlags;

pub(crate) fn run(flags: &InspectFlags) -> Result<()> {
    Err(BuildError::new(ErrorKind::Internal, format!("not joined: {flags:?}")))
}
