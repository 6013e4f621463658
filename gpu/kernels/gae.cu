// Generalised advantage estimation, one thread an environment, backwards through the steps.
// All arrays are [steps, envs].
//
// Source: Schulman et al. 2016, equation 16; episodes end as in Pardo et al. 2018.
extern "C" __global__ void __launch_bounds__(256)
gae(const float* rewards, const float* values, const float* next_values, const u8* terminated, const u8* truncated,
    float* advantages, u32 steps, u32 envs, float gamma, float lambda) {
    u32 env = thread_index();
    if (env >= envs) return;
    float rest = 0.0f;
    for (u32 step = steps; step-- > 0;) {
        u64 row = (u64)step * envs + env;
        float delta = rewards[row] + gamma * next_values[row] - values[row];
        bool goes_on = !(terminated[row] | truncated[row]);
        rest = delta + (goes_on ? gamma * lambda * rest : 0.0f);
        advantages[row] = rest;
    }
}
