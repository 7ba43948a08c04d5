//! Ctrl-C and SIGTERM: the first stops the stage that works, the second ends the process.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use faiss_indexer_core::{BuildError, ErrorKind, Result, Stage};
use log::warn;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Of a process that the user stopped.
pub(crate) const EXIT_CODE: u8 = 130;

/// Whether the user wants to stop, and how to tell what is at work.
#[derive(Default)]
pub(crate) struct Interruption {
    requested: AtomicBool,
    stop: Mutex<Option<Box<dyn Fn() + Send>>>,
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
        let stage = Arc::downgrade(stage);
        self.stop_with(move || {
            if let Some(stage) = stage.upgrade() {
                stage.cancel();
            }
        })
    }

    /// Makes `stop` the way to stop what is at work.
    pub(crate) fn stop_with(&self, stop: impl Fn() + Send + 'static) -> Result<()> {
        *self.stop.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(stop));
        // A signal that came before this line stopped what was at work before.
        self.check()
    }

    fn request(&self) {
        self.requested.store(true, Ordering::SeqCst);
        if let Some(stop) = self.stop.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            stop();
        }
        warn!("stopping; once more exits at once");
    }
}

impl fmt::Debug for Interruption {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Interruption").field("requested", &self.requested).finish_non_exhaustive()
    }
}
