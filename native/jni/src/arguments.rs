//! Arguments of native methods, checked and turned into what the core takes.

use std::mem::size_of;
use std::str::FromStr;

use faiss_indexer_core::BuildError;
use jni::Env;
use jni::objects::{JByteBuffer, JObjectArray, JString};
use jni::sys::jint;

use crate::exceptions::{Failure, Result};

/// A copy of a string that must not be null.
pub(crate) fn text(env: &Env, value: &JString, name: &str) -> Result<String> {
    if value.is_null() {
        return Err(Failure::invalid(format!("{name} must not be null")));
    }
    Ok(value.try_to_string(env)?)
}

/// Copies of the strings of an array; neither it nor they may be null.
pub(crate) fn texts<'local>(
    env: &mut Env<'local>,
    values: &JObjectArray<'local, JString<'local>>,
    name: &str,
) -> Result<Vec<String>> {
    if values.is_null() {
        return Err(Failure::invalid(format!("{name} must not be null")));
    }
    (0..values.len(env)?)
        .map(|index| {
            let element = values.get_element(env, index)?;
            let copy = text(env, &element, &format!("{name}[{index}]"));
            env.delete_local_ref(element);
            copy
        })
        .collect()
}

/// Pairs from an array of keys and values in turn.
pub(crate) fn pairs<'local>(
    env: &mut Env<'local>,
    values: &JObjectArray<'local, JString<'local>>,
    name: &str,
) -> Result<Vec<(String, String)>> {
    let mut texts = texts(env, values, name)?.into_iter();
    let mut pairs = Vec::with_capacity(texts.len() / 2);
    while let Some(key) = texts.next() {
        match texts.next() {
            Some(value) => pairs.push((key, value)),
            None => return Err(Failure::invalid(format!("{name} has no value for the key '{key}'"))),
        }
    }
    Ok(pairs)
}

/// One of the words that `T` knows.
pub(crate) fn word<T: FromStr<Err = BuildError>>(env: &Env, value: &JString, name: &str) -> Result<T> {
    Ok(text(env, value, name)?.parse()?)
}

/// A number that must not be negative.
pub(crate) fn count<T: TryFrom<jint>>(value: jint, name: &str) -> Result<T> {
    T::try_from(value).map_err(|_| Failure::invalid(format!("{name} must not be negative, but is {value}")))
}

/// `rows` times `dimension`.
pub(crate) fn elements(rows: usize, dimension: usize) -> Result<usize> {
    rows.checked_mul(dimension)
        .ok_or_else(|| Failure::invalid(format!("{rows} rows of dimension {dimension} are too many for one batch")))
}

/// A type of which every bit pattern is a value.
pub(crate) trait Plain: Copy {}
impl Plain for i64 {}
impl Plain for f32 {}

/// The first `length` elements of a direct buffer, for the duration of the native call.
pub(crate) fn direct<'buffer, T: Plain>(
    env: &Env,
    buffer: &'buffer JByteBuffer,
    length: usize,
    name: &str,
) -> Result<&'buffer [T]> {
    if buffer.is_null() {
        return Err(Failure::invalid(format!("the buffer of {name} must not be null")));
    }
    let not_direct = |_| Failure::invalid(format!("the buffer of {name} must be direct"));
    let address = env.get_direct_buffer_address(buffer).map_err(not_direct)?;
    let capacity = env.get_direct_buffer_capacity(buffer).map_err(not_direct)?;
    let needed = length.checked_mul(size_of::<T>());
    if needed.is_none_or(|needed| needed > capacity) {
        return Err(Failure::invalid(format!(
            "the buffer of {name} has {capacity} bytes, too few for {length} elements of {} bytes",
            size_of::<T>()
        )));
    }
    let start = address.cast::<T>();
    if !start.is_aligned() {
        return Err(Failure::invalid(format!("the buffer of {name} is not aligned to its elements")));
    }
    // SAFETY: the JVM states address and capacity of the buffer, which the caller's reference keeps alive; length
    // and alignment are checked above; T is Plain. Java does not write to it before the native method returns.
    Ok(unsafe { std::slice::from_raw_parts(start, length) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_not_negative() {
        assert_eq!(count::<usize>(7, "rows").unwrap(), 7);
        assert_eq!(count::<u32>(0, "partition").unwrap(), 0);
        let error = count::<usize>(-1, "rows").unwrap_err();
        assert_eq!(error.to_string(), "rows must not be negative, but is -1");
    }

    #[test]
    fn elements_do_not_overflow() {
        assert_eq!(elements(3, 4).unwrap(), 12);
        assert!(elements(usize::MAX, 2).is_err());
    }
}
