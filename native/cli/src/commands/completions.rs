//! `faiss-indexer completions`

use std::fs;

use clap::Command;
use clap_complete::generate;
use faiss_indexer_core::{BuildError, ErrorKind, Result};

use crate::arguments::CompletionsFlags;
use crate::console;

pub(crate) fn run(flags: &CompletionsFlags, mut command: Command) -> Result<()> {
    let mut script = Vec::new();
    generate(flags.shell, &mut command, "faiss-indexer", &mut script);
    match &flags.output {
        Some(path) => fs::write(path, script)
            .map_err(|error| BuildError::new(ErrorKind::Storage, format!("cannot write {}: {error}", path.display()))),
        None => console::answer(&String::from_utf8_lossy(&script)),
    }
}
