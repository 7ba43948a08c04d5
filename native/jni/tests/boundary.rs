//! The boundary with a real JVM in this process. The test starts itself again with `-Xcheck:jni` and fails on
//! anything that the JVM then complains of.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests report by panicking, and this one without a harness"
)]

use std::env;
use std::process::Command;

use faiss_indexer::{HookStorage, JNI_OnLoad};
use faiss_indexer_storage::{Storage, StorageError, conformance};
use jni::objects::{JByteBuffer, JObject, JObjectArray, JString, JThrowable};
use jni::strings::JNIStr;
use jni::sys::{JNI_VERSION_1_8, jint, jlong};
use jni::{Env, InitArgsBuilder, JNIVersion, JValue, JValueOwned, JavaVM, jni_sig, jni_str};

const CLASS_PATH: &str = "FAISS_INDEXER_TEST_CLASSPATH";
const INSIDE: &str = "FAISS_INDEXER_TEST_IN_JVM";
const BRIDGE: &JNIStr = jni_str!("io/faissindexer/internal/NativeBridge");
const COMPLAINTS: [&str; 3] = ["WARNING in native method", "FATAL ERROR in native method", "WARNING: JNI"];

fn main() {
    let class_path = env::var(CLASS_PATH).unwrap_or_else(|_| {
        panic!("{CLASS_PATH} must be the class path of jvm/core, jvm/hadoop and Hadoop; `make test-rust` sets it")
    });
    if env::var_os(INSIDE).is_some() {
        return with_a_jvm(&class_path);
    }
    let inside = Command::new(env::current_exe().unwrap()).env(INSIDE, "1").output().unwrap();
    let printed = String::from_utf8_lossy(&[inside.stdout, inside.stderr].concat()).into_owned();
    assert!(inside.status.success(), "{}\n{printed}", inside.status);
    for complaint in COMPLAINTS {
        assert!(!printed.contains(complaint), "the JVM complains:\n{printed}");
    }
    print!("{printed}");
}

type Test = fn(&mut Env);

fn with_a_jvm(class_path: &str) {
    let arguments = InitArgsBuilder::new()
        .version(JNIVersion::V1_8)
        .option("-Xcheck:jni")
        .option(format!("-Djava.class.path={class_path}"))
        .option("-Dio.faissindexer.native.class=io.faissindexer.internal.NativeBridge")
        .build()
        .unwrap();
    let vm = JavaVM::new(arguments).unwrap();
    let tests: [(&str, Test); 9] = [
        ("native methods register with the class of the property", native_methods_register),
        ("hook storage conforms", hook_storage_conforms),
        ("hook storage refuses threads that are not of the JVM", hook_storage_refuses_foreign_threads),
        ("a failing hook is told apart and keeps its text", a_failing_hook_keeps_its_text),
        ("errors and panics become exceptions of their kind", errors_and_panics_become_exceptions),
        ("null and incomplete arguments are named", null_and_incomplete_arguments_are_named),
        ("an unsuitable buffer is refused with the reason", an_unsuitable_buffer_is_refused),
        ("a stale handle is closed everywhere but in close", a_stale_handle_is_closed),
        ("a panic reaches the log with its place", a_panic_reaches_the_log),
    ];
    for (name, test) in tests {
        vm.attach_current_thread(|env| -> jni::errors::Result<()> {
            test(env);
            assert!(!env.exception_check(), "{name}: an exception is left pending");
            Ok(())
        })
        .unwrap();
        println!("test {name} ... ok");
    }
}

fn native_methods_register(env: &mut Env) {
    let vm = env.get_java_vm().unwrap();
    // SAFETY: the pointer is that of the running JVM, and this thread is attached to it.
    let version = unsafe { JNI_OnLoad(vm.get_raw(), std::ptr::null_mut()) };
    assert_eq!(version, JNI_VERSION_1_8);
    let info = bridge(env, jni_str!("buildInfo"), "()Ljava/lang/String;", &[]).unwrap();
    assert!(string(env, info).starts_with("faiss-indexer "));
}

fn hook_storage_conforms(env: &mut Env) {
    let directory = tempfile::tempdir().unwrap();
    let storage = hadoop_storage(env);
    for prefix in ["file:", "file://"] {
        conformance::run(&storage, &format!("{prefix}{}/root", directory.path().display()));
    }
}

fn hook_storage_refuses_foreign_threads(env: &mut Env) {
    let storage = hadoop_storage(env);
    let answer = std::thread::scope(|scope| scope.spawn(|| storage.stat("file:/tmp")).join().unwrap());
    assert!(matches!(answer, Err(StorageError::Io { .. })), "{answer:?}");
}

fn a_failing_hook_keeps_its_text(env: &mut Env) {
    let storage = hadoop_storage(env);
    let error = storage.stat("nosuchscheme://node/x").unwrap_err();
    let StorageError::Io { operation: "look up", uri, message } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(uri, "nosuchscheme://node/x");
    assert!(message.starts_with("org.apache.hadoop.fs.UnsupportedFileSystemException: "), "{message}");
    assert!(message.contains("nosuchscheme"), "{message}");
}

fn errors_and_panics_become_exceptions(env: &mut Env) {
    for (fault, kind, text) in [
        ("panic", "INTERNAL", "bug in native code: "),
        ("error", "STORAGE", "an error was asked for"),
        ("faiss", "FAISS", "Faiss: "),
        ("nonsense", "INVALID_SPEC", "unknown fault 'nonsense'"),
    ] {
        let fault = env.new_string(fault).unwrap();
        let arguments = [JValue::Object(&fault)];
        let raised = bridge(env, jni_str!("raise"), "(Ljava/lang/String;)V", &arguments);
        let (raised_kind, message) = thrown(env, raised);
        assert_eq!(raised_kind, kind, "{message}");
        assert!(message.starts_with(text) && message.len() > text.len() || message == text, "{message}");
    }
}

fn null_and_incomplete_arguments_are_named(env: &mut Env) {
    let null = JObject::null();
    let output = env.new_string("memory:/out").unwrap();
    let odd = strings(env, &["dimension"]);
    let with_null = env.new_object_type_array::<JString>(2, JString::null()).unwrap();
    for (spec, output, expected) in [
        (&null, JObject::null(), "spec must not be null"),
        (&*odd, JObject::null(), "spec has no value for the key 'dimension'"),
        (&*with_null, output.into(), "spec[0] must not be null"),
    ] {
        let started = start_build(env, spec, &output);
        assert_eq!(thrown(env, started), ("INVALID_SPEC".to_owned(), expected.to_owned()));
    }
}

fn an_unsuitable_buffer_is_refused(env: &mut Env) {
    let stage = sample_stage(env);
    let ids = buffer(env, jni_str!("allocateDirect"), 2 * 8);
    let vectors = buffer(env, jni_str!("allocateDirect"), 2 * 4 * 4);
    let heap = buffer(env, jni_str!("allocate"), 64);
    let crooked = misaligned(env, 64);
    let null = JByteBuffer::null();
    for (ids, vectors, rows, expected) in [
        (&null, &vectors, 1, "the buffer of ids must not be null"),
        (&ids, &heap, 1, "the buffer of vectors must be direct"),
        (&ids, &vectors, -1, "rows must not be negative, but is -1"),
        (&ids, &vectors, 3, "the buffer of ids has 16 bytes, too few for 3 elements of 8 bytes"),
        (&ids, &ids, 2, "the buffer of vectors has 16 bytes, too few for 8 elements of 4 bytes"),
        (&ids, &crooked, 1, "the buffer of vectors is not aligned to its elements"),
    ] {
        let appended = append(env, stage, ids, vectors, rows);
        assert_eq!(thrown(env, appended), ("INVALID_SPEC".to_owned(), expected.to_owned()));
    }
    append(env, stage, &ids, &vectors, 0).unwrap();
    append(env, stage, &ids, &vectors, 2).unwrap();
    bridge(env, jni_str!("close"), "(J)V", &[JValue::Long(stage)]).unwrap();
}

fn a_stale_handle_is_closed(env: &mut Env) {
    let stage = sample_stage(env);
    for _ in 0..2 {
        bridge(env, jni_str!("close"), "(J)V", &[JValue::Long(stage)]).unwrap();
    }
    let ids = buffer(env, jni_str!("allocateDirect"), 8);
    let vectors = buffer(env, jni_str!("allocateDirect"), 4 * 4);
    for stale in [stage, 0, -1, jlong::MAX] {
        let appended = append(env, stale, &ids, &vectors, 1);
        assert_eq!(thrown(env, appended).0, "CLOSED");
        let row = [JValue::Long(stale), JValue::Int(1), JValue::Long(0), JValue::Int(0)];
        let rejected = bridge(env, jni_str!("reject"), "(JIJI)V", &row);
        assert_eq!(thrown(env, rejected).0, "CLOSED");
        for (method, signature) in [
            (jni_str!("finish"), "(J)Ljava/lang/String;"),
            (jni_str!("progress"), "(J)[J"),
            (jni_str!("cancel"), "(J)V"),
        ] {
            let called = bridge(env, method, signature, &[JValue::Long(stale)]);
            let (kind, message) = thrown(env, called);
            assert_eq!(kind, "CLOSED", "{message}");
        }
        bridge(env, jni_str!("close"), "(J)V", &[JValue::Long(stale)]).unwrap();
    }
}

fn a_panic_reaches_the_log(env: &mut Env) {
    bridge(env, jni_str!("takeLogs"), "()[Ljava/lang/String;", &[]).unwrap();
    let fault = env.new_string("panic").unwrap();
    let raised = bridge(env, jni_str!("raise"), "(Ljava/lang/String;)V", &[JValue::Object(&fault)]);
    let (_, message) = thrown(env, raised);
    let logs = bridge(env, jni_str!("takeLogs"), "()[Ljava/lang/String;", &[]).unwrap().l().unwrap();
    let logs = env.cast_local::<JObjectArray<JString>>(logs).unwrap();
    let logged: Vec<String> = (0..logs.len(env).unwrap())
        .map(|index| logs.get_element(env, index).unwrap().try_to_string(env).unwrap())
        .collect();
    assert_eq!((logged.len(), logged[0].as_str(), &logged[2]), (3, "ERROR", &message));
    assert!(message.contains(".rs:"), "{message}");
}

/// A stage `sample` of a build of dimension 4 into memory.
fn start_build<'local>(
    env: &mut Env<'local>,
    spec: &JObject,
    output: &JObject,
) -> jni::errors::Result<JValueOwned<'local>> {
    let name = env.new_string("build").unwrap();
    let signature = "(Ljava/lang/String;[Ljava/lang/String;Ljava/lang/String;Ljava/lang/Object;)Ljava/lang/String;";
    let null = JObject::null();
    let arguments = [JValue::Object(&name), JValue::Object(spec), JValue::Object(output), JValue::Object(&null)];
    bridge(env, jni_str!("startBuild"), signature, &arguments)
}

fn sample_stage(env: &mut Env) -> jlong {
    let null = JObject::null();
    let spec = strings(env, &["dimension", "4", "factoryString", "Flat", "overwrite", "true"]);
    let output = env.new_string("memory:/out").unwrap();
    let build = start_build(env, &spec, &output).unwrap().l().unwrap();
    let stage = env.new_string("sample").unwrap();
    let receipts = strings(env, &[]);
    let arguments = [
        JValue::Object(&stage),
        JValue::Object(&build),
        JValue::Object(&receipts),
        JValue::Int(0),
        JValue::Int(1),
        JValue::Object(&null),
    ];
    let signature = "(Ljava/lang/String;Ljava/lang/String;[Ljava/lang/String;IILjava/lang/Object;)J";
    bridge(env, jni_str!("openStage"), signature, &arguments).unwrap().j().unwrap()
}

fn append<'local>(
    env: &mut Env<'local>,
    stage: jlong,
    ids: &JByteBuffer,
    vectors: &JByteBuffer,
    rows: jint,
) -> jni::errors::Result<JValueOwned<'local>> {
    let arguments = [JValue::Long(stage), JValue::Object(ids), JValue::Object(vectors), JValue::Int(rows)];
    bridge(env, jni_str!("append"), "(JLjava/nio/ByteBuffer;Ljava/nio/ByteBuffer;I)V", &arguments)
}

fn buffer<'local>(env: &mut Env<'local>, maker: &JNIStr, bytes: jint) -> JByteBuffer<'local> {
    let signature = jni_sig!("(I)Ljava/nio/ByteBuffer;");
    let made =
        env.call_static_method(jni_str!("java/nio/ByteBuffer"), maker, signature, &[JValue::Int(bytes)]).unwrap();
    let made = made.l().unwrap();
    env.cast_local::<JByteBuffer>(made).unwrap()
}

fn misaligned<'local>(env: &mut Env<'local>, bytes: jint) -> JByteBuffer<'local> {
    let whole = buffer(env, jni_str!("allocateDirect"), bytes);
    env.call_method(&whole, jni_str!("position"), jni_sig!("(I)Ljava/nio/Buffer;"), &[JValue::Int(1)]).unwrap();
    let slice = env.call_method(&whole, jni_str!("slice"), jni_sig!("()Ljava/nio/ByteBuffer;"), &[]).unwrap();
    let slice = slice.l().unwrap();
    env.cast_local::<JByteBuffer>(slice).unwrap()
}

fn hadoop_storage(env: &mut Env) -> HookStorage {
    let configuration = env.new_object(jni_str!("org/apache/hadoop/conf/Configuration"), jni_sig!("()V"), &[]).unwrap();
    let hook = env
        .new_object(
            jni_str!("io/faissindexer/hadoop/HadoopFileSystemHook"),
            jni_sig!("(Lorg/apache/hadoop/conf/Configuration;)V"),
            &[JValue::Object(&configuration)],
        )
        .unwrap();
    HookStorage::new(env, &hook).unwrap()
}

fn bridge<'local>(
    env: &mut Env<'local>,
    method: &JNIStr,
    signature: &str,
    arguments: &[JValue],
) -> jni::errors::Result<JValueOwned<'local>> {
    let signature = jni::signature::RuntimeMethodSignature::from_str(signature)?;
    env.call_static_method(BRIDGE, method, signature.method_signature(), arguments)
}

fn strings<'local>(env: &mut Env<'local>, values: &[&str]) -> JObjectArray<'local, JString<'local>> {
    let array = env.new_object_type_array::<JString>(values.len(), JString::null()).unwrap();
    for (index, value) in values.iter().enumerate() {
        let value = env.new_string(value).unwrap();
        array.set_element(env, index, &value).unwrap();
    }
    array
}

fn string<'local>(env: &mut Env<'local>, value: JValueOwned<'local>) -> String {
    let value = value.l().unwrap();
    env.cast_local::<JString>(value).unwrap().try_to_string(env).unwrap()
}

/// Kind and message of the FaissIndexException that a call has thrown.
fn thrown(env: &mut Env, called: jni::errors::Result<JValueOwned>) -> (String, String) {
    assert!(matches!(called, Err(jni::errors::Error::JavaException)), "{called:?}");
    let exception: JThrowable = env.exception_occurred().unwrap();
    env.exception_clear();
    let message = env.call_method(&exception, jni_str!("getMessage"), jni_sig!("()Ljava/lang/String;"), &[]).unwrap();
    let message = string(env, message);
    let signature = jni_sig!("()Lio/faissindexer/FaissIndexException$Kind;");
    let kind = env.call_method(&exception, jni_str!("kind"), signature, &[]).unwrap().l().unwrap();
    let name = env.call_method(&kind, jni_str!("name"), jni_sig!("()Ljava/lang/String;"), &[]).unwrap();
    (string(env, name), message)
}
