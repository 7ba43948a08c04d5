//! Flags, exit codes, help and completions.

#![allow(clippy::unwrap_used, clippy::panic, clippy::as_conversions, reason = "tests report by panicking")]

mod scenario;

use scenario::{Scenario, program, run, succeed};

const COMMANDS: [&str; 7] = ["build", "add", "merge", "inspect", "verify", "evaluate", "completions"];

#[test]
fn an_unknown_flag_is_refused_with_the_nearest_known_one() {
    for (typed, nearest) in [
        ("--factory-strin=Flat", "--factory-string"),
        ("--metrik=l2", "--metric"),
        ("--dup=fail", "--duplicate-ids"),
        ("--treads", "--threads"),
        ("--zzz", "--ids"),
    ] {
        let (code, stdout, stderr) = run(program().args(["build", "--input", "x", "--output", "y", typed]));
        assert_eq!((code, stdout.as_str()), (Some(2), ""));
        assert!(stderr.contains("unexpected argument") && stderr.contains(&format!("'{nearest}")), "{stderr}");
    }
}

#[test]
fn what_cannot_be_built_is_refused_with_exit_code_2_and_nothing_is_written() {
    let scenario = Scenario::new(100, 8);
    for (flags, named) in [
        (&["--factory-string", "Nonsense"][..], "Nonsense"),
        (&["--factory_string", "IVF4,PQ3"], "PQ3"),
        (&["--metric", "euclid"], "l2, ip, cosine"),
        (&["--sample-rate", "2"], "sampleRate"),
        (&["--seed", "-1"], "seed"),
        (&["--threads", "0"], "threads"),
        (&["--memory-limit", "1KiB"], "memoryLimit"),
        (&["--id-map", "never"], "idMap"),
        (&["--index-filename", "a/b"], "indexFilename"),
        (&["--bad-rows", "keep"], "badRows"),
        (&["--duplicate-ids=first"], "duplicateIds"),
        (&["--shards", "0"], "shards"),
        (&["--report=maybe"], "report"),
        (&["--overwrite", "maybe"], "overwrite"),
        (&["--seed", "1", "--seed", "2"], "--seed"),
        (&["--dimension", "0"], "dimension"),
        (&["--dimension", "9"], "the embeddings of vectors/000.npy have dimension 8, the index has 9"),
    ] {
        let (code, stdout, stderr) = run(&mut scenario.build("out", flags));
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{flags:?}: {stderr}");
        assert!(stderr.contains(named), "{flags:?}: {stderr}");
        assert_eq!(scenario.names("out"), [""; 0]);
        assert!(!scenario.path("out").exists());
    }
}

#[test]
fn a_finished_index_is_replaced_only_when_asked() {
    let scenario = Scenario::new(100, 8);
    let flags = ["--factory-string", "Flat"];
    let first = scenario.built("out", &flags);
    let (code, _, stderr) = run(&mut scenario.build("out", &flags));
    assert_eq!(code, Some(2));
    assert!(stderr.contains("overwrite"), "{stderr}");
    let cosine = scenario.built("out", &["--factory-string", "Flat", "--overwrite", "--metric", "cosine"]);
    assert_ne!(first, cosine);
}

#[test]
fn input_that_is_not_there_is_named_and_nothing_is_written() {
    let scenario = Scenario::new(10, 8);
    let mut command = scenario.build("out", &[]);
    let (code, stdout, stderr) = run(command.arg("--input").arg("missing.npy"));
    assert!(code == Some(1) && stderr.contains("missing.npy"), "{stderr}");
    assert_eq!(stdout, "");
    assert!(!scenario.path("out").exists());
}

#[test]
fn every_command_has_help_with_an_example_on_stdout() {
    for command in COMMANDS {
        let (stdout, stderr) = succeed(program().args([command, "--help"]));
        assert!(stdout.contains(&format!("faiss-indexer {command} ")) && stdout.ends_with('\n'), "{stdout}");
        assert_eq!(stderr, "");
    }
    let (stdout, _) = succeed(program().args(["build", "--help"]));
    for default in ["[default: l2]", "[default: 1234]", "[default: 256MiB]", "[default: 0.05]", "[default: entityId]"] {
        assert!(stdout.contains(default), "{default} is not in {stdout}");
    }
    assert!(succeed(program().arg("--version")).0.starts_with("faiss-indexer "));
}

#[test]
fn completions_name_every_command_and_flag() {
    for shell in ["bash", "zsh", "fish"] {
        let (script, _) = succeed(program().args(["completions", shell]));
        for word in COMMANDS.into_iter().chain(["factory-string", "duplicate-ids", "resume"]) {
            assert!(script.contains(word), "{word} is not in the completions for {shell}");
        }
    }
    let (code, _, stderr) = run(program().args(["completions", "csh"]));
    assert_eq!(code, Some(2));
    assert!(stderr.contains("bash"), "{stderr}");
}
