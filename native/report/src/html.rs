//! Pieces of HTML. Text goes through [`escape`] wherever it comes from outside.

use std::fmt::Write as _;

/// Text as HTML shows it literally, in content and in quoted attributes.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in printable(text).chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Text without control characters, which are no part of HTML.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '\u{FFFD}' } else { character }).collect()
}

/// A section with a heading; `content` is HTML.
pub(crate) fn section(heading: &str, content: &str) -> String {
    format!("<section>\n<h2>{}</h2>\n{content}</section>\n", escape(heading))
}

/// A table of cells that are text. The first cell names its row, the columns of `numbers` are aligned at their end, and
/// the row `marked` stands out.
pub(crate) fn table(
    caption: &str,
    head: &[&str],
    rows: &[Vec<String>],
    numbers: impl Fn(usize) -> bool,
    marked: Option<usize>,
) -> String {
    let class = |column| if numbers(column) { " class=\"number\"" } else { "" };
    let mut html = format!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{0}\">\n<table>\n<caption>{0}</caption>\n\
         <thead><tr>",
        escape(caption)
    );
    for (column, name) in head.iter().enumerate() {
        let _ = write!(html, "<th scope=\"col\"{}>{}</th>", class(column), escape(name));
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    for (number, row) in rows.iter().enumerate() {
        html.push_str(if marked == Some(number) { "<tr class=\"marked\">" } else { "<tr>" });
        for (column, cell) in row.iter().enumerate() {
            let tag = if column == 0 { "th scope=\"row\"" } else { "td" };
            let _ = write!(html, "<{tag}{}>{}</{}>", class(column), escape(cell), &tag[..2]);
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody>\n</table>\n</div>\n");
    html
}

/// Names and values, one pair a line.
pub(crate) fn pairs(pairs: &[(String, String)]) -> String {
    let mut html = "<dl class=\"pairs\">\n".to_owned();
    for (name, value) in pairs {
        let _ = writeln!(html, "<div><dt>{}</dt><dd>{}</dd></div>", escape(name), escape(value));
    }
    html.push_str("</dl>\n");
    html
}

/// A few figures beside one another.
pub(crate) fn figures(figures: &[(String, String)]) -> String {
    let mut html = "<dl class=\"figures\">\n".to_owned();
    for (name, value) in figures {
        let _ = writeln!(html, "<div><dt>{}</dt><dd>{}</dd></div>", escape(name), escape(value));
    }
    html.push_str("</dl>\n");
    html
}

/// Bars of lengths relative to the longest, each with its name and its value in words.
pub(crate) fn bars(label: &str, bars: &[(String, f64, String)]) -> String {
    let longest = bars.iter().map(|(_, length, _)| *length).fold(0.0, f64::max);
    let mut html = format!("<ul class=\"bars\" aria-label=\"{}\">\n", escape(label));
    for (name, length, value) in bars {
        let percent = if longest > 0.0 { (length / longest * 100.0).max(0.5) } else { 0.0 };
        let _ = writeln!(
            html,
            "<li><span class=\"name\">{}</span><span class=\"track\" aria-hidden=\"true\"><span class=\"bar\" \
             style=\"width:{percent:.1}%\"></span></span><span class=\"value\">{}</span></li>",
            escape(name),
            escape(value)
        );
    }
    html.push_str("</ul>\n");
    html
}
