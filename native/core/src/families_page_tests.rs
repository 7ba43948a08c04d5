//! What `docs/families.md` says of families, against what is built and refused.

use std::collections::BTreeSet;

use crate::family::{Family, MergePlan, REFUSED};
use crate::index_layout::Labels;
use crate::spec::{IdMap, Metric};
use crate::supported_families::{
    CODES, EVERY_METRIC, GRAPHS, ID_MAPS, LISTS, LOCAL_SEARCHES, REFINED, SUMS, TRANSFORMS, pairs, parse, word,
};

const PAGE: &str = include_str!("../../../docs/families.md");

/// A row of a table on the page.
struct Row {
    examples: Vec<&'static str>,
    metrics: &'static str,
    built: &'static str,
}

fn rows() -> Vec<Row> {
    let cells = |line: &'static str| -> Vec<&'static str> { line.split('|').map(str::trim).collect() };
    let rows: Vec<_> = PAGE.lines().filter(|line| line.starts_with('|')).map(cells).collect();
    let is_example = |cells: &Vec<&str>| cells.get(2).is_some_and(|examples| examples.starts_with('`'));
    rows.into_iter()
        .filter(is_example)
        .map(|cells| {
            let [_, _family, examples, metrics, built, _remark, _] = cells[..] else { panic!("{cells:?}") };
            Row { examples: quoted(examples), metrics, built }
        })
        .collect()
}

/// What stands in backticks.
fn quoted(text: &'static str) -> Vec<&'static str> {
    text.split('`').skip(1).step_by(2).collect()
}

fn refused() -> Vec<&'static str> {
    quoted(PAGE.split_once("\n## Refused\n").unwrap().1)
}

fn accepted(family: &str) -> Vec<(Metric, Family)> {
    EVERY_METRIC
        .into_iter()
        .filter_map(|metric| parse(family, metric, IdMap::Auto).ok().map(|parsed| (metric, parsed)))
        .collect()
}

fn how(family: &Family) -> &'static str {
    match (family.merge_plan(), family.labels()) {
        (MergePlan::ByLists, Labels::Ids) => "by lists",
        (MergePlan::ByLists, Labels::Positions) => "by lists, positions",
        (MergePlan::ByPosition, _) => "by position",
        (MergePlan::SingleTask, _) => "one task",
    }
}

/// The parts of a factory string without their numbers.
fn shapes(family: &str) -> impl Iterator<Item = String> {
    family.split(',').map(|part| part.chars().filter(|letter| !letter.is_ascii_digit()).collect())
}

#[test]
fn every_example_of_the_page_takes_the_metrics_beside_it_and_is_built_as_it_says() {
    let rows = rows();
    assert!(rows.len() > 30, "the tables were not found");
    for Row { examples, metrics, built } in rows {
        for example in examples {
            let accepted = accepted(example);
            let names: Vec<String> = accepted.iter().map(|(metric, _)| word(metric)).collect();
            assert_eq!(names.join(", "), metrics, "{example}");
            assert!(accepted.iter().all(|(_, family)| how(family) == built), "{example} is not built {built}");
        }
    }
}

#[test]
fn every_part_of_a_supported_family_is_in_an_example_of_the_page() {
    let shown: BTreeSet<String> = rows().iter().flat_map(|row| &row.examples).flat_map(|each| shapes(each)).collect();
    for groups in [CODES, SUMS, LOCAL_SEARCHES, LISTS, TRANSFORMS, REFINED, ID_MAPS, GRAPHS] {
        for (family, _) in pairs(groups) {
            let missing = shapes(family).find(|shape| !shown.contains(shape));
            assert_eq!(missing, None, "{family}");
        }
    }
}

#[test]
fn what_the_page_calls_refused_is_refused_for_every_metric_and_no_refused_name_is_missing() {
    let refused = refused();
    for example in refused.iter().filter(|example| **example != "_Ncqint") {
        assert!(accepted(example).is_empty(), "{example}");
    }
    for (name, _) in REFUSED {
        assert!(refused.iter().any(|example| example.contains(name)), "{name}");
    }
}
