// Pendulum-v1, one thread an environment, with time limit and autoreset. Operations in the order of the CPU's batch, so
// that both round alike.
//
// Source: Gymnasium, Pendulum-v1.

__device__ __forceinline__ void begin(float state[2], u64 seed, u64 index, u64 episode) {
    Words words = philox(seed, index, episode);
    state[0] = uniform(words.at[0], -PI, PI);
    state[1] = uniform(words.at[1], -1.0f, 1.0f);
}

__device__ __forceinline__ void observe(const float state[2], float* row) {
    float sin, cos;
    sin_cos(state[0], &sin, &cos);
    row[0] = cos;
    row[1] = sin;
    row[2] = state[1];
}

__device__ __forceinline__ float clipped(float value, float max) {
    return value < -max ? -max : (value > max ? max : value);
}

// state [2, envs], obs [envs, 3], all else [envs].
extern "C" __global__ void __launch_bounds__(256)
pendulum_reset(float* state, u64* episodes, u32* lengths, float* totals, float* obs, u32 envs, u64 seed,
               u64 first_index) {
    u32 env = thread_index();
    if (env >= envs) return;
    float now[2];
    begin(now, seed, first_index + env, 1);
    state[env] = now[0];
    state[(u64)envs + env] = now[1];
    observe(now, obs + (u64)env * 3);
    episodes[env] = 1;
    lengths[env] = 0;
    totals[env] = 0.0f;
}

// Beside the above: final_obs [envs, 3], final_totals [envs] and final_lengths [envs] are written where an episode ends.
extern "C" __global__ void __launch_bounds__(256)
pendulum_step(float* state, u64* episodes, u32* lengths, float* totals, const float* actions, float* obs, float* rewards,
              u8* terminated, u8* truncated, float* final_obs, float* final_totals, u32* final_lengths, u32 envs,
              u64 seed, u64 first_index, u32 length_max) {
    u32 env = thread_index();
    if (env >= envs) return;
    float angle = state[env], speed = state[(u64)envs + env];
    float torque = clipped(actions[env], 2.0f);
    float cost = angle * angle + 0.1f * (speed * speed) + 0.001f * (torque * torque);
    float sin, cos;
    sin_cos(angle, &sin, &cos);
    speed = clipped(speed + (15.0f * sin + 3.0f * torque) * 0.05f, 8.0f);
    float now[2] = {wrapped(angle + speed * 0.05f), speed};
    u32 length = lengths[env] + 1;
    float total = totals[env] - cost;
    bool is_long = length >= length_max;
    rewards[env] = -cost;
    terminated[env] = 0;
    truncated[env] = is_long;
    if (is_long) {
        observe(now, final_obs + (u64)env * 3);
        final_totals[env] = total;
        final_lengths[env] = length;
        episodes[env] += 1;
        begin(now, seed, first_index + env, episodes[env]);
        length = 0;
        total = 0.0f;
    }
    state[env] = now[0];
    state[(u64)envs + env] = now[1];
    observe(now, obs + (u64)env * 3);
    lengths[env] = length;
    totals[env] = total;
}
