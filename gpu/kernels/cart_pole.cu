// CartPole-v1, one thread an environment, with time limit and autoreset. Operations in the order of the CPU's batch, so
// that both round alike.
//
// Source: Barto, Sutton & Anderson 1983; Gymnasium, CartPole-v1.

// Sine and cosine within 1e-7 between -0.5 and 0.5: an episode ends at 0.21.
__device__ __forceinline__ void sin_cos_small(float x, float* sin, float* cos) {
    float z = x * x;
    *sin = x + x * z * (-1.0f / 6.0f + z * (1.0f / 120.0f + z * (-1.0f / 5040.0f)));
    *cos = 1.0f - 0.5f * z + z * z * (1.0f / 24.0f + z * (-1.0f / 720.0f + z * (1.0f / 40320.0f)));
}

__device__ __forceinline__ void begin(float state[4], u64 seed, u64 index, u64 episode) {
    Words words = philox(seed, index, episode);
    for (int at = 0; at < 4; ++at) state[at] = uniform(words.at[at], -0.05f, 0.05f);
}

// state [4, envs], obs [envs, 4], all else [envs].
extern "C" __global__ void __launch_bounds__(256)
cart_pole_reset(float* state, u64* episodes, u32* lengths, float* totals, float* obs, u32 envs, u64 seed,
                u64 first_index) {
    u32 env = thread_index();
    if (env >= envs) return;
    float now[4];
    begin(now, seed, first_index + env, 1);
    for (int at = 0; at < 4; ++at) {
        state[(u64)at * envs + env] = now[at];
        obs[(u64)env * 4 + at] = now[at];
    }
    episodes[env] = 1;
    lengths[env] = 0;
    totals[env] = 0.0f;
}

// Beside the above: final_obs [envs, 4], final_totals [envs] and final_lengths [envs] are written where an episode ends.
extern "C" __global__ void __launch_bounds__(256)
cart_pole_step(float* state, u64* episodes, u32* lengths, float* totals, const u32* actions, float* obs, float* rewards,
               u8* terminated, u8* truncated, float* final_obs, float* final_totals, u32* final_lengths, u32 envs,
               u64 seed, u64 first_index, u32 length_max) {
    u32 env = thread_index();
    if (env >= envs) return;
    float x = state[env], x_dot = state[(u64)envs + env];
    float theta = state[2ull * envs + env], theta_dot = state[3ull * envs + env];
    float force = actions[env] == 1 ? 10.0f : -10.0f;
    float sin, cos;
    sin_cos_small(theta, &sin, &cos);
    float pushed = (force + 0.05f * theta_dot * theta_dot * sin) * (1.0f / 1.1f);
    float inertia = 0.5f * (4.0f / 3.0f - (0.1f / 1.1f) * cos * cos);
    float theta_acceleration = (9.8f * sin - cos * pushed) / inertia;
    float x_acceleration = pushed - (0.05f / 1.1f) * theta_acceleration * cos;
    float now[4] = {x + 0.02f * x_dot, x_dot + 0.02f * x_acceleration, theta + 0.02f * theta_dot,
                    theta_dot + 0.02f * theta_acceleration};
    bool falls = fabsf(now[0]) > 2.4f || fabsf(now[2]) > 12.0f * 2.0f * PI / 360.0f;
    u32 length = lengths[env] + 1;
    float total = totals[env] + 1.0f;
    bool is_long = length >= length_max;
    rewards[env] = 1.0f;
    terminated[env] = falls;
    truncated[env] = is_long;
    if (falls || is_long) {
        for (int at = 0; at < 4; ++at) final_obs[(u64)env * 4 + at] = now[at];
        final_totals[env] = total;
        final_lengths[env] = length;
        episodes[env] += 1;
        begin(now, seed, first_index + env, episodes[env]);
        length = 0;
        total = 0.0f;
    }
    for (int at = 0; at < 4; ++at) {
        state[(u64)at * envs + env] = now[at];
        obs[(u64)env * 4 + at] = now[at];
    }
    lengths[env] = length;
    totals[env] = total;
}
