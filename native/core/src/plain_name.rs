//! Names of one element that every file system takes as they are.

/// Hadoop hides what begins with `_` or `.`, and a URI gives a meaning to most other signs. Many file systems have 255
/// bytes for a name, of which temporary names want some.
const MOST_BYTES: usize = 200;

pub(crate) fn is_plain_name(name: &str) -> bool {
    name.len() <= MOST_BYTES
        && name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
        && name.bytes().all(|letter| letter.is_ascii_alphanumeric() || b".-_".contains(&letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_name_leads_nowhere_else_and_is_not_hidden() {
        for name in ["faiss.index", "en-US", "7", "a_b"] {
            assert!(is_plain_name(name), "{name}");
        }
        for name in ["", ".", "..", ".a", "_a", "-a", "a/b", "a b", "a:b", "ä", "a%20b", &"a".repeat(201)] {
            assert!(!is_plain_name(name), "{name}");
        }
    }
}
