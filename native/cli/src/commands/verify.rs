//! `faiss-indexer verify`

use faiss_indexer_core::{BuildError, ErrorKind, Result};

use crate::arguments::VerifyFlags;

pub(crate) fn run(flags: &VerifyFlags) -> Result<()> {
    Err(BuildError::new(ErrorKind::Internal, format!("not joined: {flags:?}")))
}
