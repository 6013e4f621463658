//! A curve in text.

use std::fmt::Write;

/// Columns of the curve.
const WIDTH: usize = 64;
/// Eighths of a character cell, from the bottom.
const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Draws `points` (step, value), in the order of their steps, as bars over the steps, `height` lines high without the
/// axis. Empty without points.
pub fn curve(points: &[(u64, f64)], height: usize) -> String {
    let (Some(&(first, _)), Some(&(last, _))) = (points.first(), points.last()) else { return String::new() };
    let columns = columns(points, first, last);
    let low = columns.iter().copied().fold(f64::INFINITY, f64::min).min(0.0);
    let high = columns.iter().copied().fold(f64::NEG_INFINITY, f64::max).max(low + 1e-9);
    let mut drawing = String::new();
    for line in (0..height).rev() {
        let label = low + (high - low) * (line + 1) as f64 / height as f64;
        let _ = write!(drawing, "{label:>9.1} ┤");
        drawing.extend(columns.iter().map(|value| bar((value - low) / (high - low) * height as f64, line)));
        drawing.push('\n');
    }
    let _ = writeln!(drawing, "{low:>9.1} └{}", "─".repeat(columns.len()));
    let right = format!("{last} steps");
    let _ = writeln!(drawing, "{:>11}{first:<width$}{right}", "", width = columns.len().saturating_sub(right.len()));
    drawing
}

/// The mean of the points in each column; a column without any has what is left of it.
fn columns(points: &[(u64, f64)], first: u64, last: u64) -> Vec<f64> {
    let width = WIDTH.min(points.len());
    let (mut sums, mut counts) = (vec![0.0; width], vec![0u32; width]);
    for &(step, value) in points {
        let column = ((step - first) as usize * width / ((last - first) as usize + 1)).min(width - 1);
        sums[column] += value;
        counts[column] += 1;
    }
    let mut before = points[0].1;
    let means = sums.iter().zip(&counts).map(|(sum, &count)| {
        if count > 0 {
            before = sum / f64::from(count);
        }
        before
    });
    means.collect()
}

/// The character of a bar of `height` lines in a line counted from the bottom.
fn bar(height: f64, line: usize) -> char {
    let eighths = (height * 8.0).round() as usize;
    BARS[eighths.saturating_sub(line * 8).min(8)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rising_curve_rises() {
        let points: Vec<_> = (0..100).map(|i| (i * 10, i as f64)).collect();
        let drawing = curve(&points, 10);
        let lines: Vec<_> = drawing.lines().collect();
        assert_eq!(lines.len(), 12);
        assert!(lines[0].ends_with('█') && !lines[0].contains("█ "), "{drawing}");
        assert!(lines[11].ends_with("990 steps"), "{drawing}");
    }

    #[test]
    fn nothing_and_one_point_are_drawn_too() {
        assert_eq!(curve(&[], 10), "");
        assert!(curve(&[(5, 2.0)], 10).contains('█'));
        assert!(curve(&[(5, -2.0)], 3).contains("-2.0"));
    }
}
