//! Work of which a damaged file may end the process: Faiss trusts what a file says of its rows, and a file without a
//! manifest has no checksum that would tell.

use std::process::{Command, exit};

use faiss_indexer_core::{BuildError, ErrorKind, Result};

/// Set in the process that does the work.
const INSIDE: &str = "FAISS_INDEXER_OWN_PROCESS";

/// Whether this process may end.
pub(crate) fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Runs this command again in a process of its own, which writes to the same terminal. Whatever it fails with was said
/// there and is the exit code here.
///
/// # Errors
/// [`ErrorKind::CorruptFile`] naming `file` if the process was ended.
pub(crate) fn run_inside(file: &str) -> Result<()> {
    let failed =
        |error: std::io::Error| BuildError::new(ErrorKind::Internal, format!("cannot start a process: {error}"));
    let program = std::env::current_exe().map_err(failed)?;
    let status = Command::new(program).args(std::env::args_os().skip(1)).env(INSIDE, "1").status().map_err(failed)?;
    match status.code() {
        Some(0) => Ok(()),
        Some(code) => exit(code),
        None => {
            let message = format!("{file} is damaged, or memory is short: searching it ended the process ({status})");
            Err(BuildError::new(ErrorKind::CorruptFile, message))
        }
    }
}
