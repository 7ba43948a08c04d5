//! `faiss-indexer add`

use faiss_indexer_core::{BuildError, ErrorKind, Result};

use crate::arguments::AddFlags;

pub(crate) fn run(flags: &AddFlags) -> Result<()> {
    Err(BuildError::new(ErrorKind::Internal, format!("not joined: {flags:?}")))
}
