// Adam with bias correction and a bound on the norm of the whole gradient, in three launches without atomics: sums are
// taken in one order, so that results don't differ from run to run. The count of steps lives on the device, so that a
// graph of these launches can be replayed.
//
// Source: Kingma & Ba 2015, algorithm 1; PyTorch's clip_grad_norm_.

#define THREADS 256
#define WARP 32

// What the launches of one step hand on.
struct AdamState {
    u64 steps;
    // Of the gradient of the last step, before it was scaled.
    float norm;
    float gradient_scale;
    // 1 / (1 - beta^steps) for both moments.
    float first_correction;
    float second_correction;
};

// The sum over the block, in its thread 0.
__device__ float block_sum(float value) {
    __shared__ float warps[THREADS / WARP];
    for (int offset = WARP / 2; offset > 0; offset /= 2) value += __shfl_down_sync(0xffffffffu, value, offset);
    if (threadIdx.x % WARP == 0) warps[threadIdx.x / WARP] = value;
    __syncthreads();
    float sum = 0.0f;
    if (threadIdx.x == 0) {
        for (int warp = 0; warp < THREADS / WARP; ++warp) sum += warps[warp];
    }
    return sum;
}

__device__ double power(double base, u64 exponent) {
    double result = 1.0;
    for (; exponent > 0; exponent >>= 1) {
        if (exponent & 1) result *= base;
        base *= base;
    }
    return result;
}

// Sums of squares, one for each block: partial [gridDim.x].
extern "C" __global__ void __launch_bounds__(THREADS) adam_norm(const float* gradient, float* partial, u64 len) {
    float sum = 0.0f;
    u64 stride = (u64)gridDim.x * THREADS;
    for (u64 at = thread_index(); at < len; at += stride) sum = fmaf(gradient[at], gradient[at], sum);
    sum = block_sum(sum);
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

// One block: from the partial sums to the scale, and one step on.
extern "C" __global__ void __launch_bounds__(THREADS)
adam_prepare(const float* partial, AdamState* state, u32 partials, float beta1, float beta2, float norm_max) {
    float sum = 0.0f;
    for (u32 at = threadIdx.x; at < partials; at += THREADS) sum += partial[at];
    sum = block_sum(sum);
    if (threadIdx.x != 0) return;
    float norm = sqrtf(sum);
    float scale = norm_max / (norm + 1e-6f);
    state->steps += 1;
    state->norm = norm;
    // A comparison with NaN is false: then the scale stays NaN, and the step shows it.
    state->gradient_scale = scale > 1.0f ? 1.0f : scale;
    state->first_correction = (float)(1.0 / (1.0 - power((double)beta1, state->steps)));
    state->second_correction = (float)(1.0 / (1.0 - power((double)beta2, state->steps)));
}

extern "C" __global__ void __launch_bounds__(THREADS)
adam_step(float* parameters, const float* gradient, float* first, float* second, const AdamState* state,
          const float* learning_rate, u64 len, float beta1, float beta2, float epsilon) {
    u64 stride = (u64)gridDim.x * THREADS;
    float step_size = *learning_rate * state->first_correction;
    for (u64 at = thread_index(); at < len; at += stride) {
        float g = gradient[at] * state->gradient_scale;
        float m = beta1 * first[at] + (1.0f - beta1) * g;
        float v = beta2 * second[at] + (1.0f - beta2) * g * g;
        first[at] = m;
        second[at] = v;
        parameters[at] -= step_size * m / (sqrtf(v * state->second_correction) + epsilon);
    }
}
