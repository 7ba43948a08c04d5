//! Which client reaches HDFS where the host has one of its own.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use faiss_indexer_storage::Storages;
use log::warn;
use serde::{Deserialize, Serialize};

use crate::error::{BuildError, Result};

/// The client of `hdfs:` URIs on a host that has one. Without such a host it is always ours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum HdfsAccess {
    /// The host's, with all that it is able to.
    #[default]
    Jvm,
    /// Ours, or none.
    Native,
    /// Ours where it reaches the output, else the host's.
    Auto,
}

/// Outputs of this process that our client does not reach, so that each is tried and spoken of once.
static OUT_OF_REACH: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

impl HdfsAccess {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The backends for a build into `output`.
    ///
    /// # Errors
    /// Why our client does not reach `output`, if there may be no other.
    pub(crate) fn backends(self, output: &str, storages: &Storages) -> Result<Storages> {
        match self {
            Self::Jvm => Ok(storages.clone()),
            Self::Native => storages.clone().with_hdfs_past_the_hook(output).map_err(|error| {
                let error = BuildError::from(error);
                let text = "this is with io.hdfs=native; with io.hdfs=jvm, Hadoop's own client is used";
                BuildError::new(error.kind(), format!("{error}; {text}"))
            }),
            Self::Auto => Ok(Self::ours_if_it_reaches(output, storages)),
        }
    }

    fn ours_if_it_reaches(output: &str, storages: &Storages) -> Storages {
        if out_of_reach(|outputs| outputs.contains(output)) {
            return storages.clone();
        }
        storages.clone().with_hdfs_past_the_hook(output).unwrap_or_else(|error| {
            if out_of_reach(|outputs| outputs.insert(output.to_owned())) {
                warn!("io.hdfs=auto goes through Hadoop's own client: {error}");
            }
            storages.clone()
        })
    }
}

fn out_of_reach<T>(work: impl FnOnce(&mut BTreeSet<String>) -> T) -> T {
    // A set that a panic left behind lacks an output at worst.
    work(&mut OUT_OF_REACH.lock().unwrap_or_else(PoisonError::into_inner))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use faiss_indexer_storage::{CreateMode, MemoryStorage, Storage};

    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn what_our_client_does_not_reach_is_refused_or_left_to_the_host() {
        let host: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
        let storages = Storages::new().with_hook(Arc::clone(&host));
        let output = "viewfs://cluster/index";
        let refused = HdfsAccess::Native.backends(output, &storages).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidSpec);
        let text = refused.to_string();
        assert!(text.starts_with("viewfs://cluster/index is out of reach") && text.contains("io.hdfs=jvm"), "{text}");
        for access in [HdfsAccess::Jvm, HdfsAccess::Auto, HdfsAccess::Auto] {
            let backends = access.backends(output, &storages).unwrap();
            assert!(Arc::ptr_eq(&backends.resolve("hdfs://cluster/index").unwrap(), &host), "{access:?}");
        }
    }

    #[test]
    fn a_build_is_abandoned_by_the_host_although_our_client_reaches_nothing() {
        let host: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
        let storages = Storages::new().with_hook(Arc::clone(&host));
        let output = "viewfs://cluster/abandoned";
        let spec =
            [("dimension", "4"), ("factoryString", "Flat")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        let build = crate::start_build(&spec, output, &storages).unwrap();
        let mut native: serde_json::Value = serde_json::from_str(&build).unwrap();
        native["spec"]["io.hdfs"] = "native".into();
        let context = crate::build_context::BuildContext::from_json(&native.to_string()).unwrap();
        assert_eq!(context.spec.hdfs_access, HdfsAccess::Native);
        let left = format!("{}/left", context.temporary_directory());
        host.create(&left, CreateMode::New).unwrap().finish().unwrap();
        crate::abandon(&native.to_string(), &storages).unwrap();
        assert_eq!(host.stat(&left).unwrap(), None);
    }
}
