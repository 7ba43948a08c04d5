//! Every native method of `NativeBridge`: arguments in, one call of the core, value out.

use std::num::NonZeroUsize;
use std::sync::{Arc, LazyLock};

use faiss_indexer_core::{self as core, RejectedRow, Stage, StageRequest};
use faiss_indexer_storage::{MemoryStorage, Storages};
use jni::objects::{JByteBuffer, JClass, JLongArray, JObject, JObjectArray, JString};
use jni::sys::{jint, jlong};
use jni::{Env, NativeMethod, native_method};

use crate::arguments::{count, direct, elements, pairs, text, texts, word};
use crate::exceptions::{Failure, Result, ThrowFaissIndexException};
use crate::stages::STAGES;
use crate::{HookStorage, log_records};

type Strings<'local> = JObjectArray<'local, JString<'local>>;

macro_rules! guarded {
    ($($signature:tt)*) => {
        native_method! { error_policy = ThrowFaissIndexException, $($signature)* }
    };
}

/// The table that `JNI_OnLoad` registers.
pub(crate) const METHODS: &[NativeMethod] = &[
    guarded! { static fn build_info() -> JString },
    guarded! { static fn check_build(spec: JString[], output: JString, files: JObject) -> void },
    guarded! { static fn start_build(name: JString, spec: JString[], output: JString, files: JObject) -> JString },
    guarded! { static fn plan_training(build: JString, receipts: JString[]) -> JString[] },
    guarded! {
        static fn task_memory(stage: JString, build: JString, receipts: JString[], threads: jint) -> jlong
    },
    guarded! {
        static fn open_stage(
            stage: JString,
            build: JString,
            receipts: JString[],
            partition: jint,
            threads: jint,
            files: JObject
        ) -> jlong
    },
    guarded! {
        static fn append(stage: jlong, ids: java.nio.ByteBuffer, vectors: java.nio.ByteBuffer, rows: jint) -> void
    },
    guarded! { static fn reject(stage: jlong, reason: jint, id: jlong, dimension: jint) -> void },
    guarded! { static fn finish(stage: jlong) -> JString },
    guarded! { static fn bad_rows(receipt: JString) -> JString[] },
    guarded! { static fn progress(stage: jlong) -> jlong[] },
    guarded! { static fn cancel(stage: jlong) -> void },
    guarded! { static fn close(stage: jlong) -> void },
    guarded! { static fn publish(build: JString, receipts: JString[], files: JObject) -> JString[] },
    guarded! { static fn published(output: JString, files: JObject) -> JString[] },
    guarded! { static fn abandon(name: JString, output: JString, files: JObject) -> bool },
    guarded! { static fn check_groups(spec: JString[], output: JString, files: JObject) -> void },
    guarded! {
        static fn start_groups(
            name: JString,
            spec: JString[],
            output: JString,
            groups: JString[],
            files: JObject
        ) -> void
    },
    guarded! {
        static fn publish_groups(
            name: JString,
            spec: JString[],
            output: JString,
            groups: JString[],
            files: JObject
        ) -> void
    },
    guarded! { static fn end_groups(name: JString, output: JString, files: JObject) -> void },
    guarded! { static fn published_groups(output: JString, files: JObject) -> JString[] },
    guarded! { static fn take_logs() -> JString[] },
    guarded! { static fn raise(fault: JString) -> void },
];

fn build_info<'local>(env: &mut Env<'local>, _class: JClass<'local>) -> Result<JString<'local>> {
    Ok(env.new_string(core::build_info())?)
}

fn check_build<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    spec: Strings<'local>,
    output: JString<'local>,
    files: JObject<'local>,
) -> Result<()> {
    let spec = pairs(env, &spec, "spec")?;
    let output = text(env, &output, "output")?;
    Ok(core::check_build(&spec, &output, &storages(env, &files)?)?)
}

fn start_build<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    name: JString<'local>,
    spec: Strings<'local>,
    output: JString<'local>,
    files: JObject<'local>,
) -> Result<JString<'local>> {
    let name = text(env, &name, "name")?;
    let spec = pairs(env, &spec, "spec")?;
    let output = text(env, &output, "output")?;
    let build = core::start_named_build(&name, &spec, &output, &storages(env, &files)?)?;
    Ok(env.new_string(build)?)
}

fn plan_training<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    build: JString<'local>,
    receipts: Strings<'local>,
) -> Result<Strings<'local>> {
    let build = text(env, &build, "build")?;
    let receipts = texts(env, &receipts, "receipts")?;
    let decision = core::plan_training(&build, &receipts)?;
    let core::TrainingDecision { build, resample, notes, merge_tasks, assemble_tasks, evaluates } = decision;
    let facts = [
        ("build", build),
        ("resample", resample.to_string()),
        ("notes", notes.join("\n")),
        ("mergeTasks", merge_tasks.to_string()),
        ("assembleTasks", assemble_tasks.to_string()),
        ("evaluates", evaluates.to_string()),
    ];
    strings(env, facts.into_iter().flat_map(|(key, value)| [key.to_owned(), value]))
}

fn task_memory<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    stage: JString<'local>,
    build: JString<'local>,
    receipts: Strings<'local>,
    threads: jint,
) -> Result<jlong> {
    let kind = word(env, &stage, "stage")?;
    let build = text(env, &build, "build")?;
    let receipts = texts(env, &receipts, "receipts")?;
    let bytes = core::task_memory(kind, &build, &receipts, count(threads, "threads")?)?;
    Ok(jlong::try_from(bytes).unwrap_or(jlong::MAX))
}

#[allow(clippy::too_many_arguments, reason = "the signature is Java's")]
fn open_stage<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    stage: JString<'local>,
    build: JString<'local>,
    receipts: Strings<'local>,
    partition: jint,
    threads: jint,
    files: JObject<'local>,
) -> Result<jlong> {
    let threads: usize = count(threads, "threads")?;
    let request = StageRequest {
        kind: word(env, &stage, "stage")?,
        build: text(env, &build, "build")?,
        receipts: texts(env, &receipts, "receipts")?,
        partition: count(partition, "partition")?,
        threads: NonZeroUsize::new(threads).ok_or_else(|| Failure::invalid("threads must be at least 1"))?.get(),
        storages: storages(env, &files)?,
    };
    Ok(STAGES.insert(Stage::open(request)?))
}

fn append<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    stage: jlong,
    ids: JByteBuffer<'local>,
    vectors: JByteBuffer<'local>,
    rows: jint,
) -> Result<()> {
    let stage = STAGES.get(stage)?;
    let rows = count(rows, "rows")?;
    let ids = direct(env, &ids, rows, "ids")?;
    let vectors = direct(env, &vectors, elements(rows, stage.dimension())?, "vectors")?;
    Ok(stage.append(ids, vectors)?)
}

fn reject<'local>(
    _env: &mut Env<'local>,
    _class: JClass<'local>,
    stage: jlong,
    reason: jint,
    id: jlong,
    dimension: jint,
) -> Result<()> {
    let row = match reason {
        1 => RejectedRow::NullId,
        2 => RejectedRow::NullEmbedding { id },
        3 => RejectedRow::WrongDimension { id, dimension: count(dimension, "dimension")? },
        4 => RejectedRow::NullComponent { id },
        other => return Err(Failure::invalid(format!("reason {other} is unknown"))),
    };
    Ok(STAGES.get(stage)?.reject(row)?)
}

fn finish<'local>(env: &mut Env<'local>, _class: JClass<'local>, stage: jlong) -> Result<JString<'local>> {
    let receipt = STAGES.get(stage)?.finish()?;
    Ok(env.new_string(receipt)?)
}

fn bad_rows<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    receipt: JString<'local>,
) -> Result<Strings<'local>> {
    let kinds = core::bad_rows(&text(env, &receipt, "receipt")?)?;
    strings(env, kinds.into_iter().flat_map(|(kind, rows)| [kind.to_owned(), rows.to_string()]))
}

fn progress<'local>(env: &mut Env<'local>, _class: JClass<'local>, stage: jlong) -> Result<JLongArray<'local>> {
    let progress = STAGES.get(stage)?.progress();
    let values = [progress.rows, progress.bytes].map(|value| jlong::try_from(value).unwrap_or(jlong::MAX));
    let array = env.new_long_array(values.len())?;
    array.set_region(env, 0, &values)?;
    Ok(array)
}

fn cancel<'local>(_env: &mut Env<'local>, _class: JClass<'local>, stage: jlong) -> Result<()> {
    STAGES.get(stage)?.cancel();
    Ok(())
}

fn close<'local>(_env: &mut Env<'local>, _class: JClass<'local>, stage: jlong) -> Result<()> {
    if let Some(stage) = STAGES.remove(stage) {
        // A call that another thread is inside keeps the stage; nobody waits for its result.
        stage.cancel();
    }
    Ok(())
}

fn publish<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    build: JString<'local>,
    receipts: Strings<'local>,
    files: JObject<'local>,
) -> Result<Strings<'local>> {
    let build = text(env, &build, "build")?;
    let receipts = texts(env, &receipts, "receipts")?;
    let facts = core::publish(&build, &receipts, &storages(env, &files)?)?;
    strings(env, facts.into_iter().flat_map(|(key, value)| [key, value]))
}

fn published<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    output: JString<'local>,
    files: JObject<'local>,
) -> Result<Strings<'local>> {
    let output = text(env, &output, "output")?;
    let facts = core::published(&output, &storages(env, &files)?)?;
    strings(env, facts.into_iter().flat_map(|(key, value)| [key, value]))
}

fn abandon<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    name: JString<'local>,
    output: JString<'local>,
    files: JObject<'local>,
) -> Result<bool> {
    let name = text(env, &name, "name")?;
    let output = text(env, &output, "output")?;
    Ok(core::abandon_named_build(&name, &output, &storages(env, &files)?)?)
}

fn check_groups<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    spec: Strings<'local>,
    output: JString<'local>,
    files: JObject<'local>,
) -> Result<()> {
    let spec = pairs(env, &spec, "spec")?;
    let output = text(env, &output, "output")?;
    Ok(core::check_groups(&spec, &output, &storages(env, &files)?)?)
}

fn start_groups<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    name: JString<'local>,
    spec: Strings<'local>,
    output: JString<'local>,
    groups: Strings<'local>,
    files: JObject<'local>,
) -> Result<()> {
    let name = text(env, &name, "name")?;
    let spec = pairs(env, &spec, "spec")?;
    let output = text(env, &output, "output")?;
    let groups = texts(env, &groups, "groups")?;
    Ok(core::start_groups(&name, &spec, &output, &groups, &storages(env, &files)?)?)
}

fn publish_groups<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    name: JString<'local>,
    spec: Strings<'local>,
    output: JString<'local>,
    groups: Strings<'local>,
    files: JObject<'local>,
) -> Result<()> {
    let name = text(env, &name, "name")?;
    let spec = pairs(env, &spec, "spec")?;
    let output = text(env, &output, "output")?;
    let groups = texts(env, &groups, "groups")?;
    Ok(core::publish_groups(&name, &spec, &output, &groups, &storages(env, &files)?)?)
}

fn end_groups<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    name: JString<'local>,
    output: JString<'local>,
    files: JObject<'local>,
) -> Result<()> {
    let name = text(env, &name, "name")?;
    let output = text(env, &output, "output")?;
    Ok(core::end_groups(&name, &output, &storages(env, &files)?)?)
}

fn published_groups<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    output: JString<'local>,
    files: JObject<'local>,
) -> Result<Strings<'local>> {
    let output = text(env, &output, "output")?;
    strings(env, core::published_groups(&output, &storages(env, &files)?)?)
}

fn take_logs<'local>(env: &mut Env<'local>, _class: JClass<'local>) -> Result<Strings<'local>> {
    strings(env, log_records::take())
}

fn raise<'local>(env: &mut Env<'local>, _class: JClass<'local>, fault: JString<'local>) -> Result<()> {
    Ok(core::raise(word(env, &fault, "fault")?)?)
}

static MEMORY: LazyLock<Arc<MemoryStorage>> = LazyLock::new(Arc::default);

/// The backends of one call; `files` may be null.
fn storages(env: &Env, files: &JObject) -> Result<Storages> {
    let memory: Arc<MemoryStorage> = Arc::clone(&MEMORY);
    let storages = Storages::new().with_memory(memory);
    Ok(match files.is_null() {
        true => storages,
        false => storages.with_hook(Arc::new(HookStorage::new(env, files)?)),
    })
}

fn strings<'local>(env: &mut Env<'local>, values: impl IntoIterator<Item = String>) -> Result<Strings<'local>> {
    let values: Vec<String> = values.into_iter().collect();
    let array = env.new_object_type_array::<JString>(values.len(), JString::null())?;
    for (index, value) in values.into_iter().enumerate() {
        let value = env.new_string(value)?;
        array.set_element(env, index, &value)?;
        env.delete_local_ref(value);
    }
    Ok(array)
}
