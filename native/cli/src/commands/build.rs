//! `faiss-indexer build`

use faiss_indexer_core::{BuildError, Result, build_info, check_build, check_rows, start_build};
use faiss_indexer_storage::Storages;
use log::info;

use super::{finish_interrupted, print_summary, threads};
use crate::arguments::BuildFlags;
use crate::console;
use crate::interruption::Interruption;
use crate::journal::{Journal, Origin};
use crate::local_build::LocalBuild;
use crate::rows::Rows;

pub(crate) fn run(flags: &BuildFlags) -> Result<()> {
    let progress = console::install(&flags.display);
    let storages = Storages::new();
    let mut spec = [flags.index.pairs(), flags.input.pairs(), flags.task.pairs()].concat();
    let finished = finish_interrupted(&flags.output, &storages)?;
    if finished.is_none() {
        check_build(&spec, &flags.output, &storages)?;
    }
    // Core checks that it is a number.
    let asked_dimension = flags.index.dimension.as_ref().and_then(|dimension| dimension.trim().parse().ok());

    let interruption = Interruption::listen()?;
    let (input, partition_rows) = (&flags.input, flags.rows_of_a_step.partition_rows);
    let rows = Rows::open(&input.input, &input.columns, partition_rows, asked_dimension, &storages)?;
    spec.push(("dimension".to_owned(), rows.dimension().to_string()));
    let origin_of_dimension = rows.origin_of_dimension();
    info!("{} rows of dimension {}{origin_of_dimension}", rows.count(), rows.dimension());
    if let Some(finished) = finished {
        if finished.is_of_build(&spec, &origin(flags, &rows)?, &flags.output) {
            return finished.answer();
        }
        check_build(&spec, &flags.output, &storages)?;
    }
    check_rows(&spec, rows.count())
        .map_err(|error| BuildError::new(error.kind(), format!("{error}{origin_of_dimension}")))?;

    interruption.check()?;
    let (build, journal) = begin(flags, &spec, &rows, &storages)?;
    let build =
        LocalBuild { build, journal, interruption, storages, threads: threads(&flags.task), progress, resumable: true };
    print_summary(&build.run(&rows)?)
}

/// The build to go on with, or one that begins.
fn begin(flags: &BuildFlags, spec: &[(String, String)], rows: &Rows, storages: &Storages) -> Result<(String, Journal)> {
    let origin = origin(flags, rows)?;
    if flags.resume {
        if let Some((build, journal)) = Journal::find(&flags.output, spec, &origin, storages)? {
            info!("going on after {} finished steps", journal.receipts().len());
            return Ok((build, journal));
        }
        info!("{} holds no unfinished build: a new one begins", flags.output);
    }
    let build = start_build(spec, &flags.output, storages)?;
    let journal = Journal::create(&build, &origin, storages)?;
    Ok((build, journal))
}

fn origin(flags: &BuildFlags, rows: &Rows) -> Result<Origin> {
    let columns = &flags.input.columns;
    Ok(Origin::from([
        ("version".to_owned(), build_info()),
        ("input".to_owned(), rows.identity()?),
        ("id-column".to_owned(), columns.id_column.clone()),
        ("embedding-column".to_owned(), columns.embedding_column.clone()),
        ("ids".to_owned(), columns.ids.clone().unwrap_or_default()),
        // With the input it decides on all partitions, whose rows would be too many numbers for a message.
        ("partition-rows".to_owned(), flags.rows_of_a_step.partition_rows.to_string()),
    ]))
}
