//! A real HDFS in a JVM of its own, `jvm/hadoop/src/cluster`, for as long as the value lives.

use std::env;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::NamedTempFile;

const CLASS_PATH: &str = "FAISS_INDEXER_CLUSTER_CLASSPATH";

/// One NameNode and one DataNode with blocks of 1 MiB.
#[derive(Debug)]
pub(crate) struct MiniHdfs {
    process: Child,
    /// `hdfs://host:port`.
    pub(crate) uri: String,
    _log: NamedTempFile,
}

impl MiniHdfs {
    /// Waits until the file system can be used.
    pub(crate) fn start() -> Self {
        let class_path = env::var_os(CLASS_PATH).unwrap_or_else(|| {
            panic!("{CLASS_PATH} must be the class path of the cluster of jvm/hadoop; `make test-rust test-cli` set it")
        });
        let java = env::var_os("JAVA_HOME").map_or(PathBuf::from("java"), |home| PathBuf::from(home).join("bin/java"));
        let log = NamedTempFile::new().unwrap();
        let mut process = Command::new(java)
            .args(["-Xmx512m", "io.faissindexer.cluster.MiniHdfs"])
            .env("CLASSPATH", class_path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(log.path()).unwrap())
            .spawn()
            .unwrap();
        let mut answer = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut answer).unwrap();
        let answered = serde_json::from_str::<serde_json::Value>(&answer).ok();
        let uri = answered.and_then(|answer| Some(answer["uri"].as_str()?.to_owned()));
        let uri = uri.unwrap_or_else(|| panic!("no HDFS: '{answer}'\n{}", fs::read_to_string(log.path()).unwrap()));
        Self { process, uri, _log: log }
    }
}

impl Drop for MiniHdfs {
    fn drop(&mut self) {
        // It ends when its standard input does.
        drop(self.process.stdin.take());
        self.process.wait().unwrap();
    }
}
