//! `faiss-indexer inspect`

use faiss_indexer_core::{Result, inspect_all};
use faiss_indexer_storage::Storages;
use serde_json::json;

use super::to_json;
use crate::arguments::InspectFlags;
use crate::console;

pub(crate) fn run(flags: &InspectFlags) -> Result<()> {
    let descriptions = inspect_all(&flags.uri, &Storages::new())?;
    let texts: Vec<String> = descriptions.iter().map(ToString::to_string).collect();
    console::answer(&match descriptions.as_slice() {
        _ if !flags.json => texts.join("\n"),
        [index] => to_json(index)? + "\n",
        shards => to_json(&json!({ "shards": shards }))? + "\n",
    })
}
