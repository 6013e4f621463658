//! Bytes of any origin give a value or an error: `cargo +nightly fuzz run decode` in `runtime/store`.
//!
//! The smoke test `tests/hostile.rs` does the same to mutated encodings, without a fuzzer.

#![no_main]

#[path = "../../tests/any_bytes/mod.rs"]
mod any_bytes;
#[path = "../../tests/model/mod.rs"]
mod model;

use rayline_store::Region;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    any_bytes::check(&Region::copy_of(bytes)).ok();
    // The same as the in-band part of an encoding without segments, so that it needn't find the header first.
    let mut whole = b"RLV\x01\0\0\0\0".to_vec();
    whole.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    whole.extend_from_slice(bytes);
    any_bytes::check(&Region::copy_of(&whole)).ok();
});
