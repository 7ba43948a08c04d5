//! What of a build is done, in files of its temporary directory, so that another process can go on.
//!
//! `journal/build.json` is written first and says what is built from what; then, as soon as a task has ended, its
//! receipt is a file named after the task. A file appears whole or not at all ([`Storage::create`]), so what the
//! journal says is true whenever the process ended. Plans are not in it: they follow from the receipts.
//!
//! [`Storage::create`]: faiss_indexer_storage::Storage::create

use std::collections::BTreeMap;

use faiss_indexer_core::{
    BuildError, ErrorKind, Result, abandon, adopt_build, delete_unnamed_files, lost_receipts, temporary_directory,
    unfinished_builds,
};
use faiss_indexer_storage::{CreateMode, Storage, Storages, join};
use log::{info, warn};
use serde::{Deserialize, Serialize};

const DIRECTORY: &str = "journal";
const HEADER: &str = "build.json";

/// The finished tasks of one build.
#[derive(Debug)]
pub(crate) struct Journal {
    directory: String,
    storages: Storages,
    receipts: BTreeMap<String, String>,
}

/// What a build is made of, beside its spec. Builds of which a value differs do not continue each other.
pub(crate) type Origin = BTreeMap<String, String>;

/// A key of the origins of builds that begin with published indexes: no other process goes on with them, because
/// taking over rows is much faster than encoding them.
pub(crate) const COMMAND: &str = "command";

/// What a journal begins with.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Header {
    pub(crate) build: String,
    pub(crate) origin: Origin,
}

impl Header {
    /// The header in the temporary directory of a build, or `None` for a build whose process ended before it could
    /// note anything, or that another front end runs.
    pub(crate) fn of_build(build_directory: &str, storages: &Storages) -> Result<Option<Self>> {
        let uri = join(&join(build_directory, DIRECTORY), HEADER);
        let storage = storages.resolve(&uri)?;
        if storage.stat(&uri)?.is_none() {
            return Ok(None);
        }
        match serde_json::from_str(&read(storage.as_ref(), &uri)?) {
            Ok(header) => Ok(Some(header)),
            Err(error) => {
                info!("{uri} is passed over: {error}");
                Ok(None)
            }
        }
    }

    /// The build, if it is one of `spec` and `origin`; else an error that names the difference.
    pub(crate) fn adopt(&self, spec: &[(String, String)], origin: &Origin, output: &str) -> Result<String> {
        refuse_other_origin(&self.origin, origin)?;
        adopt_build(&self.build, spec, output)
    }
}

impl Journal {
    /// Begins the journal of a build that has just been started, or abandons the build.
    pub(crate) fn create(build: &str, origin: &Origin, storages: &Storages) -> Result<Self> {
        Self::begin(build, origin, storages).inspect_err(|_| {
            // What matters to the user is why the journal could not be written.
            let _left_behind = abandon(build, storages);
        })
    }

    fn begin(build: &str, origin: &Origin, storages: &Storages) -> Result<Self> {
        let directory = join(&temporary_directory(build)?, DIRECTORY);
        let journal = Self { directory, storages: storages.clone(), receipts: BTreeMap::new() };
        let header = Header { build: build.to_owned(), origin: origin.clone() };
        let text = serde_json::to_string(&header)
            .map_err(|error| BuildError::new(ErrorKind::Internal, format!("the journal's header: {error}")))?;
        journal.write(HEADER, &text)?;
        Ok(journal)
    }

    /// The unfinished build in `output` that has come furthest, if there is one. Receipts whose files are gone or cut
    /// do not count, and files that no receipt names are deleted.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidSpec`], naming the difference, if all unfinished builds are of another spec or input.
    pub(crate) fn find(
        output: &str,
        spec: &[(String, String)],
        origin: &Origin,
        storages: &Storages,
    ) -> Result<Option<(String, Self)>> {
        let mut found: Option<(String, Self)> = None;
        let mut different = None;
        for build_directory in unfinished_builds(output, storages)? {
            let Some(header) = Header::of_build(&build_directory, storages)? else { continue };
            if header.origin.contains_key(COMMAND) {
                continue;
            }
            match header.adopt(spec, origin, output) {
                Ok(build) => {
                    let journal = Self::load(join(&build_directory, DIRECTORY), storages)?;
                    if found.as_ref().is_none_or(|(_, other)| other.receipts.len() < journal.receipts.len()) {
                        found = Some((build, journal));
                    }
                }
                Err(error) => different = different.or(Some((build_directory, error))),
            }
        }
        match (found, different) {
            (Some((build, mut journal)), _) => {
                journal.forget_lost_files(&build)?;
                delete_unnamed_files(&build, &journal.receipts(), storages)?;
                Ok(Some((build, journal)))
            }
            (None, Some((directory, error))) => Err(BuildError::new(
                ErrorKind::InvalidSpec,
                format!("--resume cannot go on with {directory}: {error}; without --resume a new build begins"),
            )),
            (None, None) => Ok(None),
        }
    }

    /// The receipt of the task `name` if it is done.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        self.receipts.get(name).cloned()
    }

    /// Notes that the task `name` is done, and returns its receipt.
    pub(crate) fn record(&mut self, name: &str, receipt: String) -> Result<String> {
        self.write(&format!("{name}.json"), &receipt)?;
        self.receipts.insert(name.to_owned(), receipt.clone());
        Ok(receipt)
    }

    /// All receipts.
    pub(crate) fn receipts(&self) -> Vec<String> {
        self.receipts.values().cloned().collect()
    }

    fn load(directory: String, storages: &Storages) -> Result<Self> {
        let storage = storages.resolve(&directory)?;
        let mut receipts = BTreeMap::new();
        for uri in storage.list(&directory)? {
            let name = uri.rsplit('/').next().unwrap_or_default();
            if let Some(name) = name.strip_suffix(".json").filter(|_| name != HEADER) {
                receipts.insert(name.to_owned(), read(storage.as_ref(), &uri)?);
            }
        }
        Ok(Self { directory, storages: storages.clone(), receipts })
    }

    fn forget_lost_files(&mut self, build: &str) -> Result<()> {
        let storage = self.storages.resolve(&self.directory)?;
        let names: Vec<String> = self.receipts.keys().cloned().collect();
        for (place, error) in lost_receipts(build, &self.receipts(), &self.storages)? {
            let Some(name) = names.get(place) else { continue };
            warn!("{name} has to be done again: {error}");
            storage.delete(&join(&self.directory, &format!("{name}.json")))?;
            self.receipts.remove(name);
        }
        Ok(())
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let uri = join(&self.directory, name);
        let mut file = self.storages.resolve(&uri)?.create(&uri, CreateMode::New)?;
        file.write_all(text.as_bytes())?;
        file.finish()?;
        Ok(())
    }
}

fn read(storage: &dyn Storage, uri: &str) -> Result<String> {
    let damaged = |what: String| BuildError::new(ErrorKind::CorruptFile, format!("{uri} is damaged: {what}"));
    let reader = storage.open(uri)?;
    let mut bytes = vec![0; usize::try_from(reader.length()).map_err(|error| damaged(error.to_string()))?];
    reader.read_exact_at(0, &mut bytes)?;
    String::from_utf8(bytes).map_err(|error| damaged(error.to_string()))
}

fn refuse_other_origin(before: &Origin, after: &Origin) -> Result<()> {
    for (key, value) in after {
        let old = before.get(key).map_or("none", String::as_str);
        if old != value {
            let message = format!("{key} differs: the unfinished build has {old}, this one {value}");
            return Err(BuildError::new(ErrorKind::InvalidSpec, message));
        }
    }
    Ok(())
}
