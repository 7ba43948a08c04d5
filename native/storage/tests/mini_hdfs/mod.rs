//! A real HDFS in a JVM of its own, `jvm/hadoop/src/cluster`, for as long as the value lives.

#![allow(dead_code, reason = "each test program uses a part")]

use std::env;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use tempfile::NamedTempFile;

const CLASS_PATH: &str = "FAISS_INDEXER_CLUSTER_CLASSPATH";

/// One NameNode and one DataNode, or a pair of NameNodes and three DataNodes, with blocks of 1 MiB.
#[derive(Debug)]
pub(crate) struct MiniHdfs {
    process: Child,
    answers: BufReader<ChildStdout>,
    /// `hdfs://host:port`, or `hdfs://nameservice` of a pair.
    pub(crate) uri: String,
    /// What a client has to know of the configuration.
    pub(crate) settings: Vec<(String, String)>,
    log: NamedTempFile,
}

impl MiniHdfs {
    /// Waits until the file system can be used.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// One of which a NameNode may stop.
    pub(crate) fn start_pair() -> Self {
        Self::start_with(&["pair"])
    }

    fn start_with(arguments: &[&str]) -> Self {
        let class_path = env::var_os(CLASS_PATH).unwrap_or_else(|| {
            panic!("{CLASS_PATH} must be the class path of the cluster of jvm/hadoop; `make test-rust test-cli` set it")
        });
        let java = env::var_os("JAVA_HOME").map_or(PathBuf::from("java"), |home| PathBuf::from(home).join("bin/java"));
        let log = NamedTempFile::new().unwrap();
        let mut process = Command::new(java)
            .args(["-Xmx512m", "io.faissindexer.cluster.MiniHdfs"])
            .args(arguments)
            .env("CLASSPATH", class_path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(log.path()).unwrap())
            .spawn()
            .unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap());
        let mut hdfs = Self { process, answers, uri: String::new(), settings: Vec::new(), log };
        let answer = hdfs.next_answer();
        let answered: serde_json::Value = serde_json::from_str(&answer).unwrap_or_else(|_| hdfs.fail(&answer));
        answered["uri"].as_str().unwrap().clone_into(&mut hdfs.uri);
        for (key, value) in answered["settings"].as_object().unwrap() {
            hdfs.settings.push((key.clone(), value.as_str().unwrap().to_owned()));
        }
        hdfs
    }

    /// Writes the settings to files in `directory`, as Hadoop keeps them.
    pub(crate) fn configure(&self, directory: &Path) {
        let property =
            |(key, value): &(String, String)| format!("<property><name>{key}</name><value>{value}</value></property>");
        let properties: String = self.settings.iter().map(property).collect();
        let file = format!("<?xml version=\"1.0\"?><configuration>{properties}</configuration>");
        fs::write(directory.join("core-site.xml"), file).unwrap();
    }

    /// Waits until the NameNode that is active has stopped, and another is.
    pub(crate) fn fail_over(&mut self) {
        writeln!(self.process.stdin.as_ref().unwrap(), "fail over").unwrap();
        let answer = self.next_answer();
        if answer != "done\n" {
            self.fail(&answer);
        }
    }

    fn next_answer(&mut self) -> String {
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        answer
    }

    fn fail(&self, answer: &str) -> ! {
        panic!("no HDFS: '{answer}'\n{}", fs::read_to_string(self.log.path()).unwrap())
    }
}

impl Drop for MiniHdfs {
    fn drop(&mut self) {
        // It ends when its standard input does.
        drop(self.process.stdin.take());
        self.process.wait().unwrap();
    }
}
