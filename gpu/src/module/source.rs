//! Texts of kernels.

use sha2::{Digest, Sha256};

/// A text with kernels, and what it was compiled to before.
#[derive(Clone, Copy, Debug)]
pub struct KernelSource {
    /// What errors call it.
    pub name: &'static str,
    /// In CUDA C++, piece after piece.
    pub text: &'static [&'static str],
    /// As PTX of compute capability [`KernelSource::CAPABILITY`], for where no compiler is.
    pub ptx: &'static str,
}

impl KernelSource {
    /// What [`KernelSource::ptx`] is for, and newer devices.
    pub const CAPABILITY: [u32; 2] = [8, 0];
    /// What texts are compiled with, besides the device's architecture. Keep `OPTIONS` of `kernels/build.py` the same.
    pub const OPTIONS: [&'static str; 2] = ["--std=c++17", "--fmad=false"];

    /// The whole text.
    pub fn joined(&self) -> String {
        self.text.concat()
    }

    /// The SHA-256 of the whole text, in hexadecimal digits.
    pub fn digest(&self) -> String {
        digest(&[&self.joined()])
    }
}

/// The SHA-256 of some texts one after the other, in hexadecimal digits.
pub(super) fn digest(texts: &[&str]) -> String {
    let mut hash = Sha256::new();
    texts.iter().for_each(|text| hash.update(text));
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
