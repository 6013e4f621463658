//! Runs kernels: block after block, in each of them warp after warp, in each of them all lanes together.

mod access;
mod block;
mod launch;
mod warp;

pub use self::launch::Launch;
