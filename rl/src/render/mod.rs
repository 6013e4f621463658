//! Pictures of classic control, drawn in software: PNG of single states, GIF of episodes.
//!
//! ```
//! use rayline_rl::render::Scene;
//!
//! let scene = Scene::of("CartPole-v1").expect("classic control has scenes");
//! let picture = scene.draw(&[0.5, 0.0, 0.1, 0.0]);      // an observation
//! assert_eq!((picture.width(), picture.height()), (600, 400));
//! ```

mod canvas;
mod files;
mod scene;

pub use canvas::{Canvas, Colour};
pub use files::{GifFile, RenderError, write_png};
pub use scene::Scene;
