//! Recall over the setting, on a logarithmic axis.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::data::{Recall, RecallPoint};
use crate::figures::{grouped, percent};
use crate::html::printable;
use crate::plot::{Area, Axis, FIRST_SERIES, GRID, INK, MUTED, SECOND_SERIES, Surface, draw, failed, text};
use crate::{Result, figures};

/// A picture of the points, or nothing when there are too few to draw a line.
pub(crate) fn recall_plot(recall: &Recall) -> Result<Option<String>> {
    let values: Vec<u64> = recall.points.iter().filter_map(|point| point.value).collect();
    let (Some(setting), Some(first), Some(last)) = (&recall.setting, values.first(), values.last()) else {
        return Ok(None);
    };
    if first >= last || *first == 0 {
        return Ok(None);
    }
    let description = describe(recall, setting);
    let setting = printable(setting);
    let plot = draw(&description, |area, surface| paint(area, surface, recall, &setting, &values))?;
    Ok(Some(format!("<figure>\n{LEGEND}{plot}</figure>\n")))
}

fn describe(recall: &Recall, setting: &str) -> String {
    let point = |point: &RecallPoint| {
        let at = |k: &str, share: Option<f64>| share.map(|share| format!(" recall@{k} {}", percent(share)));
        let parts = [at("1", point.at_1), at("10", point.at_10)];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        format!("{setting} {}:{}", grouped(point.value.unwrap_or_default()), parts.join(","))
    };
    let points: Vec<String> = recall.points.iter().map(point).collect();
    format!("Recall over {setting}. {}", points.join("; "))
}

/// The series' names beside their shapes; in the page rather than in the plot, where lines could run through them.
const LEGEND: &str = "<figcaption class=\"legend\"><span class=\"first\"><span aria-hidden=\"true\">●</span> \
                      recall@10</span> <span class=\"second\"><span aria-hidden=\"true\">▲</span> recall@1</span>\
                      </figcaption>\n";

type Series = (&'static str, RGBColor, fn(&RecallPoint) -> Option<f64>);
const CIRCLES: &str = "recall@10";
const SERIES: [Series; 2] =
    [(CIRCLES, FIRST_SERIES, |point| point.at_10), ("recall@1", SECOND_SERIES, |point| point.at_1)];

fn paint(area: &Area<'_>, surface: Surface, recall: &Recall, setting: &str, values: &[u64]) -> Result<()> {
    let place = |value: u64| figures::as_double(value).log2();
    let (first, last) = (place(values[0]), place(values[values.len() - 1]));
    let margin = (last - first) * 0.03;
    let lowest = recall.points.iter().flat_map(|point| [point.at_1, point.at_10]).flatten().fold(1.0, f64::min);
    // A line needs no zero, but small differences must not look large.
    let bottom = if lowest > 0.55 { ((lowest - 0.05) * 10.0).floor() / 10.0 } else { 0.0 };
    let step = if bottom > 0.0 { 0.1 } else { 0.2 };
    let shares: Vec<f64> =
        (0..=10).map(|number| bottom + step * f64::from(number)).filter(|share| *share < 1.0 + 1e-9).collect();

    // As many powers of two as there is room for.
    let every = values.len().div_ceil(surface.labels);
    let ticks: Vec<f64> = values.iter().step_by(every).map(|value| place(*value)).collect();
    let mut chart = ChartBuilder::on(area)
        .margin_top(26)
        .margin_right(14)
        .x_label_area_size(46)
        .y_label_area_size(if surface.width < 500 { 52 } else { 62 })
        .build_cartesian_2d(
            Axis { range: first - margin..last + margin, labels: ticks },
            Axis { range: bottom..1.02, labels: shares },
        )
        .map_err(failed)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(MUTED)
        .label_style(text(13, MUTED))
        .axis_desc_style(text(13, INK))
        .x_labels(surface.labels)
        .y_labels(6)
        .x_desc(format!("{setting} (logarithmic)"))
        .y_desc(if surface.width < 500 { "" } else { "recall" })
        .x_label_formatter(&|place| grouped_power(*place))
        .y_label_formatter(&|share| format!("{:.0} %", share * 100.0))
        .draw()
        .map_err(failed)?;

    if let Some(suggested) = recall.suggested.filter(|suggested| values.contains(suggested)) {
        let x = place(suggested);
        let dashes = (0..40).filter(|dash| dash % 2 == 0).map(|dash| {
            let height = |part: i32| bottom + (1.02 - bottom) * f64::from(part) / 40.0;
            PathElement::new(vec![(x, height(dash)), (x, height(dash + 1))], MUTED.stroke_width(1))
        });
        chart.draw_series(dashes).map_err(failed)?;
        let (column, row) = chart.backend_coord(&(x, 1.02));
        let (anchor, shift) = if x > (first + last) / 2.0 { (HPos::Right, 2) } else { (HPos::Left, -2) };
        let style = text(13, INK).pos(Pos::new(anchor, VPos::Bottom));
        let label = format!("suggested {setting} {}", grouped(suggested));
        area.draw_text(&label, &style, (column + shift, row - 6)).map_err(failed)?;
    }

    for (name, color, share) in SERIES {
        let line: Vec<(f64, f64)> =
            recall.points.iter().filter_map(|point| Some((place(point.value?), share(point)?))).collect();
        chart.draw_series(LineSeries::new(line.iter().copied(), color.stroke_width(2))).map_err(failed)?;
        // Shapes tell the series apart where colours do not.
        let filled = color.filled();
        if name == CIRCLES {
            chart.draw_series(line.iter().map(|point| Circle::new(*point, 4, filled))).map_err(failed)?;
        } else {
            chart.draw_series(line.iter().map(|point| TriangleMarker::new(*point, 5, filled))).map_err(failed)?;
        }
    }
    Ok(())
}

fn grouped_power(place: f64) -> String {
    #[expect(clippy::as_conversions, reason = "the logarithm of a whole number")]
    let value = place.exp2().round() as u64;
    grouped(value)
}
