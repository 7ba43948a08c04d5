//! `faiss-indexer verify`

use std::cell::Cell;

use faiss_indexer_core::{Result, Verified, index_bytes, verify};
use faiss_indexer_storage::Storages;
use indicatif::HumanCount;

use super::to_json;
use crate::arguments::{ProgressChoice, VerifyFlags};
use crate::console;
use crate::progress::Phase;

pub(crate) fn run(flags: &VerifyFlags) -> Result<()> {
    let how = console::install(&flags.display);
    let verified = verify_showing(&flags.directory, how, &Storages::new())?;
    console::answer(&match flags.json {
        true => to_json(&verified)? + "\n",
        false => text(&verified),
    })
}

/// Verifies while it shows how far it is.
pub(super) fn verify_showing(directory: &str, how: ProgressChoice, storages: &Storages) -> Result<Verified> {
    let phase = Phase::begin_bytes(how, "verify", index_bytes(directory, storages)?);
    let read = Cell::new(0);
    let verified = verify(directory, storages, &|bytes| {
        read.set(read.get() + bytes);
        phase.set(read.get());
    })?;
    phase.finish(read.get());
    Ok(verified)
}

fn text(verified: &Verified) -> String {
    let Verified { directory, factory_string, .. } = verified;
    let (rows, bytes) = (HumanCount(verified.rows), HumanCount(verified.bytes));
    let shards = match verified.shards.len() {
        0 => String::new(),
        shards => format!(" in {shards} shards"),
    };
    let fingerprint = match verified.fingerprint_recomputed {
        true => "",
        false => "; the fingerprint of a graph cannot be computed again",
    };
    format!("{directory}: all is as stated. {factory_string}, {rows} rows, {bytes} bytes{shards}{fingerprint}\n")
}
