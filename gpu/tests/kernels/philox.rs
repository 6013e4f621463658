//! The random numbers, on the CPU.
//!
//! Source: Salmon et al., SC'11: Philox4x32-10, with the seed as key and (draw, index) as counter.

/// Draw number `draw` of the sequence `(seed, index)`.
pub fn words_at(seed: u64, index: u64, draw: u64) -> [u32; 4] {
    philox(halves(seed), [halves(draw), halves(index)])
}

fn philox(mut key: [u32; 2], counter: [[u32; 2]; 2]) -> [u32; 4] {
    let [[mut c0, mut c1], [mut c2, mut c3]] = counter;
    for _ in 0..10 {
        let [low_0, high_0] = halves(0xD251_1F53 * u64::from(c0));
        let [low_1, high_1] = halves(0xCD9E_8D57 * u64::from(c2));
        (c0, c1, c2, c3) = (high_1 ^ c1 ^ key[0], low_1, high_0 ^ c3 ^ key[1], low_0);
        key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
    }
    [c0, c1, c2, c3]
}

fn halves(value: u64) -> [u32; 2] {
    [value as u32, (value >> 32) as u32]
}

/// Source: the known answers that come with the authors' Random123.
#[test]
fn it_gives_the_published_answers() {
    assert_eq!(philox([0; 2], [[0; 2]; 2]), [0x6627_E8D5, 0xE169_C58D, 0xBC57_AC4C, 0x9B00_DBD8]);
    let digits_of_pi = philox([0xA409_3822, 0x299F_31D0], [[0x243F_6A88, 0x85A3_08D3], [0x1319_8A2E, 0x0370_7344]]);
    assert_eq!(digits_of_pi, [0xD16C_FE09, 0x94FD_CCEB, 0x5001_E420, 0x2412_6EA1]);
}
