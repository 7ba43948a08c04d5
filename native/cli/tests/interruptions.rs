//! Builds that are stopped: by Ctrl-C, by SIGTERM, and by `kill -9` at any moment.

#![allow(clippy::unwrap_used, clippy::panic, clippy::as_conversions, reason = "tests report by panicking")]

mod scenario;

use std::ffi::OsString;
use std::fs;
use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};

use scenario::{Random, Scenario, run, signal, succeed, texts};

const PUBLISHED: [&str; 4] = ["_SUCCESS", "faiss.index", "faiss.manifest.json", "report.html"];

/// Whether a build is done, and nothing is left that tells the next command which build it was.
fn is_published(scenario: &Scenario, output: &str) -> bool {
    let builds = fs::read_dir(scenario.path(output).join("_temporary")).into_iter().flatten().flatten();
    let mut journals = builds.map(|build| build.path().join("journal/build.json"));
    scenario.names(output).contains(&"_SUCCESS".to_owned()) && !journals.any(|journal| journal.exists())
}

fn has_begun_to_publish(scenario: &Scenario, output: &str) -> bool {
    scenario.path(output).join("_temporary/publication.json").exists()
}

/// Kills a process after `moment`, or a moment after it began to publish into `output`, whichever comes first.
fn kill(scenario: &Scenario, output: &str, process: &mut Child, moment: Duration, of_publication: Duration) {
    let began = Instant::now();
    while began.elapsed() < moment && process.try_wait().unwrap().is_none() {
        if has_begun_to_publish(scenario, output) {
            sleep(of_publication);
            break;
        }
    }
    process.kill().unwrap();
    process.wait().unwrap();
}

/// A build of a few seconds in many steps.
const FLAGS: [&str; 6] = ["--factory-string", "IVF256,PQ8np", "--partition-rows", "20000", "--memory-limit", "16MiB"];

#[test]
fn a_signal_stops_the_build_with_exit_code_130_and_resume_goes_on() {
    let scenario = Scenario::new(200_000, 32);
    let undisturbed = scenario.built("undisturbed", &FLAGS);
    for (name, after) in [("INT", "encode-00000.json"), ("TERM", "sample-0-00000.json")] {
        let mut build = scenario.build(name, &FLAGS).spawn().unwrap();
        scenario.wait_for(name, after, &mut build);
        let asked = Instant::now();
        signal(&build, name);
        let (code, stdout, stderr) = texts(&build.wait_with_output().unwrap());
        assert_eq!((code, stdout.as_str()), (Some(130), ""), "{stderr}");
        assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
        assert!(stderr.contains("stopping") && stderr.contains("--resume"), "{stderr}");
        assert_eq!(scenario.names(name), ["_temporary"]);

        let (_, stderr) = succeed(&mut scenario.build(name, &[&FLAGS[..], &["--resume"]].concat()));
        assert!(stderr.contains("going on after"), "{stderr}");
        assert!(scenario.index(name) == undisturbed, "{name}");
        assert_eq!(scenario.names(name), PUBLISHED);
    }
}

#[test]
fn a_build_that_is_killed_at_any_moment_leaves_nothing_wrong_and_can_be_done_again() {
    const KILLS: u64 = 20;
    let scenario = Scenario::new(200_000, 32);
    let began = Instant::now();
    let undisturbed = scenario.built("undisturbed", &FLAGS);
    let duration = began.elapsed();
    let mut random = Random(20);
    let mut resumed = 0;
    for number in 0..KILLS {
        let output = format!("killed-{number}");
        // Beyond the duration of the undisturbed build too, so that the last steps are hit in spite of chance.
        let moment = duration.mul_f64(1.1 * (random.next() % 1000) as f64 / 1000.0);
        let mut build = scenario.build(&output, &FLAGS).spawn().unwrap();
        sleep(moment);
        build.kill().unwrap();
        build.wait().unwrap();

        // A publication that has begun is finished by the next command, which has nothing else to do.
        let published = is_published(&scenario, &output);
        if scenario.names(&output).contains(&"_SUCCESS".to_owned()) {
            assert!(scenario.index(&output) == undisturbed, "killed after {moment:?}");
        }
        let resume = number % 2 == 0;
        let flags = [&FLAGS[..], if resume { &["--resume"] } else { &[] }].concat();
        let (code, _, stderr) = run(&mut scenario.build(&output, &flags));
        assert_eq!(code, Some(if published { 2 } else { 0 }), "killed after {moment:?}: {stderr}");
        assert!(scenario.index(&output) == undisturbed, "killed after {moment:?}");
        assert_eq!(scenario.names(&output), PUBLISHED, "killed after {moment:?}");
        resumed += u32::from(stderr.contains("going on after"));
    }
    assert!(resumed >= 3, "only {resumed} builds were resumed: the moments are not spread over the build");
}

#[test]
fn a_killed_replacement_of_an_index_is_done_again_with_either() {
    let scenario = Scenario::new(100_000, 32);
    let old = scenario.built("old", &["--factory-string", "Flat"]);
    let began = Instant::now();
    let new = scenario.built("new", &FLAGS);
    let duration = began.elapsed();
    let replace = [&FLAGS[..], &["--overwrite"]].concat();
    let mut random = Random(4);
    for number in 0..6 {
        let output = format!("replaced-{number}");
        scenario.built(&output, &["--factory-string", "Flat"]);
        let mut build = scenario.build(&output, &replace).spawn().unwrap();
        sleep(duration.mul_f64(0.5 + 0.6 * (random.next() % 1000) as f64 / 1000.0));
        build.kill().unwrap();
        build.wait().unwrap();
        if scenario.names(&output).contains(&"_SUCCESS".to_owned()) {
            let index = scenario.index(&output);
            assert!(index == old || index == new);
        }
        let flags = [&replace[..], if number % 2 == 0 { &["--resume"] } else { &[] }].concat();
        succeed(&mut scenario.build(&output, &flags));
        assert!(scenario.index(&output) == new);
        assert_eq!(scenario.names(&output), PUBLISHED);
    }
}

#[test]
fn rows_whose_addition_is_killed_at_any_moment_are_added_once_by_the_same_command() {
    const KILLS: u32 = 30;
    let scenario = Scenario::new(60_000, 32);
    scenario.write_to("old-vectors", "old-ids", 0..50_000);
    scenario.write_to("new-vectors", "new-ids", 50_000..60_000);
    let build = ["build", "--input", "old-vectors", "--ids", "old-ids", "--factory-string", "IVF64,SQ8", "--output"];
    succeed(&mut scenario.command(&[&build[..], &["old"]].concat()));
    let old = scenario.index("old");
    let add = |index: &str| scenario.command(&["add", "--index", index, "--input", "new-vectors", "--ids", "new-ids"]);
    let copy = |to: &str| {
        fs::create_dir_all(scenario.path(to)).unwrap();
        PUBLISHED.iter().for_each(|name| {
            fs::copy(scenario.path("old").join(name), scenario.path(to).join(name)).unwrap();
        });
    };
    copy("undisturbed");
    let began = Instant::now();
    succeed(&mut add("undisturbed"));
    let duration = began.elapsed();
    let new = scenario.index("undisturbed");
    let mut random = Random(7);
    let (mut before, mut halfway) = (0, 0);
    for number in 0..KILLS {
        let index = format!("killed-{number}");
        copy(&index);
        // Two of three while the index is replaced, which takes a few milliseconds.
        let (moment, of_publication) = match number % 3 {
            0 => (duration.mul_f64(0.7 * (random.next() % 1000) as f64 / 1000.0), Duration::ZERO),
            _ => (duration * 10, Duration::from_micros(random.next() % 4_000)),
        };
        kill(&scenario, &index, &mut add(&index).spawn().unwrap(), moment, of_publication);

        let has_success = scenario.names(&index).contains(&"_SUCCESS".to_owned());
        let has_begun = has_begun_to_publish(&scenario, &index);
        assert!(has_success || has_begun, "{number}: the old index is lost");
        before += u32::from(!has_begun && scenario.index(&index) == old);
        halfway += u32::from(!has_success);
        if has_success {
            succeed(&mut scenario.command(&["verify", &index]));
        }
        let published = is_published(&scenario, &index) && scenario.index(&index) == new;
        let (code, _, stderr) = run(&mut add(&index));
        // The rows that are there are refused as repeated ones.
        assert_eq!(code, Some(i32::from(published)), "{number}: {stderr}");
        assert!(scenario.index(&index) == new, "{number}");
        assert_eq!(scenario.names(&index), PUBLISHED, "{number}");
        succeed(&mut scenario.command(&["verify", &index]));
    }
    assert!(before > 0 && halfway > 0, "{before} were killed before they published, {halfway} halfway");
}

#[test]
fn another_command_finishes_the_publication_of_a_killed_one_and_then_does_its_own() {
    let scenario = Scenario::new(30_000, 16);
    scenario.write_to("old-vectors", "old-ids", 0..20_000);
    scenario.write_to("some-vectors", "some-ids", 20_000..25_000);
    scenario.write_to("more-vectors", "more-ids", 25_000..30_000);
    let build = ["build", "--input", "old-vectors", "--ids", "old-ids", "--factory-string", "IVF16,SQ8", "--output"];
    let add = |index: &str, rows: &str| {
        let (vectors, ids) = (format!("{rows}-vectors"), format!("{rows}-ids"));
        scenario.command(&["add", "--index", index, "--input", &vectors, "--ids", &ids])
    };
    succeed(&mut scenario.command(&[&build[..], &["undisturbed"]].concat()));
    succeed(&mut add("undisturbed", "some"));
    succeed(&mut add("undisturbed", "more"));
    let begun = (0..50).find(|number| {
        let index = format!("killed-{number}");
        succeed(&mut scenario.command(&[&build[..], &[&index]].concat()));
        let mut adding = add(&index, "some").spawn().unwrap();
        kill(&scenario, &index, &mut adding, Duration::from_secs(60), Duration::ZERO);
        has_begun_to_publish(&scenario, &index)
    });
    let index = format!("killed-{}", begun.unwrap());
    // A build that does not ask to replace it finds a finished index.
    let (code, _, stderr) = run(&mut scenario.command(&[&build[..], &[&index]].concat()));
    assert!(code == Some(2) && stderr.contains("overwrite"), "{stderr}");
    assert_eq!(scenario.names(&index), PUBLISHED);
    succeed(&mut add(&index, "more"));
    assert!(scenario.index(&index) == scenario.index("undisturbed"));
}

#[test]
fn a_killed_merge_leaves_no_room_taken_when_it_is_resumed() {
    let scenario = Scenario::new(200_000, 32);
    let flags = ["--factory-string", "IVF256,Flat", "--partition-rows", "20000"];
    let undisturbed = scenario.built("undisturbed", &flags);
    // Unfinished files that are as long as the index.
    let unfinished = || -> Vec<OsString> {
        let builds = fs::read_dir(scenario.path("out/_temporary")).into_iter().flatten().flatten();
        let files = builds.filter_map(|build| fs::read_dir(build.path()).ok()).flatten().flatten();
        let hidden = files.filter(|file| file.file_name().to_string_lossy().ends_with(".partial"));
        let long = hidden.filter(|file| file.metadata().is_ok_and(|found| found.len() == undisturbed.len() as u64));
        long.map(|file| file.file_name()).collect()
    };
    for resume in [&[][..], &["--resume"], &["--resume"]] {
        let left_behind = unfinished();
        let mut build = scenario.build("out", &[&flags[..], resume].concat()).spawn().unwrap();
        while unfinished().iter().all(|name| left_behind.contains(name)) {
            assert!(build.try_wait().unwrap().is_none(), "the build ended before it was killed");
        }
        build.kill().unwrap();
        build.wait().unwrap();
        assert_eq!(unfinished().len(), 1, "files that take the room of the index");
    }
    let (_, stderr) = succeed(&mut scenario.build("out", &[&flags[..], &["--resume"]].concat()));
    assert!(stderr.contains("going on after"), "{stderr}");
    assert!(scenario.index("out") == undisturbed);
    assert_eq!(scenario.names("out"), PUBLISHED);
}

#[test]
fn a_merge_in_parts_that_is_killed_goes_on_with_the_parts_that_are_done() {
    let scenario = Scenario::new(200_000, 32);
    let flags = ["--factory-string", "IVF256,Flat", "--partition-rows", "50000"];
    let whole = scenario.built("whole", &flags);
    let in_parts = [&flags[..], &["--merge-parts", "8"]].concat();
    assert!(scenario.built("undisturbed", &in_parts) == whole);
    // With most parts to go, and while all of them are being joined.
    for (output, after) in [("merging", "merge-00002.json"), ("joining", "merge-00007.json")] {
        let mut build = scenario.build(output, &in_parts).spawn().unwrap();
        scenario.wait_for(output, after, &mut build);
        build.kill().unwrap();
        build.wait().unwrap();
        assert_eq!(scenario.names(output), ["_temporary"]);
        let (_, stderr) = succeed(&mut scenario.build(output, &[&in_parts[..], &["--resume"]].concat()));
        assert!(stderr.contains("going on after") && !stderr.contains("done again"), "{stderr}");
        assert!(scenario.index(output) == whole, "{output}");
        assert_eq!(scenario.names(output), PUBLISHED);
    }
}

#[test]
fn an_input_that_is_away_for_a_moment_costs_no_finished_step() {
    let scenario = Scenario::new(200_000, 32);
    let undisturbed = scenario.built("undisturbed", &FLAGS);
    let mut build = scenario.build("out", &FLAGS).spawn().unwrap();
    scenario.wait_for("out", "sample-0-00001.json", &mut build);
    fs::rename(scenario.path("vectors"), scenario.path("away")).unwrap();
    let (code, _, stderr) = texts(&build.wait_with_output().unwrap());
    assert!(code == Some(1) && stderr.contains("does not exist") && stderr.contains("--resume"), "{stderr}");
    fs::rename(scenario.path("away"), scenario.path("vectors")).unwrap();
    let (_, stderr) = succeed(&mut scenario.build("out", &[&FLAGS[..], &["--resume"]].concat()));
    assert!(stderr.contains("going on after"), "{stderr}");
    assert!(scenario.index("out") == undisturbed);
}

#[test]
fn a_resumed_merge_counts_the_shards_that_are_done() {
    let scenario = Scenario::new(200_000, 32);
    let flags = ["--factory-string", "IVF256,Flat", "--shards", "4", "--partition-rows", "50000"];
    let mut build = scenario.build("out", &flags).spawn().unwrap();
    scenario.wait_for("out", "merge-00000.json", &mut build);
    build.kill().unwrap();
    build.wait().unwrap();
    let (_, stderr) = succeed(&mut scenario.build("out", &[&flags[..], &["--resume"]].concat()));
    assert!(stderr.contains("merge: 200,000 rows"), "{stderr}");
}

#[test]
fn a_build_does_not_go_on_with_a_killed_addition() {
    let scenario = Scenario::new(50_000, 16);
    let flags = ["--factory-string", "IVF16,SQ8"];
    succeed(&mut scenario.build("old", &flags));
    let words = ["add", "--index", "old", "--input", "vectors", "--ids", "ids", "--output", "out"];
    let mut adding = scenario.command(&words).spawn().unwrap();
    scenario.wait_for("out", "import-00000.json", &mut adding);
    adding.kill().unwrap();
    adding.wait().unwrap();
    let (_, stderr) = succeed(&mut scenario.build("out", &[&flags[..], &["--resume"]].concat()));
    assert!(stderr.contains("holds no unfinished build"), "{stderr}");
    assert_eq!(scenario.names("out"), PUBLISHED);
}
