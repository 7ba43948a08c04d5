//! Ctrl-C and SIGTERM: the first stops the stage that works, the second ends the process.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;

use faiss_indexer_core::{BuildError, ErrorKind, Result, Stage};
use log::warn;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Of a process that the user stopped.
pub(crate) const EXIT_CODE: u8 = 130;

/// Whether the user wants to stop, and the stage to tell.
#[derive(Debug, Default)]
pub(crate) struct Interruption {
    requested: AtomicBool,
    at_work: Mutex<Weak<Stage>>,
}

impl Interruption {
    /// Takes the signals over from now on.
    pub(crate) fn listen() -> Result<Arc<Self>> {
        let interruption = Arc::new(Self::default());
        let listener = Arc::clone(&interruption);
        let failed =
            |error: std::io::Error| BuildError::new(ErrorKind::Internal, format!("cannot listen for Ctrl-C: {error}"));
        let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(failed)?;
        let thread = thread::Builder::new().name("signals".into());
        let listen = move || {
            for _ in signals.forever() {
                if listener.requested.load(Ordering::SeqCst) {
                    std::process::exit(EXIT_CODE.into());
                }
                listener.request();
            }
        };
        thread.spawn(listen).map_err(failed)?;
        Ok(interruption)
    }

    /// Fails once the user wants to stop.
    pub(crate) fn check(&self) -> Result<()> {
        match self.requested.load(Ordering::SeqCst) {
            true => Err(BuildError::new(ErrorKind::Cancelled, "the build was cancelled")),
            false => Ok(()),
        }
    }

    /// Makes `stage` the one to stop.
    pub(crate) fn watch(&self, stage: &Arc<Stage>) -> Result<()> {
        *self.at_work.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(stage);
        // A signal that came before this line told the stage before.
        self.check()
    }

    fn request(&self) {
        self.requested.store(true, Ordering::SeqCst);
        if let Some(stage) = self.at_work.lock().unwrap_or_else(PoisonError::into_inner).upgrade() {
            stage.cancel();
        }
        warn!("stopping; once more exits at once");
    }
}
