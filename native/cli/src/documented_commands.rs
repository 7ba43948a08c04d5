//! What the documentation says of commands and flags, against what is understood.

use std::collections::BTreeSet;

use clap::{Arg, Command, CommandFactory};

use crate::arguments::Arguments;
use crate::spelling;

const README: &str = include_str!("../../../README.md");
const PAGE: &str = include_str!("../../../docs/command-line.md");

fn commands() -> Vec<Command> {
    let mut all = spelling::with_defaults(Arguments::command()).unwrap();
    all.build();
    all.get_subcommands().filter(|command| command.get_name() != "help").cloned().collect()
}

/// The flags of a command but for `--help`.
fn flags(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|flag| flag.get_long().is_some_and(|long| long != "help"))
}

/// Every `--flag` in `text`.
fn flags_in(text: &str) -> BTreeSet<String> {
    let is_of_a_flag = |letter: char| letter.is_ascii_lowercase() || letter == '-' || letter == '_';
    let after_dashes = text.split(|letter: char| !is_of_a_flag(letter)).filter_map(|word| word.strip_prefix("--"));
    let flags = after_dashes.filter(|flag| flag.starts_with(|first: char| first.is_ascii_lowercase()));
    flags.map(|flag| flag.replace('_', "-")).collect()
}

/// The lines in code blocks, continued ones joined, that call the program.
fn calls(text: &str) -> Vec<Vec<String>> {
    let blocks = text.split("```").skip(1).step_by(2).map(|block| block.replace("\\\n", " "));
    let lines: Vec<String> = blocks.flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    lines.iter().filter_map(|line| call(line)).collect()
}

fn call(line: &str) -> Option<Vec<String>> {
    let command = line.split(['#', '>']).next()?;
    let words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
    let program = words.first()?.rsplit('/').next()?;
    (program == "faiss-indexer").then_some(words)
}

/// The cells of the rows of tables whose first cell is a flag.
fn rows_of_flags(text: &str) -> impl Iterator<Item = Vec<String>> {
    text.lines().filter(|line| line.starts_with("| `--")).map(|line| {
        let line = line.replace("\\|", "/");
        line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
    })
}

#[test]
fn every_documented_call_is_understood() {
    let examples: Vec<String> =
        commands().iter().filter_map(|command| command.get_after_help().map(ToString::to_string)).collect();
    let of_help: Vec<_> = examples.iter().flat_map(|text| text.lines()).filter_map(call).collect();
    for (calls, least) in [(calls(README), 2), (calls(PAGE), 3), (of_help, 7)] {
        assert!(calls.len() >= least, "calls were not found: {calls:?}");
        for words in calls {
            let understood = Arguments::command().try_get_matches_from(&words);
            assert!(understood.is_ok(), "{words:?}: {understood:?}");
        }
    }
}

#[test]
fn the_page_names_every_flag_with_its_commands_and_no_other() {
    let commands = commands();
    let of_commands: BTreeSet<String> =
        commands.iter().flat_map(flags).filter_map(Arg::get_long).map(str::to_owned).collect();
    let mut in_table = BTreeSet::new();
    for cells in rows_of_flags(PAGE) {
        let flag = flags_in(&cells[0]).pop_first().unwrap();
        let having: Vec<&str> = commands
            .iter()
            .filter(|command| flags(command).any(|other| other.get_long() == Some(&flag)))
            .map(Command::get_name)
            .collect();
        assert_eq!(cells[1], having.join(", "), "--{flag}");
        in_table.insert(flag);
    }
    assert_eq!(in_table, of_commands);
    let unknown: Vec<String> = flags_in(PAGE).into_iter().filter(|flag| !in_table.contains(flag)).collect();
    assert_eq!(unknown, ["help"]);
}

#[test]
fn a_literal_default_on_the_page_is_that_of_the_help() {
    let mut checked = 0;
    for cells in rows_of_flags(PAGE) {
        let Some(default) = cells[2].strip_prefix('`').and_then(|cell| cell.strip_suffix('`')) else { continue };
        let flag = flags_in(&cells[0]).pop_first().unwrap();
        let first = cells[1].split(", ").next().unwrap();
        let mut command = commands().into_iter().find(|command| command.get_name() == first).unwrap();
        command = command.mut_args(|other| if other.get_long() == Some(&flag) { other } else { other.hide(true) });
        let help: Vec<String> = command.render_help().to_string().split_whitespace().map(str::to_owned).collect();
        let help = help.join(" ");
        assert!(help.contains(&format!("[default: {default}]")), "--{flag}: {help}");
        checked += 1;
    }
    assert!(checked > 10);
}

#[test]
fn the_program_has_every_flag_that_the_readme_lists_for_both() {
    let build = commands().into_iter().find(|command| command.get_name() == "build").unwrap();
    let known: BTreeSet<String> = flags(&build).filter_map(Arg::get_long).map(str::to_owned).collect();
    let listed: BTreeSet<String> = rows_of_flags(README).flat_map(|cells| flags_in(&cells[0])).collect();
    assert!(listed.len() > 10);
    assert_eq!(listed.difference(&known).next(), None);
}
