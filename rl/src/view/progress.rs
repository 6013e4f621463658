//! Progress as it is made.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::curve;

/// Between two drawings.
const DRAW_AFTER: Duration = Duration::from_millis(50);
/// Between two lines.
const LINE_AFTER: Duration = Duration::from_secs(5);
/// Lines of the curve while it grows.
const LIVE_HEIGHT: usize = 6;
/// Lines of the curve at the end.
const FINAL_HEIGHT: usize = 10;

/// How much is said of progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verbosity {
    /// A bar with a curve in a terminal, else a line every five seconds.
    Live,
    /// Nothing.
    Silent,
}

/// Shows how far a run is, on standard error: steps, steps a second, time left, and the curve of its returns.
#[derive(Debug)]
pub struct ProgressView {
    shown: Shown,
    begin: Instant,
    first_step: u64,
    total_steps: u64,
    next: Duration,
    points: Vec<(u64, f64)>,
}

#[derive(Debug)]
enum Shown {
    Bar(ProgressBar),
    Lines,
    Nothing,
}

impl ProgressView {
    /// A run of `total_steps` that begins at `first_step`.
    pub fn new(first_step: u64, total_steps: u64, verbosity: Verbosity) -> Self {
        let shown = match verbosity {
            Verbosity::Live if io::stderr().is_terminal() => Shown::Bar(bar(first_step, total_steps)),
            Verbosity::Live => Shown::Lines,
            Verbosity::Silent => Shown::Nothing,
        };
        Self { shown, begin: Instant::now(), first_step, total_steps, next: Duration::ZERO, points: Vec::new() }
    }

    /// Notes the return (if one is known) at `step`, and shows it with `details` where the last picture is old enough.
    pub fn update(&mut self, step: u64, point: Option<f64>, details: impl FnOnce() -> String) {
        self.points.extend(point.map(|point| (step, point)));
        let elapsed = self.begin.elapsed();
        if elapsed < self.next {
            return;
        }
        let line = || {
            let rate = rate(step - self.first_step, elapsed);
            let left =
                Duration::from_secs_f64((self.total_steps.saturating_sub(step) as f64 / rate.max(1e-9)).min(1e9));
            let point = self.points.last().map_or_else(|| "-".to_owned(), |(_, point)| format!("{point:.1}"));
            format!("{:>6}/s  {} left  return {point:>7}  {}", short(rate), clock(left), details())
        };
        match &self.shown {
            Shown::Nothing => {}
            Shown::Bar(bar) => {
                self.next = elapsed + DRAW_AFTER;
                bar.set_position(step);
                bar.set_message(format!("{}\n{}", line(), curve(&self.points, LIVE_HEIGHT)));
            }
            Shown::Lines => {
                self.next = elapsed + LINE_AFTER;
                // That nobody reads on is no reason to stop a run.
                let _ = writeln!(io::stderr(), "{step}/{} steps {}", self.total_steps, line());
            }
        }
    }

    /// Ends the picture, and gives the whole curve.
    pub fn finish(self) -> String {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
        curve(&self.points, FINAL_HEIGHT)
    }
}

/// Steps a second.
pub fn rate(steps: u64, elapsed: Duration) -> f64 {
    steps as f64 / elapsed.as_secs_f64().max(1e-9)
}

/// `12.3k`, `1.20M`.
pub fn short(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{:.2}M", value / 1e6),
        value if value >= 1e3 => format!("{:.1}k", value / 1e3),
        value => format!("{value:.0}"),
    }
}

fn bar(first_step: u64, total_steps: u64) -> ProgressBar {
    let bar = ProgressBar::new(total_steps).with_position(first_step);
    let style = ProgressStyle::with_template("{bar:24} {pos:>7}/{len} steps {msg}").expect("a sound template");
    bar.set_style(style.progress_chars("━╸─"));
    bar
}

/// `0:07`, `1:02:03`.
fn clock(time: Duration) -> String {
    let (hours, minutes, seconds) = (time.as_secs() / 3600, time.as_secs() / 60 % 60, time.as_secs() % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!([7.4, 12_345.0, 1.2e6].map(short), ["7", "12.3k", "1.20M"]);
        assert_eq!([7, 62, 3723].map(|seconds| clock(Duration::from_secs(seconds))), ["0:07", "1:02", "1:02:03"]);
    }

    #[test]
    fn the_curve_has_all_points_however_often_it_is_shown() {
        let mut view = ProgressView::new(0, 100, Verbosity::Silent);
        view.update(10, Some(1.0), String::new);
        view.update(20, None, String::new);
        view.update(90, Some(3.0), String::new);
        assert!(view.finish().contains("90 steps"));
    }
}
