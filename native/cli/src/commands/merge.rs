//! `faiss-indexer merge`

use faiss_indexer_core::{BuildError, ErrorKind, Result};
use faiss_indexer_storage::Storages;

use super::{begin_extension, print_summary};
use crate::arguments::MergeFlags;
use crate::console;
use crate::interruption::Interruption;

pub(crate) fn run(flags: &MergeFlags) -> Result<()> {
    let progress = console::install(&flags.display);
    if flags.input.len() < 2 {
        let message = format!("--input names {} only; a merge takes two indexes or more", flags.input.join(""));
        return Err(BuildError::new(ErrorKind::InvalidSpec, message));
    }
    let interruption = Interruption::listen()?;
    let overrides = flags.task.pairs();
    let extension =
        begin_extension(&flags.input, &flags.output, &overrides, &flags.task, progress, interruption, Storages::new())?;
    print_summary(&extension.build.extend(&extension.trained, &extension.sources, None)?)
}
