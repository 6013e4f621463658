//! Shapes on pixels.

/// Red, green and blue, 0 to 255 each.
pub type Colour = [u8; 3];

/// A position in pixels: to the right and *up* from the lower left corner.
type Point = (f64, f64);

/// Points per pixel and axis at which a shape is looked at, so that edges are smooth.
const SAMPLES: usize = 3;

/// A picture that shapes are drawn on, in pixels from the lower left corner up, as the scenes of classic control count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canvas {
    width: usize,
    height: usize,
    /// `[height, width, 3]`, the top row first.
    pixels: Vec<u8>,
}

impl Canvas {
    /// A picture of one colour.
    pub fn new(width: usize, height: usize, colour: Colour) -> Self {
        Self { width, height, pixels: colour.repeat(width * height) }
    }

    /// Fills a polygon, given by its corners in their order around it.
    pub fn polygon(&mut self, corners: &[Point], colour: Colour) {
        self.fill(bounds(corners, 0.0), colour, |point| is_within(corners, point));
    }

    /// Fills a circle.
    pub fn circle(&mut self, centre: Point, radius: f64, colour: Colour) {
        let is_within = |(x, y): Point| (x - centre.0).powi(2) + (y - centre.1).powi(2) <= radius * radius;
        self.fill(bounds(&[centre], radius), colour, is_within);
    }

    /// Draws a straight line with square ends.
    pub fn line(&mut self, from: Point, to: Point, thickness: f64, colour: Colour) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let scale = thickness / 2.0 / dx.hypot(dy).max(1e-9);
        let (nx, ny) = (-dy * scale, dx * scale);
        let corners =
            [(from.0 + nx, from.1 + ny), (to.0 + nx, to.1 + ny), (to.0 - nx, to.1 - ny), (from.0 - nx, from.1 - ny)];
        self.polygon(&corners, colour);
    }

    /// Columns of pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows of pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Red, green and blue of all pixels, `[height, width, 3]`, the top row first.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The colour of the pixel in a column from the left and a row from the *top*.
    pub fn pixel(&self, column: usize, row: usize) -> Colour {
        let at = 3 * (row * self.width + column);
        [self.pixels[at], self.pixels[at + 1], self.pixels[at + 2]]
    }

    /// Mixes `colour` into each pixel between two corners by the share of it that `is_within`.
    fn fill(&mut self, [low, high]: [Point; 2], colour: Colour, is_within: impl Fn(Point) -> bool) {
        let cut = |value: f64, end: usize| value.clamp(0.0, end as f64) as usize;
        let (columns, rows) = (
            cut(low.0, self.width)..cut(high.0 + 1.0, self.width),
            cut(low.1, self.height)..cut(high.1 + 1.0, self.height),
        );
        for row in rows {
            for column in columns.clone() {
                let share = share(column, row, &is_within);
                let at = 3 * ((self.height - 1 - row) * self.width + column);
                for (pixel, colour) in self.pixels[at..at + 3].iter_mut().zip(colour) {
                    *pixel = (f64::from(*pixel) * (1.0 - share) + f64::from(colour) * share).round() as u8;
                }
            }
        }
    }
}

/// How much of a pixel is within, from 0 to 1.
fn share(column: usize, row: usize, is_within: &impl Fn(Point) -> bool) -> f64 {
    let inner = |at: usize| (at as f64 + 0.5) / SAMPLES as f64;
    let samples =
        (0..SAMPLES * SAMPLES).map(|at| (column as f64 + inner(at % SAMPLES), row as f64 + inner(at / SAMPLES)));
    samples.filter(|point| is_within(*point)).count() as f64 / (SAMPLES * SAMPLES) as f64
}

/// The corners of the smallest box around `points`, wider by `margin` on all sides.
fn bounds(points: &[Point], margin: f64) -> [Point; 2] {
    let fold = |start: f64, pick: fn(f64, f64) -> f64| {
        points.iter().fold((start, start), |(x, y), point| (pick(x, point.0), pick(y, point.1)))
    };
    let (low, high) = (fold(f64::INFINITY, f64::min), fold(f64::NEG_INFINITY, f64::max));
    [(low.0 - margin, low.1 - margin), (high.0 + margin, high.1 + margin)]
}

/// Whether a ray from the point crosses the edges an odd number of times.
fn is_within(corners: &[Point], (x, y): Point) -> bool {
    let edges = corners.iter().zip(corners.iter().cycle().skip(1));
    let crossed = edges.filter(|(a, b)| (a.1 > y) != (b.1 > y) && x < a.0 + (b.0 - a.0) * (y - a.1) / (b.1 - a.1));
    crossed.count() % 2 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHITE: Colour = [255; 3];
    const RED: Colour = [200, 0, 0];

    #[test]
    fn a_polygon_covers_its_pixels_and_no_others() {
        let mut canvas = Canvas::new(6, 4, WHITE);
        canvas.polygon(&[(1.0, 0.0), (3.0, 0.0), (3.0, 2.0), (1.0, 2.0)], RED);
        let red = (0..4).flat_map(|row| (0..6).map(move |column| (column, row)));
        let red: Vec<_> = red.filter(|(column, row)| canvas.pixel(*column, *row) == RED).collect();
        assert_eq!(red, [(1, 2), (2, 2), (1, 3), (2, 3)], "the lower left is at the last rows");
        assert_eq!(canvas.pixels().len(), 72);
    }

    #[test]
    fn edges_are_mixed() {
        let mut canvas = Canvas::new(2, 1, [0; 3]);
        canvas.polygon(&[(0.0, 0.0), (2.0, 0.0), (2.0, 1.0)], [90; 3]);
        let [left, right] = [0, 1].map(|column| canvas.pixel(column, 0)[0]);
        assert!(0 < left && left < right && right < 90, "{left} {right}");
    }

    #[test]
    fn what_lies_outside_is_cut_off() {
        let mut canvas = Canvas::new(4, 4, WHITE);
        canvas.circle((0.0, 0.0), 1.5, RED);
        canvas.line((-10.0, 3.5), (50.0, 3.5), 1.0, RED);
        canvas.circle((100.0, -100.0), 5.0, RED);
        canvas.line((1.0, 1.0), (1.0, 1.0), 2.0, RED);
        assert_eq!((canvas.pixel(0, 3), canvas.pixel(3, 0), canvas.pixel(3, 3)), (RED, RED, WHITE));
    }

    #[test]
    fn numbers_that_are_none_draw_nothing() {
        let mut canvas = Canvas::new(4, 4, WHITE);
        canvas.circle((f64::NAN, 1.0), 2.0, RED);
        canvas.line((f64::NAN, 0.0), (1.0, f64::INFINITY), 2.0, RED);
        assert_eq!(canvas, Canvas::new(4, 4, WHITE));
    }
}
