use std::ffi::c_void;
use std::panic::catch_unwind;

use faiss_indexer_core::set_scratch_directory;
use jni::objects::{JClass, JString};
use jni::strings::JNIString;
use jni::sys::{JNI_ERR, JNI_VERSION_1_8, jint};
use jni::{Env, JValue, JavaVM, jni_sig, jni_str};

use crate::{exceptions, exports, log_records, processor};

const CLASS_PROPERTY: &str = "io.faissindexer.native.class";
/// Where a JVM puts temporary files; inside a container of YARN, a directory that goes when the container ends.
const TEMPORARY_PROPERTY: &str = "java.io.tmpdir";

/// Called by the JVM when the library is loaded; registers every native method.
///
/// Where that cannot be done, it throws an `UnsatisfiedLinkError` that says why, and refuses the library.
///
/// # Safety
/// `vm` is the running JVM, and this thread belongs to it.
#[unsafe(no_mangle)]
#[allow(non_snake_case, reason = "the JVM looks for this name")]
pub unsafe extern "system" fn JNI_OnLoad(vm: *mut jni::sys::JavaVM, _reserved: *mut c_void) -> jint {
    let loaded = catch_unwind(|| {
        // SAFETY: the JVM passes itself.
        let vm = unsafe { JavaVM::from_raw(vm) };
        vm.with_local_frame(16, |env| -> jni::errors::Result<bool> {
            let Err(reason) = load(env) else {
                return Ok(true);
            };
            if !env.exception_check() {
                // Reports success of the throw as an error.
                let _ = env.throw_new(jni_str!("java/lang/UnsatisfiedLinkError"), JNIString::from(reason));
            }
            Ok(false)
        })
    });
    match loaded {
        Ok(Ok(true)) => JNI_VERSION_1_8,
        _ => JNI_ERR,
    }
}

fn load(env: &mut Env) -> Result<(), String> {
    let missing = processor::missing_features();
    if !missing.is_empty() {
        return Err(format!(
            "this processor lacks {}; faiss-indexer needs a processor with AVX2 (x86-64-v3)",
            missing.join(", ")
        ));
    }
    let name = class_name(env)?;
    let failed = |error: jni::errors::Error| format!("cannot register the native methods of {name}: {error}");
    let class = env.find_class(JNIString::from(name.replace('.', "/"))).map_err(failed)?;
    register(env, &class).map_err(failed)?;
    if let Some(directory) = system_property(env, TEMPORARY_PROPERTY)?.filter(|directory| !directory.is_empty()) {
        set_scratch_directory(directory.into());
    }
    log_records::install();
    exceptions::remember_where_panics_happen();
    Ok(())
}

fn class_name(env: &mut Env) -> Result<String, String> {
    system_property(env, CLASS_PROPERTY)?
        .ok_or_else(|| format!("the system property {CLASS_PROPERTY} does not name the class to register with"))
}

fn system_property(env: &mut Env, name: &str) -> Result<Option<String>, String> {
    let property = |env: &mut Env| -> jni::errors::Result<Option<String>> {
        let key = env.new_string(name)?;
        let value = env
            .call_static_method(
                jni_str!("java/lang/System"),
                jni_str!("getProperty"),
                jni_sig!("(Ljava/lang/String;)Ljava/lang/String;"),
                &[JValue::Object(&key)],
            )?
            .l()?;
        if value.is_null() {
            return Ok(None);
        }
        env.cast_local::<JString>(value)?.try_to_string(env).map(Some)
    };
    property(env).map_err(|error| format!("cannot read the system property {name}: {error}"))
}

fn register(env: &mut Env, class: &JClass) -> jni::errors::Result<()> {
    // SAFETY: every entry of the table is made by native_method!, which derives signature and function from one text.
    unsafe { env.register_native_methods(class, exports::METHODS)? };
    exceptions::throw_with(env, class)
}
