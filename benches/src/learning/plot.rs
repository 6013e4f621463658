//! Curves as SVG.

use super::{Goal, LearningRun};
use std::fmt::Write;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
/// Around the axes: left, top, right, bottom.
const MARGINS: [f64; 4] = [64.0, 34.0, 16.0, 42.0];
/// Lines across, and numbers at them.
const TICKS: usize = 5;

/// Maps steps and returns to the picture.
struct Axes {
    steps: f64,
    low: f64,
    high: f64,
}

/// The curves of all runs for a goal, thin, their mean, thick, and the published return, dashed. `None` without points.
pub fn svg(goal: &Goal, runs: &[LearningRun]) -> Option<String> {
    let curves: Vec<&[(u64, f64)]> =
        runs.iter().filter(|run| goal.is_of(run)).map(|run| run.curve.as_slice()).collect();
    let axes = Axes::around(&curves, goal.published.0)?;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
    );
    let title = format!("{} by {}, {} seeds: return over environment steps", goal.env, goal.algorithm(), curves.len());
    label(&mut text, (WIDTH / 2.0, 20.0), "middle", &title);
    axes.draw(&mut text);
    for curve in &curves {
        line(&mut text, &axes.points(curve), "stroke=\"#9db8d9\" stroke-width=\"1\"");
    }
    line(&mut text, &axes.points(&mean(&curves)), "stroke=\"#1f4e8c\" stroke-width=\"2.5\"");
    let published = [(0, goal.published.0), (axes.steps as u64, goal.published.0)];
    line(&mut text, &axes.points(&published), "stroke=\"#b03030\" stroke-width=\"1.5\" stroke-dasharray=\"6 4\"");
    let (_, y) = axes.at(0.0, goal.published.0);
    label(&mut text, (WIDTH - MARGINS[2], y - 5.0), "end", &format!("published: {}", goal.source));
    text.push_str("</svg>\n");
    Some(text)
}

impl Axes {
    fn around(curves: &[&[(u64, f64)]], published: f64) -> Option<Self> {
        let points = || curves.iter().flat_map(|curve| curve.iter());
        let steps = points().map(|(step, _)| *step).max()? as f64;
        let returns = || points().map(|(_, value)| *value).chain([published]);
        let (low, high) = (returns().fold(f64::INFINITY, f64::min), returns().fold(f64::NEG_INFINITY, f64::max));
        let room = ((high - low) * 0.06).max(1e-9);
        Some(Self { steps, low: low - room, high: high + room })
    }

    fn at(&self, step: f64, value: f64) -> (f64, f64) {
        let [left, top, right, bottom] = MARGINS;
        let x = left + step / self.steps * (WIDTH - left - right);
        let y = top + (self.high - value) / (self.high - self.low) * (HEIGHT - top - bottom);
        (x, y)
    }

    fn points(&self, curve: &[(u64, f64)]) -> Vec<(f64, f64)> {
        curve.iter().map(|(step, value)| self.at(*step as f64, *value)).collect()
    }

    fn draw(&self, text: &mut String) {
        for tick in 0..=TICKS {
            let share = tick as f64 / TICKS as f64;
            let (step, value) = (share * self.steps, self.low + share * (self.high - self.low));
            let ((x, _), (_, y)) = (self.at(step, self.low), self.at(0.0, value));
            line(text, &[self.at(0.0, value), self.at(self.steps, value)], "stroke=\"#e4e4e4\"");
            label(text, (MARGINS[0] - 6.0, y + 4.0), "end", &format!("{value:.0}"));
            label(text, (x, HEIGHT - MARGINS[3] + 18.0), "middle", &format!("{:.0} k", step / 1e3));
        }
    }
}

/// The mean of all curves at the points of the shortest one.
fn mean(curves: &[&[(u64, f64)]]) -> Vec<(u64, f64)> {
    let shortest = curves.iter().min_by_key(|curve| curve.len()).copied().unwrap_or_default();
    let at = |curve: &[(u64, f64)], step: u64| {
        let before = curve.partition_point(|(found, _)| *found <= step);
        curve.get(before.saturating_sub(1)).map_or(0.0, |(_, value)| *value)
    };
    let sum = |step: u64| curves.iter().map(|curve| at(curve, step)).sum::<f64>();
    shortest.iter().map(|(step, _)| (*step, sum(*step) / curves.len() as f64)).collect()
}

fn line(text: &mut String, points: &[(f64, f64)], style: &str) {
    let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    writeln!(text, "<polyline points=\"{}\" fill=\"none\" {style}/>", points.join(" "))
        .expect("a string takes all that is written");
}

fn label(text: &mut String, (x, y): (f64, f64), anchor: &str, words: &str) {
    writeln!(text, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>")
        .expect("a string takes all that is written");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learning::GOALS;

    #[test]
    fn curves_are_drawn_from_left_to_right_and_better_is_higher() {
        let goal = &GOALS[0];
        let run = |seed: u64, high: f64| LearningRun {
            env: goal.env.to_owned(),
            algorithm: goal.algorithm().to_owned(),
            source: goal.source.to_owned(),
            seed,
            steps: 100,
            seconds: 1.0,
            score: high,
            curve: vec![(50, 0.0), (100, high)],
        };
        let text = svg(goal, &[run(1, 400.0), run(2, 500.0)]).expect("there are points");
        assert!(
            text.contains("CartPole-v1 by ppo, 2 seeds") && text.contains("published: RL Baselines3 Zoo"),
            "{text}"
        );
        let axes = Axes::around(&[&[(50, 0.0), (100, 400.0)]], 500.0).expect("there are points");
        let ((x0, y0), (x1, y1)) = (axes.at(50.0, 0.0), axes.at(100.0, 400.0));
        assert!(x0 < x1 && y1 < y0 && x1 <= WIDTH - MARGINS[2] + 1e-9);
        assert_eq!(mean(&[&[(50, 0.0), (100, 400.0)], &[(50, 2.0), (100, 500.0)]]), [(50, 1.0), (100, 450.0)]);
        assert_eq!(svg(goal, &[]), None);
    }
}
