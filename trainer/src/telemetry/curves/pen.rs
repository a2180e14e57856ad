//! Draws lines, discs and text in the picture's pixels.

use plotters::coord::Shift;
use plotters::prelude::{
    Circle, Color, DrawingArea, PathElement, Polygon, RGBColor, Rectangle, SVGBackend, ShapeStyle, Text,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontFamily, FontStyle, IntoFont, TextStyle};

/// A drawing surface in fine pixels: [`FINE`] to one of the picture.
pub type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// The backend rounds coordinates to whole pixels, which makes steps of gentle slopes; so it gets finer ones, and the
/// picture's nominal size is put right afterwards.
pub const FINE: f64 = 8.0;

/// Colour of the background.
pub const WHITE: RGBColor = RGBColor(255, 255, 255);

/// SVG text is set by the viewer: the system's own font where there is one.
const FONT: &str = "-apple-system, Segoe UI, Helvetica, Arial, DejaVu Sans, sans-serif";

/// A part of the picture, in its pixels.
#[derive(Debug, Clone, Copy)]
pub struct Rect {
    pub left: f64,
    pub top: f64,
    pub right: f64,
    pub bottom: f64,
}

impl Rect {
    /// Whether the two have a pixel in common.
    pub fn overlaps(&self, other: &Rect) -> bool {
        self.left < other.right && other.left < self.right && self.top < other.bottom && other.top < self.bottom
    }
}

/// Draws in the picture's pixels. Nothing here can fail: the surface is a string.
pub struct Pen<'p, 'a> {
    pub area: &'p Area<'a>,
}

const DRAWN: &str = "a string takes any text";

impl Pen<'_, '_> {
    fn fine((x, y): (f64, f64)) -> (i32, i32) {
        ((x * FINE).round() as i32, (y * FINE).round() as i32)
    }

    /// A line through `points`.
    pub fn line(&self, points: &[(f64, f64)], colour: RGBColor, opacity: f64, width: f64) {
        if points.len() < 2 {
            return;
        }
        let style =
            ShapeStyle { color: colour.mix(opacity), filled: false, stroke_width: (width * FINE).round() as u32 };
        let points: Vec<_> = points.iter().copied().map(Self::fine).collect();
        self.area.draw(&PathElement::new(points, style)).expect(DRAWN);
    }

    /// A filled rectangle.
    pub fn fill(&self, rect: Rect, colour: RGBColor) {
        let corners = [Self::fine((rect.left, rect.top)), Self::fine((rect.right, rect.bottom))];
        self.area.draw(&Rectangle::new(corners, colour.filled())).expect(DRAWN);
    }

    /// A filled disc.
    pub fn disc(&self, centre: (f64, f64), radius: f64, colour: RGBColor) {
        self.area.draw(&Circle::new(Self::fine(centre), (radius * FINE) as i32, colour.filled())).expect(DRAWN);
    }

    /// The area that `points` go round, so that what lies under it shows through.
    pub fn area(&self, points: &[(f64, f64)], colour: RGBColor, opacity: f64) {
        let points: Vec<_> = points.iter().copied().map(Self::fine).collect();
        self.area.draw(&Polygon::new(points, colour.mix(opacity).filled())).expect(DRAWN);
    }

    /// Lightens what is in `rect`, so that text on it is readable.
    pub fn veil(&self, rect: Rect) {
        let corners = [Self::fine((rect.left, rect.top)), Self::fine((rect.right, rect.bottom))];
        self.area.draw(&Rectangle::new(corners, WHITE.mix(0.65).filled())).expect(DRAWN);
    }

    /// Text beside `at`, centred on its height.
    pub fn text(&self, text: &str, at: (f64, f64), size: f64, colour: RGBColor, side: HPos) {
        self.write(text, at, size, colour, side, FontStyle::Normal);
    }

    /// As [`Pen::text`], bold.
    pub fn bold(&self, text: &str, at: (f64, f64), size: f64, colour: RGBColor, side: HPos) {
        self.write(text, at, size, colour, side, FontStyle::Bold);
    }

    fn write(&self, text: &str, at: (f64, f64), size: f64, colour: RGBColor, side: HPos, style: FontStyle) {
        // The backend divides by 1.24 on the way out.
        let font = (FontFamily::Name(FONT), size * FINE * 1.24).into_font().style(style);
        let style = TextStyle::from(font).color(&colour).pos(Pos::new(side, VPos::Center));
        self.area.draw(&Text::new(text.to_owned(), Self::fine(at), style)).expect(DRAWN);
    }
}
