//! A build on a disk that is too small.

#![allow(clippy::unwrap_used, clippy::panic, clippy::as_conversions, reason = "tests report by panicking")]

mod scenario;

use std::process::Command;

use scenario::{Scenario, run};

const FLAGS: [&str; 5] = ["build", "--factory-string", "IVF16,SQ8", "--partition-rows", "20000"];

/// Runs a shell script in which `BUILD` is the build into `disk/out`.
fn run_script(scenario: &Scenario, before: &[&str], script: &str) -> (Option<i32>, String, String) {
    let program = scenario::program();
    let input = ["--input", "vectors", "--ids", "ids", "--output", "disk/out"];
    let build = [&[program.get_program().to_str().unwrap()], &FLAGS[..], &input].concat().join(" ");
    let script = script.replace("BUILD", &build);
    let mut words = before.iter().copied().chain(["bash", "-c", script.as_str()]);
    let mut command = Command::new(words.next().unwrap());
    run(command.args(words).current_dir(scenario.directory.path()))
}

/// How this machine lets the test mount a small disk, if it does.
fn mounting() -> Option<&'static [&'static str]> {
    let ways: [&'static [&'static str]; 2] =
        [&["unshare", "--mount"], &["unshare", "--user", "--map-root-user", "--mount"]];
    ways.into_iter().find(|way| {
        let mut command = Command::new(way[0]);
        let mount = ["sh", "-c", "mount -t tmpfs -o size=1m none /mnt"];
        command.args(&way[1..]).args(mount).output().is_ok_and(|output| output.status.success())
    })
}

#[test]
fn a_full_disk_is_named_nothing_is_published_and_resume_goes_on_once_there_is_room() {
    let scenario = Scenario::new(100_000, 32);
    let flags = FLAGS[1..].to_vec();
    let undisturbed = scenario.built("undisturbed", &flags);
    std::fs::create_dir(scenario.path("disk")).unwrap();

    let check = "[ $? = 1 ] && [ \"$(ls disk/out)\" = _temporary ] && echo failed-well >&2";
    let (before, script) = match mounting() {
        Some(before) => (
            before,
            format!(
                "mount -t tmpfs -o size=5m none disk; BUILD; {check}; mount -o remount,size=64m disk; \
                 BUILD --resume && cp disk/out/faiss.index resumed.index"
            ),
        ),
        // Without a disk of its own, a limit on the length of each file.
        None => (
            &["nice"][..],
            format!(
                "trap '' XFSZ; (ulimit -f 2000; BUILD); {check}; BUILD --resume && cp disk/out/faiss.index resumed.index"
            ),
        ),
    };
    let (code, stdout, stderr) = run_script(&scenario, before, &script);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("failed-well"), "{stderr}");
    assert!(stderr.contains("No space left on device") || stderr.contains("File too large"), "{stderr}");
    assert!(stderr.contains("disk/out/_temporary") && stderr.contains("--resume goes on"), "{stderr}");
    assert!(stderr.contains("going on after"), "{stderr}");
    assert_eq!(stdout.lines().count(), 1, "{stdout}");
    assert!(std::fs::read(scenario.path("resumed.index")).unwrap() == undisturbed);
}
