//! What all plots share: colours that follow the page's theme, and one drawing for wide screens and one for phones.

use std::fmt::{Display, Write as _};

use std::ops::Range;

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::prelude::*;

use crate::html::escape;
use crate::{ReportError, Result};

/// The page's style sheet replaces each of these by the colour of the theme; they occur for nothing else.
pub(crate) const INK: RGBColor = RGBColor(0x1B, 0x1F, 0x24);
pub(crate) const MUTED: RGBColor = RGBColor(0x57, 0x60, 0x6A);
pub(crate) const GRID: RGBColor = RGBColor(0xE2, 0xE5, 0xE9);
pub(crate) const FIRST_SERIES: RGBColor = RGBColor(0x1F, 0x5F, 0xC4);
pub(crate) const SECOND_SERIES: RGBColor = RGBColor(0xB3, 0x4A, 0x0C);

/// A surface of pixels. Text of 13 pixels stays readable because nothing is scaled down much.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Surface {
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// The class by which the style sheet shows or hides it.
    class: &'static str,
    /// About how many labels fit beside one another.
    pub(crate) labels: usize,
}

const SURFACES: [Surface; 2] = [
    Surface { width: 840, height: 340, class: "wide", labels: 12 },
    Surface { width: 340, height: 280, class: "narrow", labels: 5 },
];

/// A linear axis with labels at given places.
pub(crate) struct Axis {
    pub(crate) range: Range<f64>,
    pub(crate) labels: Vec<f64>,
}

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (begin, end): (i32, i32)) -> i32 {
        let share = (value - self.range.start) / (self.range.end - self.range.start);
        let pixel = f64::from(begin) + f64::from(end - begin) * share;
        #[expect(clippy::as_conversions, reason = "a pixel; what is no number becomes 0")]
        let pixel = pixel.round() as i32;
        pixel
    }

    fn key_points<Hint: KeyPointHint>(&self, _hint: Hint) -> Vec<f64> {
        self.labels.clone()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

pub(crate) type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// Draws once for each surface. `description` is what the picture says, for those who do not see it.
pub(crate) fn draw(description: &str, paint: impl Fn(&Area<'_>, Surface) -> Result<()>) -> Result<String> {
    let mut html = String::new();
    for surface in SURFACES {
        let mut svg = String::new();
        let area = SVGBackend::with_string(&mut svg, (surface.width, surface.height)).into_drawing_area();
        paint(&area, surface)?;
        area.present().map_err(failed)?;
        drop(area);
        let drawing = svg.split_once("<svg").and_then(|(_, rest)| rest.split_once('>')).map(|(_, drawing)| drawing);
        let drawing = drawing.ok_or_else(|| ReportError("the plot is no SVG".to_owned()))?;
        let Surface { width, height, class, .. } = surface;
        let _ = write!(
            html,
            "<svg class=\"plot {class}\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\">{drawing}",
            escape(description)
        );
    }
    Ok(html)
}

pub(crate) fn failed(error: impl Display) -> ReportError {
    ReportError(error.to_string())
}

pub(crate) fn text(pixels: i32, color: RGBColor) -> TextStyle<'static> {
    // The SVG backend takes sizes for those of a bounding box and writes them divided by this.
    const BOX_PER_FONT_SIZE: f64 = 1.24;
    ("sans-serif", f64::from(pixels) * BOX_PER_FONT_SIZE).into_font().color(&color)
}

/// Round steps that divide `0..=largest` into about `wanted` parts.
pub(crate) fn round_step(largest: f64, wanted: f64) -> f64 {
    let raw = (largest / wanted).max(1.0);
    let power = 10_f64.powf(raw.log10().floor());
    [1.0, 2.0, 2.5, 5.0, 10.0]
        .map(|digit| digit * power)
        .into_iter()
        .find(|step| *step >= raw && step.fract() == 0.0)
        .unwrap_or(raw)
}
