//! The parts of the page.

use crate::Result;
use crate::data::{ListSizes, Recall, RecallPoint, ReportData};
use crate::figures::{as_double, bytes, grouped, percent, seconds, three_digits};
use crate::html::{bars, escape, figures as figures_beside, pairs, section, table};
use crate::list_plot::list_plot;
use crate::recall_plot::recall_plot;

/// The figures that a reader looks for first: what, value, and a word about it.
pub(crate) fn headline(data: &ReportData) -> Vec<(String, String, String)> {
    let per_row = if data.rows == 0 { 0.0 } else { as_double(data.bytes) / as_double(data.rows) };
    let trained = data.training_rows.map_or(String::new(), |rows| format!("{} trained", grouped(rows)));
    let mut cards = vec![
        ("Rows".to_owned(), grouped(data.rows), trained),
        ("Dimension".to_owned(), grouped(data.dimension), "components a row".to_owned()),
        ("Metric".to_owned(), data.metric.clone(), metric_in_words(&data.metric).to_owned()),
        ("Size".to_owned(), bytes(data.bytes), format!("{} bytes", grouped(data.bytes))),
        ("Bytes per row".to_owned(), three_digits(per_row), format!("of {} as floats", grouped(4 * data.dimension))),
    ];
    if let Some((point, share)) = data.recall.as_ref().and_then(headline_recall) {
        let setting = data.recall.as_ref().and_then(|recall| recall.setting.as_deref());
        let at = match (setting, point.value) {
            (Some(setting), Some(value)) => format!("at {setting} {}", grouped(value)),
            _ => "exhaustive search".to_owned(),
        };
        cards.push(("Recall@10".to_owned(), percent(share), at));
    }
    cards
}

/// The point that the suggestion is about, or the only one.
fn headline_recall(recall: &Recall) -> Option<(&RecallPoint, f64)> {
    let wanted = |point: &&RecallPoint| recall.suggested.is_none() || point.value == recall.suggested;
    let point = recall.points.iter().rfind(wanted)?;
    point.at_10.map(|share| (point, share))
}

fn metric_in_words(metric: &str) -> &'static str {
    match metric {
        "l2" => "squared distance",
        "ip" => "inner product",
        "cosine" => "rows of length 1",
        "l1" => "sum of differences",
        "linf" => "largest difference",
        _ => "",
    }
}

pub(crate) fn recall(recall: &Recall) -> Result<String> {
    if recall.points.is_empty() {
        return Ok(String::new());
    }
    let queries = grouped(recall.queries);
    let mut html = format!(
        "<p class=\"lead\">Share of the true neighbours, found by exact search over all rows, that the index returns. \
         {queries} rows of the input were the queries; a row is no neighbour of itself.</p>\n"
    );
    let share = |share: Option<f64>| share.map_or("–".to_owned(), percent);
    let figures = |point: &RecallPoint| {
        [share(point.at_1), share(point.at_10), point.seconds_per_query.map_or("–".to_owned(), seconds)]
    };
    let Some(setting) = &recall.setting else {
        html += "<p>This family looks at every row, so there is nothing to set.</p>\n";
        let names = ["recall@1", "recall@10", "time of one thread per query"].map(str::to_owned);
        let only = recall.points.iter().map(figures).flat_map(|figures| names.clone().into_iter().zip(figures));
        html += &figures_beside(&only.collect::<Vec<_>>());
        return Ok(section("Recall", &html));
    };
    html += &recall_plot(recall)?.unwrap_or_default();
    let rows: Vec<Vec<String>> = recall
        .points
        .iter()
        .map(|point| [point.value.map_or("–".to_owned(), grouped)].into_iter().chain(figures(point)).collect())
        .collect();
    let marked = recall.points.iter().position(|point| point.value.is_some() && point.value == recall.suggested);
    let mut caption = "Recall, and the time that one thread spends on a query".to_owned();
    if marked.is_some() {
        caption += &format!("; the suggested {setting} is in bold");
    }
    html += &table(&caption, &[setting, "recall@1", "recall@10", "time"], &rows, |column| column > 0, marked);
    Ok(section("Recall", &html))
}

pub(crate) fn lists(lists: &ListSizes) -> Result<String> {
    let explained = format!(
        "<p class=\"lead\">The imbalance factor is <strong>{:.2}</strong>: a search compares {:.2} times as many rows \
         as it would if all lists had the same size.</p>\n",
        lists.imbalance, lists.imbalance
    );
    let plot = list_plot(lists)?.map_or(String::new(), |plot| format!("<figure>{plot}</figure>\n"));
    let figures = [
        ("Lists", lists.lists),
        ("Empty", lists.empty),
        ("Smallest", lists.smallest),
        ("Median", lists.median),
        ("99th percentile", lists.percentile99),
        ("Largest", lists.largest),
    ];
    let figures: Vec<(String, String)> =
        figures.into_iter().map(|(name, value)| (name.to_owned(), grouped(value))).collect();
    Ok(section("Inverted lists", &(explained + &plot + &figures_beside(&figures))))
}

pub(crate) fn stages(data: &ReportData) -> String {
    let mut html = String::new();
    if !data.stages.is_empty() {
        let times = data.stages.iter().map(|stage| (stage.name.clone(), stage.seconds, seconds(stage.seconds)));
        html += &section("Stage times", &bars("Time of each stage", &times.collect::<Vec<_>>()));
    }
    let memory: Vec<(String, f64, String)> = data
        .stages
        .iter()
        .filter_map(|stage| stage.peak_bytes.map(|peak| (stage.name.clone(), as_double(peak), bytes(peak))))
        .collect();
    if !memory.is_empty() {
        let explained = "<p class=\"lead\">The most memory that a process had in use up to the end of the stage, \
                         everything else in that process included.</p>\n";
        html += &section("Memory", &(explained.to_owned() + &bars("Peak memory of each stage", &memory)));
    }
    html
}

pub(crate) fn left_out(data: &ReportData) -> String {
    let rows: Vec<Vec<String>> = data
        .left_out
        .iter()
        .map(|entry| {
            let ids: Vec<String> = entry.first_ids.iter().map(i64::to_string).collect();
            vec![entry.reason.clone(), grouped(entry.rows), if ids.is_empty() { "–".into() } else { ids.join(", ") }]
        })
        .collect();
    let content = if rows.is_empty() {
        "<p>None: every row of the input is in the index.</p>\n".to_owned()
    } else {
        table("Rows of the input by reason", &["rows", "count", "first ids"], &rows, |column| column == 1, None)
    };
    section("Rows left out", &content)
}

pub(crate) fn notes(data: &ReportData) -> String {
    if data.notes.is_empty() {
        return String::new();
    }
    let items: String = data.notes.iter().map(|note| format!("<li>{}</li>\n", escape(note))).collect();
    section("Notes", &format!("<ul class=\"notes\">\n{items}</ul>\n"))
}

pub(crate) fn spec(data: &ReportData) -> String {
    if data.spec.is_empty() { String::new() } else { section("Spec", &pairs(&data.spec)) }
}

pub(crate) fn identity(data: &ReportData) -> String {
    if data.identity.is_empty() { String::new() } else { section("Identity", &pairs(&data.identity)) }
}
