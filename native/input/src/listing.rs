//! From the URIs that a user names to the files that are read.

use faiss_indexer_storage::{Storage, Storages};

use crate::error::{InputError, Result};

/// All files of `uris`, sorted by name. A URI is a file, a directory, which is searched as a whole, or a pattern with
/// `*` and `?` in its last part. In directories and patterns, names that begin with `_` or `.` are left out, as Hadoop
/// does; a file that is named itself is read whatever its name.
pub(crate) fn list_files(uris: &[String], storages: &Storages) -> Result<Vec<String>> {
    if uris.is_empty() {
        return Err(InputError::NoInput);
    }
    let mut files = Vec::new();
    for uri in uris {
        let storage = storages.resolve(uri)?;
        let mut found = Vec::new();
        match storage.stat(uri)? {
            Some(status) if status.is_directory => add_directory(uri, storage.as_ref(), 0, &mut found)?,
            Some(_) => found.push(uri.clone()),
            None => add_pattern(uri, storage.as_ref(), &mut found)?,
        }
        if found.is_empty() {
            return Err(InputError::NoFiles { uri: uri.clone() });
        }
        files.append(&mut found);
    }
    files.sort();
    match files.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(InputError::NamedTwice { uri: pair[0].clone() }),
        None => Ok(files),
    }
}

/// Symbolic links can make a directory its own descendant.
const MAXIMUM_DEPTH: usize = 64;

fn add_directory(directory: &str, storage: &dyn Storage, depth: usize, files: &mut Vec<String>) -> Result<()> {
    if depth > MAXIMUM_DEPTH {
        return Err(InputError::unreadable(directory, "listing it", format!("it is {depth} directories deep")));
    }
    for child in storage.list(directory)? {
        if !is_hidden(&child) {
            add(&child, storage, depth, files)?;
        }
    }
    Ok(())
}

fn add(uri: &str, storage: &dyn Storage, depth: usize, files: &mut Vec<String>) -> Result<()> {
    match storage.stat(uri)? {
        Some(status) if status.is_directory => add_directory(uri, storage, depth + 1, files)?,
        Some(_) => files.push(uri.to_owned()),
        None => {}
    }
    Ok(())
}

fn add_pattern(uri: &str, storage: &dyn Storage, files: &mut Vec<String>) -> Result<()> {
    let missing = || InputError::Storage(faiss_indexer_storage::StorageError::NotFound { uri: uri.to_owned() });
    let trimmed = uri.trim_end_matches('/');
    let pattern = last_part(trimmed);
    if !pattern.contains(['*', '?']) {
        return Err(missing());
    }
    let directory = match trimmed.strip_suffix(pattern) {
        Some("") => ".",
        Some("/") => "/",
        Some(above) => above.trim_end_matches('/'),
        None => return Err(missing()),
    };
    for child in storage.list(directory)? {
        let name = last_part(&child);
        if !is_hidden(name) && matches(pattern.as_bytes(), name.as_bytes()) {
            add(&child, storage, 0, files)?;
        }
    }
    Ok(())
}

fn last_part(uri: &str) -> &str {
    uri.trim_end_matches('/').rsplit(['/', ':']).next().unwrap_or(uri)
}

fn is_hidden(uri: &str) -> bool {
    last_part(uri).starts_with(['_', '.'])
}

/// Whether `name` is `pattern`, in which `*` is any bytes and `?` is one. Linear but for the retries after a star.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut read) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while read < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                retry = Some((at + 1, read));
                at += 1;
            }
            Some(expected) if *expected == b'?' || *expected == name[read] => {
                at += 1;
                read += 1;
            }
            _ => match retry {
                Some((after_star, from)) => {
                    retry = Some((after_star, from + 1));
                    at = after_star;
                    read = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|rest| *rest == b'*')
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use faiss_indexer_storage::{CreateMode, MemoryStorage};

    use super::*;

    fn storages(files: &[&str]) -> Storages {
        let memory = MemoryStorage::new();
        for file in files {
            memory.create(&format!("memory:/{file}"), CreateMode::New).unwrap().finish().unwrap();
        }
        Storages::new().with_memory(Arc::new(memory))
    }

    fn list(files: &[&str], uris: &[&str]) -> Result<Vec<String>> {
        let uris: Vec<String> = uris.iter().map(|uri| format!("memory:/{uri}")).collect();
        let listed = list_files(&uris, &storages(files))?;
        Ok(listed.iter().map(|uri| uri.trim_start_matches("memory:/").to_owned()).collect())
    }

    #[test]
    fn directories_files_and_patterns_give_their_visible_files_sorted() {
        let files =
            ["d/b", "d/a", "d/_SUCCESS", "d/.a.crc", "d/x=1/c", "d/_temporary/0/z", "e", "_f", "d2/p-1", "d2/p-10"];
        for (uris, expected) in [
            (&["d"][..], &["d/a", "d/b", "d/x=1/c"][..]),
            (&["d/"], &["d/a", "d/b", "d/x=1/c"]),
            (&["e", "d/b"], &["d/b", "e"]),
            (&["_f"], &["_f"]),
            (&["d/*"], &["d/a", "d/b", "d/x=1/c"]),
            (&["d2/p-?"], &["d2/p-1"]),
            (&["d2/*1*"], &["d2/p-1", "d2/p-10"]),
            (&["d*"], &["d/a", "d/b", "d/x=1/c", "d2/p-1", "d2/p-10"]),
        ] {
            assert_eq!(list(&files, uris).unwrap(), expected, "{uris:?}");
        }
    }

    #[test]
    fn what_gives_no_file_or_one_twice_is_refused_by_name() {
        let files = ["d/_SUCCESS", "e/a"];
        for (uris, text) in [
            (&["d"][..], "memory:/d holds no file to read; names that begin with '_' or '.' are left out"),
            (&["e/x*"], "memory:/e/x* holds no file to read; names that begin with '_' or '.' are left out"),
            (&["e/x"], "memory:/e/x does not exist"),
            (&["e", "e/a"], "memory:/e/a is named twice in the input"),
            (&[], "no input is named"),
        ] {
            assert_eq!(list(&files, uris).unwrap_err().to_string(), text);
        }
    }

    #[test]
    fn stars_match_any_bytes_and_question_marks_one() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("*", "abc", true),
            ("a*c", "abbc", true),
            ("a*c", "abcd", false),
            ("a*b*c", "aXbXbXc", true),
            ("?", "a", true),
            ("?", "", false),
            ("a?", "ab", true),
            ("*.parquet", "p.parquet", true),
            ("*.parquet", "p.parquet.crc", false),
            ("**", "x", true),
            ("abc", "ab", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }
}
