//! The methods of the Java interface FileSystemHook, called on the JVM thread that is inside a native method.

use std::sync::{Mutex, PoisonError};

use faiss_indexer_storage::{FileStatus, Result, StorageError};
use jni::errors::Error;
use jni::objects::{JByteArray, JLongArray, JObject, JObjectArray, JString};
use jni::refs::Global;
use jni::signature::MethodSignature;
use jni::strings::JNIStr;
use jni::sys::{jbyte, jint, jlong};
use jni::{Env, JValue, JValueOwned, JavaVM, jni_sig, jni_str};

use crate::hook_failures::storage_error;

const LOCAL_REFERENCES: usize = 16;

/// A reference to a FileSystemHook.
#[derive(Debug)]
pub(crate) struct Hook {
    object: Global<JObject<'static>>,
    /// Carries the bytes of every stream of this hook: a stage calls it from one thread at a time.
    transfer: Mutex<Option<Global<JByteArray<'static>>>>,
}

/// Bytes that one call of a hook moves at most.
pub(crate) const CHUNK_BYTES: usize = 1 << 20;

impl Hook {
    pub(crate) fn new(env: &Env, object: &JObject) -> jni::errors::Result<Self> {
        Ok(Self { object: env.new_global_ref(object)?, transfer: Mutex::new(None) })
    }

    pub(crate) fn status(&self, uri: &str) -> Result<Option<FileStatus>> {
        self.call("look up", uri, |env, hook| {
            let found = hook.about(env, jni_str!("status"), jni_sig!("(Ljava/lang/String;)[J"), uri)?.l()?;
            if found.is_null() {
                return Ok(None);
            }
            let mut values = [0; 2];
            env.cast_local::<JLongArray>(found)?.get_region(env, 0, &mut values)?;
            let [length, directory] = values;
            let length = u64::try_from(length).map_err(|_| Error::ParseFailed(format!("length {length}")))?;
            Ok(Some(FileStatus { length, is_directory: directory == 1 }))
        })
    }

    pub(crate) fn list(&self, directory: &str) -> Result<Vec<String>> {
        self.call("list", directory, |env, hook| hook.strings_about(env, jni_str!("list"), directory))
    }

    pub(crate) fn open_for_reading(&self, uri: &str) -> Result<jlong> {
        self.call("open", uri, |env, hook| {
            hook.about(env, jni_str!("openForReading"), jni_sig!("(Ljava/lang/String;)J"), uri)?.j()
        })
    }

    /// Fills `bytes`, at most [`CHUNK_BYTES`], from a position of the file.
    pub(crate) fn read_fully(&self, uri: &str, stream: jlong, position: u64, bytes: &mut [u8]) -> Result<()> {
        self.call("read", uri, |env, hook| {
            let position = jlong::try_from(position).map_err(|_| Error::ParseFailed(position.to_string()))?;
            let length = array_length(bytes.len())?;
            hook.with_transfer(env, |env, buffer| {
                hook.invoke(
                    env,
                    jni_str!("readFully"),
                    jni_sig!("(JJ[BI)V"),
                    &[JValue::Long(stream), JValue::Long(position), JValue::Object(buffer), JValue::Int(length)],
                )?;
                buffer.get_region(env, 0, signed_mut(bytes))
            })
        })
    }

    pub(crate) fn create(&self, uri: &str, overwrite: bool) -> Result<jlong> {
        self.call("create", uri, |env, hook| {
            let name = env.new_string(uri)?;
            let signature = jni_sig!("(Ljava/lang/String;Z)J");
            hook.invoke(env, jni_str!("create"), signature, &[JValue::Object(&name), JValue::Bool(overwrite)])?.j()
        })
    }

    /// Appends `bytes`, at most [`CHUNK_BYTES`].
    pub(crate) fn write(&self, uri: &str, stream: jlong, bytes: &[u8]) -> Result<()> {
        self.call("write", uri, |env, hook| {
            let length = JValue::Int(array_length(bytes.len())?);
            hook.with_transfer(env, |env, buffer| {
                buffer.set_region(env, 0, signed(bytes))?;
                let arguments = [JValue::Long(stream), JValue::Object(buffer), length];
                hook.invoke(env, jni_str!("write"), jni_sig!("(J[BI)V"), &arguments)?.v()
            })
        })
    }

    pub(crate) fn close_stream(&self, uri: &str, stream: jlong) -> Result<()> {
        self.call("close", uri, |env, hook| {
            hook.invoke(env, jni_str!("closeStream"), jni_sig!("(J)V"), &[JValue::Long(stream)])?.v()
        })
    }

    pub(crate) fn abort_stream(&self, uri: &str, stream: jlong) -> Result<()> {
        self.call("abort", uri, |env, hook| {
            hook.invoke(env, jni_str!("abortStream"), jni_sig!("(J)V"), &[JValue::Long(stream)])?.v()
        })
    }

    pub(crate) fn make_directories(&self, uri: &str) -> Result<()> {
        self.call("make directory", uri, |env, hook| {
            hook.about(env, jni_str!("makeDirectories"), jni_sig!("(Ljava/lang/String;)V"), uri)?.v()
        })
    }

    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.call("rename to", to, |env, hook| {
            let (from, to) = (env.new_string(from)?, env.new_string(to)?);
            let signature = jni_sig!("(Ljava/lang/String;Ljava/lang/String;)V");
            hook.invoke(env, jni_str!("rename"), signature, &[JValue::Object(&from), JValue::Object(&to)])?.v()
        })
    }

    pub(crate) fn delete(&self, uri: &str) -> Result<bool> {
        self.call("delete", uri, |env, hook| {
            hook.about(env, jni_str!("delete"), jni_sig!("(Ljava/lang/String;)Z"), uri)?.z()
        })
    }

    pub(crate) fn can_concatenate(&self, directory: &str) -> Result<bool> {
        self.call("look up", directory, |env, hook| {
            hook.about(env, jni_str!("canConcatenate"), jni_sig!("(Ljava/lang/String;)Z"), directory)?.z()
        })
    }

    pub(crate) fn concatenate(&self, target: &str, sources: &[String]) -> Result<bool> {
        self.call("append to", target, |env, hook| {
            let name = env.new_string(target)?;
            let none = JString::null();
            let array = JObjectArray::<JString>::new(env, sources.len(), &none)?;
            for (at, source) in sources.iter().enumerate() {
                let source = env.new_string(source)?;
                array.set_element(env, at, &source)?;
                env.delete_local_ref(source);
            }
            let arguments = [JValue::Object(&name), JValue::Object(&array)];
            let signature = jni_sig!("(Ljava/lang/String;[Ljava/lang/String;)Z");
            hook.invoke(env, jni_str!("concatenate"), signature, &arguments)?.z()
        })
    }

    /// Keys and values in turn.
    pub(crate) fn hdfs_settings(&self, directory: &str) -> Result<Vec<String>> {
        self.call("look up", directory, |env, hook| hook.strings_about(env, jni_str!("hdfsSettings"), directory))
    }

    pub(crate) fn hdfs_user(&self, directory: &str) -> Result<Option<String>> {
        self.call("look up", directory, |env, hook| hook.string_about(env, jni_str!("hdfsUser"), directory))
    }

    pub(crate) fn hdfs_obstacle(&self, directory: &str) -> Result<Option<String>> {
        self.call("look up", directory, |env, hook| hook.string_about(env, jni_str!("hdfsObstacle"), directory))
    }

    fn with_transfer<'local, T>(
        &self,
        env: &mut Env<'local>,
        work: impl FnOnce(&mut Env<'local>, &JByteArray<'static>) -> jni::errors::Result<T>,
    ) -> jni::errors::Result<T> {
        // The array holds nothing between two calls, so one that a panic left behind is as good as any.
        let mut transfer = self.transfer.lock().unwrap_or_else(PoisonError::into_inner);
        let buffer = match &mut *transfer {
            Some(buffer) => buffer,
            none => {
                let array = env.new_byte_array(CHUNK_BYTES)?;
                none.insert(env.new_global_ref(array)?)
            }
        };
        work(env, buffer)
    }

    /// What a method returns that takes a string and returns an array of them.
    fn strings_about(&self, env: &mut Env, method: &JNIStr, uri: &str) -> jni::errors::Result<Vec<String>> {
        let returned = self.about(env, method, jni_sig!("(Ljava/lang/String;)[Ljava/lang/String;"), uri)?.l()?;
        let array = env.cast_local::<JObjectArray<JString>>(returned)?;
        (0..array.len(env)?)
            .map(|index| {
                let element = array.get_element(env, index)?;
                let copy = element.try_to_string(env);
                env.delete_local_ref(element);
                copy
            })
            .collect()
    }

    /// What a method returns that takes a string and returns another or null.
    fn string_about(&self, env: &mut Env, method: &JNIStr, uri: &str) -> jni::errors::Result<Option<String>> {
        let returned = self.about(env, method, jni_sig!("(Ljava/lang/String;)Ljava/lang/String;"), uri)?.l()?;
        if returned.is_null() {
            return Ok(None);
        }
        env.cast_local::<JString>(returned)?.try_to_string(env).map(Some)
    }

    /// A method whose one argument is a string.
    fn about<'local>(
        &self,
        env: &mut Env<'local>,
        method: &JNIStr,
        signature: MethodSignature,
        uri: &str,
    ) -> jni::errors::Result<JValueOwned<'local>> {
        let uri = env.new_string(uri)?;
        self.invoke(env, method, signature, &[JValue::Object(&uri)])
    }

    fn invoke<'local>(
        &self,
        env: &mut Env<'local>,
        method: &JNIStr,
        signature: MethodSignature,
        arguments: &[JValue],
    ) -> jni::errors::Result<JValueOwned<'local>> {
        env.call_method(&self.object, method, signature, arguments)
    }

    fn call<T>(
        &self,
        operation: &'static str,
        uri: &str,
        body: impl FnOnce(&mut Env, &Self) -> jni::errors::Result<T>,
    ) -> Result<T> {
        let called = JavaVM::singleton().and_then(|vm| {
            // Fails on a thread that is not of the JVM: those of native code have no business here.
            vm.with_local_frame(LOCAL_REFERENCES, |env| {
                Ok(body(env, self).map_err(|failure| storage_error(env, failure, operation, uri)))
            })
        });
        called.unwrap_or_else(|error: Error| {
            Err(StorageError::Io { operation, uri: uri.to_owned(), message: format!("JNI: {error}") })
        })
    }
}

fn array_length(length: usize) -> jni::errors::Result<jint> {
    jint::try_from(length).map_err(|_| Error::ParseFailed(format!("length {length}")))
}

fn signed(bytes: &[u8]) -> &[jbyte] {
    // SAFETY: u8 and i8 have the same size and alignment, and every bit pattern is a value of both.
    unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len()) }
}

fn signed_mut(bytes: &mut [u8]) -> &mut [jbyte] {
    // SAFETY: u8 and i8 have the same size and alignment, and every bit pattern is a value of both.
    unsafe { std::slice::from_raw_parts_mut(bytes.as_mut_ptr().cast(), bytes.len()) }
}
