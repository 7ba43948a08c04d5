//! `faiss-indexer add`

use faiss_indexer_core::{BuildError, ErrorKind, Result, finish_publication, inspect};
use faiss_indexer_storage::Storages;

use super::{ExtensionRequest, begin_extension, finish_interrupted, print_summary};
use crate::arguments::AddFlags;
use crate::console;
use crate::interruption::Interruption;
use crate::rows::Rows;

pub(crate) fn run(flags: &AddFlags) -> Result<()> {
    let progress = console::install(&flags.display);
    let storages = Storages::new();
    let interruption = Interruption::listen()?;
    let output = flags.output.as_ref().unwrap_or(&flags.index);
    let finished = finish_interrupted(output, &storages)?;
    finish_publication(&flags.index, &storages)?;
    let dimension = usize::try_from(inspect(&flags.index, &storages)?.dimension)
        .map_err(|error| BuildError::new(ErrorKind::CorruptFile, format!("{}: {error}", flags.index)))?;
    let (input, partition_rows) = (&flags.input, flags.rows_of_a_step.partition_rows);
    let rows = Rows::open(&input.input, &input.columns, partition_rows, Some(dimension), &storages)?;
    interruption.check()?;

    // What the user says of overwriting comes later and counts.
    let in_place = flags.output.is_none().then(|| ("overwrite".to_owned(), "true".to_owned()));
    let overrides: Vec<_> = in_place.into_iter().chain(flags.input.pairs()).chain(flags.task.pairs()).collect();
    let indexes = [flags.index.clone()];
    let request = ExtensionRequest { command: "add", indexes: &indexes, output, overrides: &overrides };
    let mut origin = request.origin(&storages)?;
    origin.insert("input".to_owned(), rows.identity()?);
    origin.insert("columns".to_owned(), format!("{:?}", input.columns));
    if let Some(finished) = finished.filter(|finished| finished.is_of_extension(&origin)) {
        return finished.answer();
    }
    let extension = begin_extension(&request, &origin, &flags.task, progress, interruption, storages)?;
    print_summary(&extension.build.extend(&extension.trained, &extension.sources, Some(&rows))?)
}
