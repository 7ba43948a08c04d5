//! The connections of this process to name nodes, and how a call to them is waited for.

use std::any::Any;
use std::collections::BTreeMap;
use std::env;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use hdfs_native::{Client, ClientBuilder, HdfsError};
use tokio::runtime::{Builder, Runtime};

use super::failure::storage_error;
use crate::Result;

/// How long a name node or data node may take to answer, with the attempts of the crate to reach another one.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long the first call may take that only asks whether there is a way.
const FIRST_PATIENCE: Duration = Duration::from_secs(60);
const WORKERS: usize = 2;
/// Where Hadoop's name nodes listen when nothing else is said.
const DEFAULT_PORT: u16 = 8020;
/// The pauses between five attempts are about 15 seconds together. Without another name node to turn to, longer ones
/// would only hide that the address is wrong.
const ATTEMPTS_OF_ONE_NAME_NODE: (&str, &str) = ("dfs.client.failover.max.attempts", "4");

/// The environment variable that names the file of tokens.
const TOKEN_FILE: &str = "HADOOP_TOKEN_FILE_LOCATION";

type Settings = BTreeMap<String, String>;
/// Authority, configuration, and user.
type Key = (Option<String>, Settings, Option<String>);

/// A client that has written keeps a connection and a task for its leases for good, so there is one for each file
/// system, configuration and user.
static CLIENTS: Mutex<BTreeMap<Key, Client>> = Mutex::new(BTreeMap::new());

/// Connections are kept by its threads, so it lives as long as the process.
static RUNTIME: OnceLock<io::Result<Runtime>> = OnceLock::new();

/// The client of a file system; it connects when it is used.
pub(super) fn of(
    operation: &'static str,
    uri: &str,
    authority: Option<&str>,
    settings: &Settings,
    user: Option<&str>,
) -> Result<Client> {
    let key = (authority.map(str::to_owned), settings.clone(), user.map(str::to_owned));
    let clients = || CLIENTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(client) = clients().get(&key) {
        return Ok(client.clone());
    }
    // A name may take long to resolve, for which no other call should wait.
    let built = guarded(|runtime| connect(authority, settings, user, runtime));
    let client = built.map_err(|error| storage_error(operation, uri, error))?;
    Ok(clients().entry(key).or_insert(client).clone())
}

/// Waits for one call, but not for ever.
pub(super) fn call<T>(work: impl Future<Output = hdfs_native::Result<T>>) -> hdfs_native::Result<T> {
    wait(patiently(work))
}

/// Makes a call once more whose answer was lost with the connection, such as when a name node stops. The crate does
/// not, because it does not know for which calls that does no harm.
pub(super) fn call_again<T>(make: impl Fn() -> hdfs_native::Result<T>) -> hdfs_native::Result<T> {
    match make() {
        Err(HdfsError::IOError(error))
            if !matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::ConnectionRefused) =>
        {
            make()
        }
        answered => answered,
    }
}

/// Waits for one call, and not for long.
pub(super) fn answered_soon<T>(work: impl Future<Output = hdfs_native::Result<T>>) -> hdfs_native::Result<T> {
    wait(within(FIRST_PATIENCE, work))
}

/// Waits for several calls of which each is made [`patiently`].
pub(super) fn wait<T>(work: impl Future<Output = hdfs_native::Result<T>>) -> hdfs_native::Result<T> {
    guarded(|runtime| runtime.block_on(work))
}

/// Gives up a call that is not answered.
pub(super) async fn patiently<T>(work: impl Future<Output = hdfs_native::Result<T>>) -> hdfs_native::Result<T> {
    within(PATIENCE, work).await
}

async fn within<T>(patience: Duration, work: impl Future<Output = hdfs_native::Result<T>>) -> hdfs_native::Result<T> {
    tokio::time::timeout(patience, work).await.unwrap_or_else(|_| {
        let message = format!("no answer within {} seconds", patience.as_secs());
        Err(io::Error::new(io::ErrorKind::TimedOut, message).into())
    })
}

fn connect(
    authority: Option<&str>,
    settings: &Settings,
    user: Option<&str>,
    runtime: &Runtime,
) -> hdfs_native::Result<Client> {
    let builder = |one_name_node: bool| {
        let more =
            one_name_node.then(|| (ATTEMPTS_OF_ONE_NAME_NODE.0.to_owned(), ATTEMPTS_OF_ONE_NAME_NODE.1.to_owned()));
        let builder = ClientBuilder::new()
            .with_io_runtime(runtime.handle().clone())
            .with_config(more.into_iter().chain(settings.clone()));
        match user {
            Some(user) => builder.with_user(user),
            None => builder,
        }
    };
    let Some(authority) = authority else { return builder(false).build() };
    if has_port(authority) {
        let spelled = as_tokens_spell_it(authority, settings, env::var_os(TOKEN_FILE).is_some());
        return builder(true).with_url(format!("hdfs://{spelled}")).build();
    }
    let url = format!("hdfs://{authority}");
    match builder(false).with_url(&url).build() {
        // What is no name service of the configuration is a host.
        Err(HdfsError::InvalidArgument(message)) if message.contains("No NameNode hosts") => {
            builder(true).with_url(format!("{url}:{DEFAULT_PORT}")).build()
        }
        other => other,
    }
}

/// A token of a single name node is for an address, unless the configuration says that it is for a name, and the crate
/// takes the authority for what tokens are for. Only a host tells its configuration; that of files is not known here.
fn as_tokens_spell_it(authority: &str, settings: &Settings, has_tokens: bool) -> String {
    let is = |key: &str, value: &str| settings.get(key).is_some_and(|found| found.eq_ignore_ascii_case(value));
    let is_name =
        !is("hadoop.security.authentication", "kerberos") || is("hadoop.security.token.service.use_ip", "false");
    let addresses: Vec<SocketAddr> = match has_tokens && !is_name {
        true => authority.to_socket_addrs().into_iter().flatten().collect(),
        false => Vec::new(),
    };
    // As a JVM chooses among several.
    let address = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first());
    address.map_or(authority.to_owned(), SocketAddr::to_string)
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
    fn one_client_serves_all_that_name_the_same_file_system_settings_and_user() {
        let client = |authority, value: &str, user| {
            let settings = Settings::from([("dfs.client.use.datanode.hostname".to_owned(), value.to_owned())]);
            of("open", "hdfs://test/x", Some(authority), &settings, user).unwrap();
        };
        let is_mine = |name: &Option<String>| name.as_ref().is_some_and(|name| name.starts_with("one-client"));
        let mine = || CLIENTS.lock().unwrap().keys().filter(|(name, ..)| is_mine(name)).count();
        client("one-client:1", "true", None);
        client("one-client:1", "true", None);
        assert_eq!(mine(), 1);
        client("one-client:1", "false", None);
        client("one-client", "false", None);
        assert_eq!(mine(), 3);
        client("one-client", "false", Some("somebody"));
        assert_eq!(mine(), 4);
    }

    #[test]
    fn a_call_is_made_once_more_if_its_answer_was_lost_and_not_if_nobody_listens() {
        for (kind, expected) in [(io::ErrorKind::ConnectionReset, 2), (io::ErrorKind::ConnectionRefused, 1)] {
            let calls = std::cell::Cell::new(0);
            call_again::<()>(|| {
                calls.set(calls.get() + 1);
                Err(io::Error::from(kind).into())
            })
            .unwrap_err();
            assert_eq!(calls.get(), expected, "{kind}");
        }
    }

    #[test]
    fn a_name_node_is_spelled_as_its_tokens_are() {
        let settings = |pairs: &[(&str, &str)]| -> Settings {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let kerberos = ("hadoop.security.authentication", "kerberos");
        for (pairs, has_tokens, expected) in [
            (&[kerberos][..], true, "127.0.0.1:8020"),
            (&[kerberos], false, "localhost:8020"),
            (&[kerberos, ("hadoop.security.token.service.use_ip", "false")], true, "localhost:8020"),
            (&[("hadoop.security.authentication", "simple")], true, "localhost:8020"),
            (&[], true, "localhost:8020"),
        ] {
            assert_eq!(as_tokens_spell_it("localhost:8020", &settings(pairs), has_tokens), expected, "{pairs:?}");
        }
    }

    #[test]
    fn a_panic_of_the_crate_is_an_error_with_its_text() {
        let error = call::<()>(async { panic!("a token of version 0") }).unwrap_err();
        assert!(error.to_string().contains("a token of version 0"), "{error}");
    }
}
