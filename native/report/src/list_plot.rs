//! How many inverted lists have how many rows.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::Result;
use crate::data::ListSizes;
use crate::figures::{as_double, grouped};
use crate::plot::{Area, Axis, FIRST_SERIES, GRID, INK, MUTED, Surface, draw, failed, round_step, text};

/// A picture of the histogram, or nothing without bins.
pub(crate) fn list_plot(lists: &ListSizes) -> Result<Option<String>> {
    if lists.histogram.iter().all(|bin| bin.lists == 0) {
        return Ok(None);
    }
    let bins: Vec<String> = lists
        .histogram
        .iter()
        .filter(|bin| bin.lists > 0)
        .map(|bin| format!("{} with {} to {} rows", grouped(bin.lists), grouped(bin.from), grouped(bin.to - 1)))
        .collect();
    let description = format!("Inverted lists by their number of rows. {}", bins.join("; "));
    draw(&description, |area, surface| paint(area, surface, lists)).map(Some)
}

fn paint(area: &Area<'_>, surface: Surface, lists: &ListSizes) -> Result<()> {
    let right = lists.histogram.last().map_or(1.0, |bin| as_double(bin.to));
    let most = lists.histogram.iter().map(|bin| as_double(bin.lists)).fold(1.0, f64::max);
    let top = most * 1.06;
    let ticks = |largest: f64, wanted: f64| -> Vec<f64> {
        let step = round_step(largest, wanted);
        std::iter::successors(Some(0.0), |at| Some(at + step)).take_while(|at| *at <= largest).collect()
    };
    let x_ticks = ticks(right, if surface.width < 500 { 5.0 } else { 10.0 });
    let y_ticks = ticks(top, 5.0);
    let mut chart = ChartBuilder::on(area)
        .margin_top(26)
        .margin_right(18)
        .x_label_area_size(46)
        .y_label_area_size(if surface.width < 500 { 48 } else { 66 })
        .build_cartesian_2d(Axis { range: 0.0..right, labels: x_ticks }, Axis { range: 0.0..top, labels: y_ticks })
        .map_err(failed)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(MUTED)
        .label_style(text(13, MUTED))
        .axis_desc_style(text(13, INK))
        .x_labels(12)
        .y_labels(6)
        .x_desc("rows in a list")
        .y_desc(if surface.width < 500 { "" } else { "lists" })
        .x_label_formatter(&|value| grouped_value(*value))
        .y_label_formatter(&|value| grouped_value(*value))
        .draw()
        .map_err(failed)?;
    // Bars leave a pixel between them, and are never invisible.
    let bars = lists.histogram.iter().filter(|bin| bin.lists > 0).map(|bin| {
        let corners = [(as_double(bin.from), as_double(bin.lists)), (as_double(bin.to), 0.0)];
        let mut bar = Rectangle::new(corners, FIRST_SERIES.filled());
        bar.set_margin(0, 0, 1, 1);
        bar
    });
    chart.draw_series(bars).map_err(failed)?;

    let median = as_double(lists.median) + 0.5;
    let line = PathElement::new(vec![(median, 0.0), (median, top)], INK.stroke_width(1));
    chart.draw_series([line]).map_err(failed)?;
    let (column, row) = chart.backend_coord(&(median, top));
    let (anchor, shift) = if median > right / 2.0 { (HPos::Right, 2) } else { (HPos::Left, -2) };
    let style = text(13, INK).pos(Pos::new(anchor, VPos::Bottom));
    let label = format!("median {} rows", grouped(lists.median));
    area.draw_text(&label, &style, (column + shift, row - 6)).map_err(failed)
}

fn grouped_value(value: f64) -> String {
    #[expect(clippy::as_conversions, reason = "a tick at a whole number")]
    let whole = value.round() as u64;
    grouped(whole)
}
