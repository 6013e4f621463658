// What the kernels share: it stands before the text of each of them when they are compiled.
//
// Compiled with --fmad=false: multiplications and additions are fused where fmaf says so and nowhere else, so that the
// environments, the noise and the optimiser round as their references on the CPU do, bit by bit.

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

// Adding it rounds a number of magnitude below 2^22 to the nearest whole number, which then lies in the lowest bits.
#define ROUNDER 12582912.0f
#define PI 3.14159274101257324f
#define TAU 6.28318548202514648f

// Half of pi in three parts: the first two have so few bits that their products with a quadrant number are exact.
#define HALF_PI_0 (201.0f / 128.0f)
#define HALF_PI_1 (8117.0f / 16777216.0f)
#define HALF_PI_2 1.5893255e-8f

__device__ __forceinline__ u32 thread_index() { return blockIdx.x * blockDim.x + threadIdx.x; }

__device__ __forceinline__ float negated_if(float x, u32 second_bit) {
    return __uint_as_float(__float_as_uint(x) ^ (second_bit << 30));
}

// Sine and cosine of x radians, each within 1.2e-7, for x between -1000 and 1000.
__device__ __forceinline__ void sin_cos(float x, float* sin, float* cos) {
    float rounded = x * 0.636619772f + ROUNDER;
    u32 quadrant = __float_as_uint(rounded);
    float turns = rounded - ROUNDER;
    float r = ((x - turns * HALF_PI_0) - turns * HALF_PI_1) - turns * HALF_PI_2;
    float z = r * r;
    float s = r + r * z * (-0.16666664f + z * (0.008332746f + z * -0.00019587447f));
    float c = 1.0f - 0.5f * z + z * z * (0.041666664f + z * (-0.0013888301f + z * 2.4547488e-5f));
    float first = (quadrant & 1) ? c : s;
    float second = (quadrant & 1) ? s : c;
    *sin = negated_if(first, quadrant & 2);
    *cos = negated_if(second, (quadrant + 1) & 2);
}

// The same angle within half a turn, for x radians between -1000 and 1000.
__device__ __forceinline__ float wrapped(float x) {
    float turns = (x * (0.5f * 0.318309886f) + ROUNDER) - ROUNDER;
    return ((x - turns * (4.0f * HALF_PI_0)) - turns * (4.0f * HALF_PI_1)) - turns * (4.0f * HALF_PI_2);
}

// Sine and cosine of whole turns, for turns between 0 and 1. Coefficients: Cephes' sinf and cosf, by S. Moshier.
__device__ __forceinline__ void sin_cos_turns(float turns, float* sin, float* cos) {
    float rounded = turns * 4.0f + ROUNDER;
    u32 quadrant = __float_as_uint(rounded);
    float x = (turns - (rounded - ROUNDER) * 0.25f) * TAU;
    float z = x * x;
    float s = x + x * z * (-1.6666655e-1f + z * (8.332161e-3f + z * -1.9515296e-4f));
    float c = 1.0f - 0.5f * z + z * z * (4.1666646e-2f + z * (-1.3887316e-3f + z * 2.4433157e-5f));
    *sin = negated_if((quadrant & 1) ? c : s, quadrant & 2);
    *cos = negated_if((quadrant & 1) ? s : c, (quadrant + 1) & 2);
}

// Natural logarithm of a positive, normal x. Coefficients: Cephes' logf, by S. Moshier.
__device__ __forceinline__ float natural_log(float x) {
    int exponent = (int)(__float_as_uint(x) - 0x3f3504f3u) >> 23;
    float m = __uint_as_float(__float_as_uint(x) - ((u32)exponent << 23)) - 1.0f;
    float e = (float)exponent;
    float m2 = m * m;
    float p = -1.151461e-1f + m * 7.037684e-2f;
    p = 1.1676999e-1f + m * p;
    p = -1.2420141e-1f + m * p;
    p = 1.4249323e-1f + m * p;
    p = -1.6668058e-1f + m * p;
    p = 2.0000715e-1f + m * p;
    p = -2.4999994e-1f + m * p;
    p = 3.333333e-1f + m * p;
    return m + (m * m2 * p - 0.5f * m2 + e * -2.1219444e-4f) + e * 0.6933594f;
}

// Hyperbolic tangent, within 4e-7. The rational minimax approximation that Eigen uses; fused here, unlike on the CPU.
__device__ __forceinline__ float rational_tanh(float x) {
    float clamped = fminf(fmaxf(x, -7.905311f), 7.905311f);
    float x2 = clamped * clamped;
    float p = fmaf(x2, -2.7607684e-16f, 2.000188e-13f);
    p = fmaf(x2, p, -8.604672e-11f);
    p = fmaf(x2, p, 5.122297e-8f);
    p = fmaf(x2, p, 1.4857224e-5f);
    p = fmaf(x2, p, 6.3726194e-4f);
    p = fmaf(x2, p, 4.8935246e-3f);
    float q = fmaf(x2, 1.1982584e-6f, 1.1853471e-4f);
    q = fmaf(x2, q, 2.2684346e-3f);
    q = fmaf(x2, q, 4.8935253e-3f);
    // fminf and fmaxf would make a number of NaN.
    return x != x ? x : clamped * p / q;
}

// 128 random bits that are a function of seed, index and draw.
//
// Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC'11: Philox4x32-10.
struct Words {
    u32 at[4];
};

__device__ __forceinline__ Words philox(u64 seed, u64 index, u64 draw) {
    u32 k0 = (u32)seed, k1 = (u32)(seed >> 32);
    u32 c0 = (u32)draw, c1 = (u32)(draw >> 32), c2 = (u32)index, c3 = (u32)(index >> 32);
#pragma unroll
    for (int round = 0; round < 10; ++round) {
        u64 first = (u64)0xD2511F53u * c0, second = (u64)0xCD9E8D57u * c2;
        c0 = (u32)(second >> 32) ^ c1 ^ k0;
        c1 = (u32)second;
        c2 = (u32)(first >> 32) ^ c3 ^ k1;
        c3 = (u32)first;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    Words words = {{c0, c1, c2, c3}};
    return words;
}

// A number from low up to but without high, of the upper 24 bits of a word.
__device__ __forceinline__ float uniform(u32 word, float low, float high) {
    return low + (high - low) * ((float)(int)(word >> 8) * (1.0f / 16777216.0f));
}
