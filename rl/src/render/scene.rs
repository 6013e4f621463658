//! What the tasks of classic control look like, after Gymnasium's pictures.

use super::{Canvas, Colour};

const WHITE: Colour = [255, 255, 255];
const BLACK: Colour = [0, 0, 0];
const GREY: Colour = [128, 128, 128];
const WOOD: Colour = [202, 152, 101];
const BLUE: Colour = [129, 132, 203];
const RED: Colour = [204, 77, 77];
const TEAL: Colour = [0, 204, 204];
const OLIVE: Colour = [204, 204, 0];

/// The picture of one task, which needs nothing but an observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scene {
    /// A cart on a track with its pole.
    CartPole,
    /// A rod that turns around its end.
    Pendulum,
    /// A car on a hill.
    MountainCar,
    /// Two links, and the line to be reached.
    Acrobot,
}

impl Scene {
    /// The scene of an environment, if it has one.
    pub fn of(env: &str) -> Option<Self> {
        match env {
            "CartPole-v1" => Some(Self::CartPole),
            "Pendulum-v1" => Some(Self::Pendulum),
            "MountainCar-v0" | "MountainCarContinuous-v0" => Some(Self::MountainCar),
            "Acrobot-v1" => Some(Self::Acrobot),
            _ => None,
        }
    }

    /// Draws the state that `obs` (one observation) was made of.
    ///
    /// # Panics
    /// If `obs` is shorter than an observation of the task.
    pub fn draw(self, obs: &[f32]) -> Canvas {
        let at = |index: usize| f64::from(obs[index]);
        match self {
            Self::CartPole => cart_pole(at(0), at(2)),
            Self::Pendulum => pendulum(at(1).atan2(at(0))),
            Self::MountainCar => mountain_car(at(0)),
            Self::Acrobot => acrobot(at(1).atan2(at(0)), at(3).atan2(at(2))),
        }
    }
}

fn cart_pole(x: f64, angle: f64) -> Canvas {
    const SCALE: f64 = 600.0 / 4.8;
    let mut canvas = Canvas::new(600, 400, WHITE);
    let (cart, axle) = (300.0 + x * SCALE, 107.5);
    canvas.line((0.0, 100.0), (600.0, 100.0), 1.0, BLACK);
    canvas.polygon(&[(cart - 25.0, 85.0), (cart - 25.0, 115.0), (cart + 25.0, 115.0), (cart + 25.0, 85.0)], BLACK);
    let tip = (cart + SCALE * angle.sin(), axle + SCALE * angle.cos());
    canvas.line((cart, axle), tip, 10.0, WOOD);
    canvas.circle((cart, axle), 5.0, BLUE);
    canvas
}

/// `angle` is 0 upright, and grows against the clock.
fn pendulum(angle: f64) -> Canvas {
    const SCALE: f64 = 500.0 / 4.4;
    let mut canvas = Canvas::new(500, 500, WHITE);
    let middle = (250.0, 250.0);
    let tip = (middle.0 - SCALE * angle.sin(), middle.1 + SCALE * angle.cos());
    canvas.line(middle, tip, 0.2 * SCALE, RED);
    canvas.circle(middle, 0.1 * SCALE, RED);
    canvas.circle(tip, 0.1 * SCALE, RED);
    canvas.circle(middle, 0.05 * SCALE, BLACK);
    canvas
}

fn mountain_car(position: f64) -> Canvas {
    const SCALE: f64 = 600.0 / 1.8;
    const GOAL: f64 = 0.5;
    let at = |x: f64| ((x + 1.2) * SCALE, ((3.0 * x).sin() * 0.45 + 0.55) * SCALE);
    let mut canvas = Canvas::new(600, 400, WHITE);
    let hill: Vec<_> = (0..=100).map(|i| at(-1.2 + 0.018 * f64::from(i))).collect();
    hill.windows(2).for_each(|ends| canvas.line(ends[0], ends[1], 1.5, BLACK));
    let pole = at(GOAL);
    canvas.line(pole, (pole.0, pole.1 + 50.0), 1.5, BLACK);
    canvas.polygon(&[(pole.0, pole.1 + 50.0), (pole.0, pole.1 + 40.0), (pole.0 + 25.0, pole.1 + 45.0)], OLIVE);
    // The car's own axes: along the slope, and away from the ground.
    let slope = (3.0 * position).cos().atan();
    let ground = at(position);
    let point = |along: f64, up: f64| {
        let (sin, cos) = slope.sin_cos();
        (ground.0 + along * cos - up * sin, ground.1 + along * sin + up * cos)
    };
    canvas.polygon(&[point(-20.0, 10.0), point(-20.0, 30.0), point(20.0, 30.0), point(20.0, 10.0)], BLACK);
    canvas.circle(point(-10.0, 8.0), 8.0, GREY);
    canvas.circle(point(10.0, 8.0), 8.0, GREY);
    canvas
}

/// `first` is 0 hanging down; `second` is relative to it.
fn acrobot(first: f64, second: f64) -> Canvas {
    const SCALE: f64 = 500.0 / 4.4;
    let mut canvas = Canvas::new(500, 500, WHITE);
    let middle = (250.0, 250.0);
    canvas.line((0.0, middle.1 + SCALE), (500.0, middle.1 + SCALE), 1.0, BLACK);
    let end = |from: (f64, f64), angle: f64| (from.0 + SCALE * angle.sin(), from.1 - SCALE * angle.cos());
    let joint = end(middle, first);
    let tip = end(joint, first + second);
    canvas.line(middle, joint, 0.2 * SCALE, TEAL);
    canvas.line(joint, tip, 0.2 * SCALE, TEAL);
    canvas.circle(middle, 0.1 * SCALE, OLIVE);
    canvas.circle(joint, 0.1 * SCALE, OLIVE);
    canvas
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The mean column and row (from the top) of all pixels of a colour.
    fn middle(canvas: &Canvas, colour: Colour) -> (f64, f64) {
        let all = (0..canvas.height()).flat_map(|row| (0..canvas.width()).map(move |column| (column, row)));
        let found: Vec<_> = all.filter(|(column, row)| canvas.pixel(*column, *row) == colour).collect();
        assert!(found.len() > 50, "{} pixels", found.len());
        let mean = |pick: fn(&(usize, usize)) -> usize| {
            found.iter().map(|at| pick(at) as f64).sum::<f64>() / found.len() as f64
        };
        (mean(|at| at.0), mean(|at| at.1))
    }

    #[test]
    fn a_cart_moves_and_its_pole_leans_to_the_right() {
        let upright = Scene::CartPole.draw(&[0.0; 4]);
        let leaning = Scene::CartPole.draw(&[1.0, 0.0, 0.2, 0.0]);
        let ((x0, y0), (x1, y1)) = (middle(&upright, WOOD), middle(&leaning, WOOD));
        assert!((x0 - 299.5).abs() < 1.0, "{x0}");
        assert!(x1 > x0 + 125.0 + 8.0 && y1 > y0, "({x0}, {y0}) and then ({x1}, {y1})");
    }

    #[test]
    fn a_pendulum_points_where_its_angle_does() {
        let up = middle(&Scene::Pendulum.draw(&[1.0, 0.0, 0.0]), RED);
        let left = middle(&Scene::Pendulum.draw(&[0.0, 1.0, 0.0]), RED);
        assert!(up.1 < 220.0 && (up.0 - 250.0).abs() < 2.0, "{up:?}");
        assert!(left.0 < 220.0 && (left.1 - 250.0).abs() < 2.0, "{left:?}");
    }

    #[test]
    fn a_car_stands_on_its_hill() {
        let valley = middle(&Scene::MountainCar.draw(&[-0.52, 0.0]), GREY);
        let goal = middle(&Scene::MountainCar.draw(&[0.5, 0.0]), GREY);
        assert!(goal.0 > valley.0 + 300.0 && goal.1 < valley.1 - 200.0, "{valley:?}, then {goal:?}");
    }

    #[test]
    fn an_acrobot_hangs_and_stands() {
        let hanging = middle(&Scene::Acrobot.draw(&[1.0, 0.0, 1.0, 0.0, 0.0, 0.0]), TEAL);
        let standing = middle(&Scene::Acrobot.draw(&[-1.0, 0.0, 1.0, 0.0, 0.0, 0.0]), TEAL);
        assert!(hanging.1 > 300.0 && standing.1 < 200.0, "{hanging:?} {standing:?}");
    }

    #[test]
    fn all_of_classic_control_has_scenes() {
        assert!(crate::env::ids().all(|id| Scene::of(id).is_some()));
        assert_eq!(Scene::of("Ant-v5"), None);
    }
}
