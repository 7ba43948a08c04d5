//! The page as a whole.

use std::fmt::Write as _;

use crate::data::ReportData;
use crate::html::escape;
use crate::{Result, sections};

const STYLE: &str = include_str!("page.css");

/// The page about `data`.
///
/// # Errors
/// [`crate::ReportError`] if a plot cannot be drawn.
pub fn render(data: &ReportData) -> Result<String> {
    let title = escape(&data.factory_string);
    let mut html = String::from("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    let _ = write!(
        html,
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title} · faiss-indexer report</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <header>\n<p class=\"eyebrow\">faiss-indexer report</p>\n<h1>{title}</h1>\n</header>\n"
    );
    html += "<dl class=\"cards\">\n";
    for (name, value, remark) in sections::headline(data) {
        let (name, value, remark) = (escape(&name), escape(&value), escape(&remark));
        let _ = writeln!(html, "<div><dt>{name}</dt><dd>{value}<small>{remark}</small></dd></div>");
    }
    html += "</dl>\n";
    html += &sections::notes(data);
    if let Some(recall) = &data.recall {
        html += &sections::recall(recall)?;
    }
    if let Some(lists) = &data.lists {
        html += &sections::lists(lists)?;
    }
    html += "<div class=\"columns\">\n";
    html += &sections::stages(data);
    html += "</div>\n";
    html += &sections::left_out(data);
    html += "<div class=\"columns\">\n";
    html += &sections::spec(data);
    html += &sections::identity(data);
    html += "</div>\n</main>\n</body>\n</html>\n";
    Ok(html)
}
