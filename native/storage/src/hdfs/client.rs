//! The connections of this process to name nodes, and how a call to them is waited for.

use std::any::Any;
use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use hdfs_native::{Client, ClientBuilder, HdfsError};
use tokio::runtime::{Builder, Runtime};

use super::failure::storage_error;
use crate::Result;

/// How long a name node or data node may take to answer, with the attempts of the crate to reach another one.
const PATIENCE: Duration = Duration::from_secs(300);
const WORKERS: usize = 2;
/// Where Hadoop's name nodes listen when nothing else is said.
const DEFAULT_PORT: u16 = 8020;
/// The pauses between five attempts are about 15 seconds together. Without another name node to turn to, longer ones
/// would only hide that the address is wrong.
const ATTEMPTS_OF_ONE_NAME_NODE: (&str, &str) = ("dfs.client.failover.max.attempts", "4");

type Settings = BTreeMap<String, String>;

/// A client that has written keeps a connection and a task for its leases for good, so there is one for each file
/// system and configuration.
static CLIENTS: Mutex<BTreeMap<(Option<String>, Settings), Client>> = Mutex::new(BTreeMap::new());

/// Connections are kept by its threads, so it lives as long as the process.
static RUNTIME: OnceLock<io::Result<Runtime>> = OnceLock::new();

/// The client of a file system; it connects when it is used.
pub(super) fn of(
    operation: &'static str,
    uri: &str,
    authority: Option<&str>,
    settings: &BTreeMap<String, String>,
) -> Result<Client> {
    let key = (authority.map(str::to_owned), settings.clone());
    let mut clients = CLIENTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(client) = clients.get(&key) {
        return Ok(client.clone());
    }
    let built = guarded(|runtime| connect(authority, settings, runtime));
    let client = built.map_err(|error| storage_error(operation, uri, error))?;
    clients.insert(key, client.clone());
    Ok(client)
}

/// Waits for one call, but not for ever.
pub(super) fn call<T>(work: impl Future<Output = hdfs_native::Result<T>>) -> hdfs_native::Result<T> {
    wait(patiently(work))
}

/// Waits for several calls of which each is made [`patiently`].
pub(super) fn wait<T>(work: impl Future<Output = hdfs_native::Result<T>>) -> hdfs_native::Result<T> {
    guarded(|runtime| runtime.block_on(work))
}

/// Gives up a call that is not answered.
pub(super) async fn patiently<T>(work: impl Future<Output = hdfs_native::Result<T>>) -> hdfs_native::Result<T> {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| {
        let message = format!("no answer within {} seconds", PATIENCE.as_secs());
        Err(io::Error::new(io::ErrorKind::TimedOut, message).into())
    })
}

fn connect(authority: Option<&str>, settings: &Settings, runtime: &Runtime) -> hdfs_native::Result<Client> {
    let builder = |one_name_node: bool| {
        let more =
            one_name_node.then(|| (ATTEMPTS_OF_ONE_NAME_NODE.0.to_owned(), ATTEMPTS_OF_ONE_NAME_NODE.1.to_owned()));
        ClientBuilder::new()
            .with_io_runtime(runtime.handle().clone())
            .with_config(more.into_iter().chain(settings.clone()))
    };
    let Some(authority) = authority else { return builder(false).build() };
    let url = format!("hdfs://{authority}");
    if has_port(authority) {
        return builder(true).with_url(url).build();
    }
    match builder(false).with_url(&url).build() {
        // What is no name service of the configuration is a host.
        Err(HdfsError::InvalidArgument(message)) if message.contains("No NameNode hosts") => {
            builder(true).with_url(format!("{url}:{DEFAULT_PORT}")).build()
        }
        other => other,
    }
}

fn has_port(authority: &str) -> bool {
    authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok())
}

/// The crate panics over files and answers that it does not expect.
fn guarded<T>(work: impl FnOnce(&Runtime) -> hdfs_native::Result<T>) -> hdfs_native::Result<T> {
    let runtime = RUNTIME
        .get_or_init(|| Builder::new_multi_thread().worker_threads(WORKERS).thread_name("hdfs").enable_all().build())
        .as_ref()
        .map_err(|error| io::Error::new(error.kind(), format!("threads for HDFS cannot be started: {error}")))?;
    catch_unwind(AssertUnwindSafe(|| work(runtime)))
        .unwrap_or_else(|panic| Err(HdfsError::InternalError(text(&*panic))))
}

fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a text").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_serves_all_that_name_the_same_file_system_and_settings() {
        let client = |authority, value: &str| {
            let settings = Settings::from([("dfs.client.use.datanode.hostname".to_owned(), value.to_owned())]);
            of("open", "hdfs://test/x", Some(authority), &settings).unwrap();
        };
        let is_mine = |name: &Option<String>| name.as_ref().is_some_and(|name| name.starts_with("one-client"));
        let mine = || CLIENTS.lock().unwrap().keys().filter(|(name, _)| is_mine(name)).count();
        client("one-client:1", "true");
        client("one-client:1", "true");
        assert_eq!(mine(), 1);
        client("one-client:1", "false");
        client("one-client", "false");
        assert_eq!(mine(), 3);
    }

    #[test]
    fn a_panic_of_the_crate_is_an_error_with_its_text() {
        let error = call::<()>(async { panic!("a token of version 0") }).unwrap_err();
        assert!(error.to_string().contains("a token of version 0"), "{error}");
    }
}
