//! One self-contained HTML page about a finished index. The same data gives the same bytes; the page loads nothing and
//! runs nothing.

#![forbid(unsafe_code)]

mod data;
mod figures;
mod html;
mod list_plot;
mod page;
mod plot;
mod recall_plot;
mod sections;

pub use data::{LeftOutRows, ListSizeBin, ListSizes, Recall, RecallPoint, ReportData, StageFigures};
pub use page::render;

/// A page that could not be drawn.
#[derive(Debug, thiserror::Error)]
#[error("the report cannot be drawn: {0}")]
pub struct ReportError(pub(crate) String);

/// The result of drawing.
pub type Result<T> = std::result::Result<T, ReportError>;
