//! `faiss-indexer merge`

use faiss_indexer_core::{BuildError, ErrorKind, Result};
use faiss_indexer_storage::Storages;

use super::{ExtensionRequest, begin_extension, finish_interrupted, print_summary};
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
    let (storages, overrides) = (Storages::new(), flags.task.pairs());
    let (indexes, output) = (&flags.input, &flags.output);
    let finished = finish_interrupted(output, &storages)?;
    let request = ExtensionRequest { command: "merge", indexes, output, overrides: &overrides };
    let origin = request.origin(&storages)?;
    if let Some(finished) = finished.filter(|finished| finished.is_of_extension(&origin)) {
        return finished.answer();
    }
    let extension = begin_extension(&request, &origin, &flags.task, progress, interruption, storages)?;
    print_summary(&extension.build.extend(&extension.trained, &extension.sources, None)?)
}
