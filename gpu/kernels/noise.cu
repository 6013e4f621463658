// Standard normal numbers that are a function of seed, stream and place: four of one Philox block a thread.
//
// Source: Salmon et al., SC'11; Box & Muller 1958.

// Two of them from two words. The half bit keeps the logarithm's argument above zero.
__device__ __forceinline__ void normal_pair(u32 radius_word, u32 angle_word, float* first, float* second) {
    float unit = ((float)radius_word + 0.5f) * (1.0f / 4294967808.0f);
    float turns = (float)(int)(angle_word >> 8) * (1.0f / 16777216.0f);
    float radius = sqrtf(fmaxf(-2.0f * natural_log(unit), 0.0f));
    float sin, cos;
    sin_cos_turns(turns, &sin, &cos);
    *first = radius * cos;
    *second = radius * sin;
}

// out [len]: draws 4 * first_block and on of the stream.
extern "C" __global__ void __launch_bounds__(256)
normal_noise(float* out, u64 len, u64 seed, u64 stream, u64 first_block) {
    u64 block = thread_index();
    if (block * 4 >= len) return;
    Words words = philox(seed, stream, first_block + block);
    float normals[4];
    normal_pair(words.at[0], words.at[1], &normals[0], &normals[1]);
    normal_pair(words.at[2], words.at[3], &normals[2], &normals[3]);
#pragma unroll
    for (int at = 0; at < 4; ++at) {
        if (block * 4 + at < len) out[block * 4 + at] = normals[at];
    }
}
