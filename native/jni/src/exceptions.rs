//! How a native call fails: as the exception that `NativeBridge.exception` makes.

use std::any::Any;
use std::cell::Cell;
use std::sync::OnceLock;

use faiss_indexer_core::{BuildError, ErrorKind};
use faiss_indexer_storage::StorageError;
use jni::errors::{Error, ErrorPolicy};
use jni::objects::{JClass, JThrowable};
use jni::refs::Global;
use jni::strings::JNIString;
use jni::{Env, JValue, jni_sig, jni_str};

pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// Why a native method does not return a value.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Ours, for Java to see as a FaissIndexException.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// An exception that a JNI call left pending; it wins over any of ours.
    #[error("a Java exception is pending")]
    Pending,
    /// An exception that the jni crate caught, to be thrown again.
    #[error("a Java exception was thrown")]
    Thrown(Global<JThrowable<'static>>),
}

impl Failure {
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::Build(BuildError::new(ErrorKind::InvalidSpec, message))
    }
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Self::Build(error.into())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::JavaException => Self::Pending,
            Error::CaughtJavaException { exception, .. } => Self::Thrown(exception),
            other => Self::Build(BuildError::new(ErrorKind::Internal, format!("JNI: {other}"))),
        }
    }
}

static THROWER: OnceLock<Global<JClass<'static>>> = OnceLock::new();

/// Names the class whose `exception(int, String)` makes every exception.
pub(crate) fn throw_with(env: &Env, class: &JClass) -> jni::errors::Result<()> {
    let class = env.new_global_ref(class)?;
    THROWER.get_or_init(|| class);
    Ok(())
}

/// The guard of every native method.
pub(crate) struct ThrowFaissIndexException;

impl<T: Default> ErrorPolicy<T, Failure> for ThrowFaissIndexException {
    type Captures<'unowned: 'method, 'method> = ();

    fn on_error<'unowned: 'method, 'method>(
        env: &mut Env<'unowned>,
        _captures: &mut (),
        failure: Failure,
    ) -> jni::errors::Result<T> {
        if !env.exception_check() {
            match failure {
                // Throwing reports its success as an error.
                Failure::Thrown(exception) => drop(env.throw(&exception)),
                Failure::Build(error) => throw(env, error.kind(), &error.to_string()),
                Failure::Pending => throw(env, ErrorKind::Internal, "a Java exception was lost"),
            }
        }
        Ok(T::default())
    }

    fn on_panic<'unowned: 'method, 'method>(
        env: &mut Env<'unowned>,
        _captures: &mut (),
        payload: Box<dyn Any + Send>,
    ) -> jni::errors::Result<T> {
        if !env.exception_check() {
            throw(env, ErrorKind::Internal, &describe_panic(payload.as_ref(), PLACE.take()));
        }
        Ok(T::default())
    }
}

fn throw(env: &mut Env, kind: ErrorKind, message: &str) {
    let thrown = make_exception(env, kind, message).and_then(|exception| env.throw(&exception));
    if !env.exception_check() {
        let reason = thrown.err().map(|error| error.to_string()).unwrap_or_default();
        let text = format!("{message} (and no FaissIndexException could be made: {reason})");
        // Reports success of the throw as an error.
        let _ = env.throw_new(jni_str!("java/lang/RuntimeException"), JNIString::from(text));
    }
}

fn make_exception<'local>(
    env: &mut Env<'local>,
    kind: ErrorKind,
    message: &str,
) -> jni::errors::Result<JThrowable<'local>> {
    let class = THROWER.get().ok_or(Error::UninitializedJavaVM)?;
    let message = env.new_string(message)?;
    let exception = env
        .call_static_method(
            class,
            jni_str!("exception"),
            jni_sig!("(ILjava/lang/String;)Ljava/lang/RuntimeException;"),
            &[JValue::Int(kind.number()), JValue::Object(&message)],
        )?
        .l()?;
    env.cast_local::<JThrowable>(exception)
}

thread_local! {
    static PLACE: Cell<Option<String>> = const { Cell::new(None) };
}

/// Sends the text and place of every panic to the log, and keeps the place for the exception, where the panic is
/// not one of another thread.
pub(crate) fn remember_where_panics_happen() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        log::error!("{}", describe_panic(panic.payload(), place.clone()));
        PLACE.set(place);
    }));
}

fn describe_panic(payload: &(dyn Any + Send), place: Option<String>) -> String {
    let text = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a text");
    match place {
        Some(place) => format!("bug in native code: {text} ({place})"),
        None => format!("bug in native code: {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_panic_payload_become_text() {
        let formatted: Box<dyn Any + Send> = Box::new(format!("unlucky {}", 13));
        let literal: Box<dyn Any + Send> = Box::new("unlucky");
        let neither: Box<dyn Any + Send> = Box::new(13);
        for (payload, place, expected) in [
            (formatted, Some("a.rs:1:2".to_owned()), "bug in native code: unlucky 13 (a.rs:1:2)"),
            (literal, None, "bug in native code: unlucky"),
            (neither, None, "bug in native code: a panic without a text"),
        ] {
            assert_eq!(describe_panic(payload.as_ref(), place), expected);
        }
    }

    fn number_of(failure: &Failure) -> Option<i32> {
        match failure {
            Failure::Build(error) => Some(error.kind().number()),
            _ => None,
        }
    }

    #[test]
    fn failures_keep_the_numbers_that_java_knows() {
        let missing = StorageError::NotFound { uri: "/a".to_owned() };
        assert_eq!(number_of(&Failure::invalid("x")), Some(1));
        assert_eq!(number_of(&Failure::from(missing)), Some(6));
        assert_eq!(number_of(&Failure::from(Error::WrongObjectType)), Some(11));
        assert!(matches!(Failure::from(Error::JavaException), Failure::Pending));
    }
}
