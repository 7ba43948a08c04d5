//! What a Java exception of a file system means.

use faiss_indexer_storage::StorageError;
use jni::Env;
use jni::errors::Error;
use jni::objects::{JClass, JString, JThrowable};
use jni::{jni_sig, jni_str};

/// Causes of causes that a text names at most; a chain may be a circle.
const CAUSES: usize = 8;

/// Clears the exception that a failed call left, if it did, and tells it apart by its class and those above.
pub(crate) fn storage_error(env: &mut Env, failure: Error, operation: &'static str, uri: &str) -> StorageError {
    let uri = uri.to_owned();
    let described = match failure {
        Error::JavaException => taken(env).and_then(|thrown| describe(env, thrown)),
        Error::CaughtJavaException { exception, .. } => {
            env.new_local_ref(&exception).and_then(|thrown| describe(env, thrown))
        }
        other => Err(other),
    };
    match described {
        Ok(Thrown { meaning, text }) => match meaning {
            Meaning::NotFound => StorageError::NotFound { uri },
            Meaning::AlreadyExists => StorageError::AlreadyExists { uri },
            Meaning::PermissionDenied => StorageError::PermissionDenied { uri, message: text },
            Meaning::Other => StorageError::Io { operation, uri, message: text },
        },
        Err(other) => {
            env.exception_clear();
            StorageError::Io { operation, uri, message: format!("JNI: {other}") }
        }
    }
}

struct Thrown {
    meaning: Meaning,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    NotFound,
    AlreadyExists,
    PermissionDenied,
    Other,
}

/// Class names without their package: Hadoop has its own of several that java.nio has too.
fn meaning_of(class_name: &str) -> Option<Meaning> {
    let simple_name = class_name.rsplit(['.', '$']).next().unwrap_or(class_name);
    match simple_name {
        "FileNotFoundException" | "NoSuchFileException" => Some(Meaning::NotFound),
        "FileAlreadyExistsException" => Some(Meaning::AlreadyExists),
        "AccessControlException" | "AccessDeniedException" => Some(Meaning::PermissionDenied),
        _ => None,
    }
}

fn taken<'local>(env: &mut Env<'local>) -> Result<JThrowable<'local>, Error> {
    let thrown = env.exception_occurred();
    env.exception_clear();
    thrown.ok_or(Error::JavaException)
}

fn describe<'local>(env: &mut Env<'local>, thrown: JThrowable<'local>) -> Result<Thrown, Error> {
    let class = env.get_object_class(&thrown)?;
    let meaning = meaning_of_class(env, class)?;
    let mut texts = vec![text_of(env, &thrown)?];
    let mut current = thrown;
    while let Some(cause) = cause_of(env, &current)?.filter(|_| texts.len() < CAUSES) {
        texts.push(text_of(env, &cause)?);
        current = cause;
    }
    Ok(Thrown { meaning, text: texts.join("; caused by ") })
}

fn meaning_of_class<'local>(env: &mut Env<'local>, class: JClass<'local>) -> Result<Meaning, Error> {
    let mut next = Some(class);
    while let Some(class) = next {
        if let Some(meaning) = meaning_of(&name_of(env, &class)?) {
            return Ok(meaning);
        }
        next = env.get_superclass(&class)?;
    }
    Ok(Meaning::Other)
}

/// Class name and message, as Java's own `toString` has it.
fn text_of(env: &mut Env, thrown: &JThrowable) -> Result<String, Error> {
    let text =
        env.call_method(thrown, jni_str!("toString"), jni_sig!("()Ljava/lang/String;"), &[]).and_then(|text| text.l());
    match text {
        Ok(text) if !text.is_null() => env.cast_local::<JString>(text)?.try_to_string(env),
        _ => {
            env.exception_clear();
            let class = env.get_object_class(thrown)?;
            name_of(env, &class)
        }
    }
}

fn name_of(env: &mut Env, class: &JClass) -> Result<String, Error> {
    let name = env.call_method(class, jni_str!("getName"), jni_sig!("()Ljava/lang/String;"), &[])?.l()?;
    env.cast_local::<JString>(name)?.try_to_string(env)
}

fn cause_of<'local>(env: &mut Env<'local>, thrown: &JThrowable) -> Result<Option<JThrowable<'local>>, Error> {
    let cause = env.call_method(thrown, jni_str!("getCause"), jni_sig!("()Ljava/lang/Throwable;"), &[])?.l()?;
    match cause.is_null() {
        true => Ok(None),
        false => env.cast_local::<JThrowable>(cause).map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_are_told_apart_by_their_simple_names() {
        for (name, expected) in [
            ("java.io.FileNotFoundException", Some(Meaning::NotFound)),
            ("java.nio.file.NoSuchFileException", Some(Meaning::NotFound)),
            ("java.nio.file.FileAlreadyExistsException", Some(Meaning::AlreadyExists)),
            ("org.apache.hadoop.fs.FileAlreadyExistsException", Some(Meaning::AlreadyExists)),
            ("org.apache.hadoop.security.AccessControlException", Some(Meaning::PermissionDenied)),
            ("java.nio.file.AccessDeniedException", Some(Meaning::PermissionDenied)),
            ("com.example.Outer$AccessDeniedException", Some(Meaning::PermissionDenied)),
            ("java.io.IOException", None),
            ("java.lang.OutOfMemoryError", None),
        ] {
            assert_eq!(meaning_of(name), expected, "{name}");
        }
    }
}
