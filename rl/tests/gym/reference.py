"""Prints what Gymnasium's own vector environment gives, for rl/tests/env_gym.rs: one line a step."""

import sys

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv

env_id, count, steps, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
envs = SyncVectorEnv([lambda: gymnasium.make(env_id)] * count, autoreset_mode=AutoresetMode.SAME_STEP)


def line(*arrays):
    print(" ".join(repr(float(str(np.float32(value)))) for array in arrays for value in np.ravel(array)))


line(envs.reset(seed=seed)[0])
for t in range(steps):
    action = np.array([(t + env) // 4 % 2 for env in range(count)])
    if isinstance(envs.single_action_space, gymnasium.spaces.Box):
        action = (action[:, None] - 0.5).astype(np.float32).repeat(envs.single_action_space.shape[0], axis=1)
    obs, rewards, terminated, truncated, infos = envs.step(action)
    finals = [] if "final_obs" not in infos else [obs for obs in infos["final_obs"] if obs is not None]
    line(obs, rewards, terminated, truncated, *finals)
