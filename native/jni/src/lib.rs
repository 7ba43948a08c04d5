//! The library behind the Java class `NativeBridge`. It translates arguments, guards every call, and decides nothing.
//!
//! Only `JNI_OnLoad` is exported; it registers the native methods with the class that the system property
//! `io.faissindexer.native.class` names, so the jar may be relocated. What the process keeps is the log, the table
//! of stages, the files of `memory:`, and a reference to that class.

#![cfg_attr(test, allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests report by panicking"))]

mod arguments;
mod exceptions;
mod exports;
mod hook;
mod hook_failures;
mod hook_storage;
mod log_records;
mod processor;
mod registration;
mod stages;

pub use hook_storage::HookStorage;
pub use registration::JNI_OnLoad;
