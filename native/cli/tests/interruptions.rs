//! Builds that are stopped: by Ctrl-C, by SIGTERM, and by `kill -9` at any moment.

#![allow(clippy::unwrap_used, clippy::panic, clippy::as_conversions, reason = "tests report by panicking")]

mod scenario;

use std::thread::sleep;
use std::time::{Duration, Instant};

use scenario::{Random, Scenario, run, signal, succeed, texts};

const PUBLISHED: [&str; 4] = ["_SUCCESS", "faiss.index", "faiss.manifest.json", "report.html"];

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

        let published = scenario.names(&output).contains(&"_SUCCESS".to_owned());
        if published {
            assert!(scenario.index(&output) == undisturbed, "killed after {moment:?}");
        }
        let resume = number % 2 == 0;
        let flags = [&FLAGS[..], if resume { &["--resume"] } else { &[] }].concat();
        let (code, _, stderr) = run(&mut scenario.build(&output, &flags));
        assert_eq!(code, Some(if published { 2 } else { 0 }), "killed after {moment:?}: {stderr}");
        assert!(scenario.index(&output) == undisturbed, "killed after {moment:?}");
        if !published {
            assert_eq!(scenario.names(&output), PUBLISHED, "killed after {moment:?}");
        }
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
