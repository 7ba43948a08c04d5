//! Names of files that are being written. They begin with a dot, so that readers of directories leave them out.

pub(crate) const PARTIAL_PREFIX: &str = ".faiss-indexer-";
pub(crate) const PARTIAL_SUFFIX: &str = ".partial";

pub(crate) fn is_partial(name: &str) -> bool {
    name.starts_with(PARTIAL_PREFIX) && name.ends_with(PARTIAL_SUFFIX)
}
