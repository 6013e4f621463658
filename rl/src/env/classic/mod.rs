//! The classic control tasks in double precision, each one environment without a time limit: wrap it in
//! [`TimeLimit`](super::TimeLimit), or ask [`make`](super::make) for it by its id.
//!
//! Given the same state and actions they go through the same states as Gymnasium, but for the last bits of the
//! mathematics library's sines and cosines.

mod acrobot;
mod cart_pole;
mod mountain_car;
mod mountain_car_continuous;
mod pendulum;

pub use acrobot::Acrobot;
pub use cart_pole::CartPole;
pub use mountain_car::MountainCar;
pub use mountain_car_continuous::MountainCarContinuous;
pub use pendulum::Pendulum;
