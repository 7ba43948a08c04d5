//! Work of which a damaged file may end the process: Faiss trusts what a file says of its rows, and a file without a
//! manifest has no checksum that would tell.

use std::io::{self, Read};
use std::process::{Command, Stdio, exit};
use std::thread;

use faiss_indexer_core::{BuildError, ErrorKind, Result};

/// Set in the process that does the work.
const INSIDE: &str = "FAISS_INDEXER_OWN_PROCESS";

/// Whether this process may end. If so, it ends with the one that started it, however that ends: its stdin, which
/// nobody writes to, is closed then.
pub(crate) fn is_inside() -> Result<bool> {
    if std::env::var_os(INSIDE).is_none() {
        return Ok(false);
    }
    let wait = || {
        let _nobody_is_left = io::stdin().read(&mut [0]);
        exit(crate::interruption::EXIT_CODE.into());
    };
    thread::Builder::new().name("parent".into()).spawn(wait).map_err(failed)?;
    Ok(true)
}

/// Runs this command again in a process of its own, which writes to the same terminal. Whatever it fails with was said
/// there and is the exit code here.
///
/// # Errors
/// [`ErrorKind::CorruptFile`] naming `file` if the process was ended.
pub(crate) fn run_inside(file: &str) -> Result<()> {
    let program = std::env::current_exe().map_err(failed)?;
    let mut command = Command::new(program);
    command.args(std::env::args_os().skip(1)).env(INSIDE, "1").stdin(Stdio::piped());
    let mut process = command.spawn().map_err(failed)?;
    // Waiting closes what is still there of it.
    let _held_open = process.stdin.take();
    let status = process.wait().map_err(failed)?;
    match status.code() {
        Some(0) => Ok(()),
        Some(code) => exit(code),
        None => {
            let message = format!("{file} is damaged, or memory is short: searching it ended the process ({status})");
            Err(BuildError::new(ErrorKind::CorruptFile, message))
        }
    }
}

fn failed(error: io::Error) -> BuildError {
    BuildError::new(ErrorKind::Internal, format!("cannot start a process: {error}"))
}
