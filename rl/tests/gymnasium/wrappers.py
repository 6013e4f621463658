"""Records what Gymnasium's wrappers make of a short script, which rl/tests/env_wrappers.rs replays.

    python3 -m venv /tmp/gymnasium
    /tmp/gymnasium/bin/pip install gymnasium==1.4.0 numpy==2.4.6
    /tmp/gymnasium/bin/python rl/tests/gymnasium/wrappers.py

Writes wrappers.json beside itself; the same versions give the same bytes.
"""

import json
import pathlib

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import ClipAction, FrameStackObservation, RescaleAction
from gymnasium.wrappers.vector import NormalizeObservation, NormalizeReward

ENVS, STEPS, WIDTH = 3, 40, 2
RANDOM = np.random.default_rng(5)
OBS = (RANDOM.normal(size=(STEPS + 1, ENVS, WIDTH)) * [3.0, 0.02] + [-1.0, 50.0]).astype(np.float32).astype(np.float64)
REWARDS = RANDOM.normal(2.0, 4.0, size=(STEPS, ENVS)).astype(np.float32)
BOX = spaces.Box(-np.inf, np.inf, (WIDTH,), np.float64)
ACTIONS = spaces.Box(np.array([-2.0, 0.5], np.float32), np.array([1.0, 4.5], np.float32))


class Batch(gymnasium.vector.VectorEnv):
    """Plays the script; no episode ends."""

    def __init__(self):
        self.num_envs = ENVS
        self.single_observation_space = BOX
        self.observation_space = gymnasium.vector.utils.batch_space(BOX, ENVS)
        self.single_action_space = ACTIONS
        self.action_space = gymnasium.vector.utils.batch_space(ACTIONS, ENVS)
        self.metadata = {"autoreset_mode": gymnasium.vector.AutoresetMode.NEXT_STEP}
        self.time = 0

    def reset(self, *, seed=None, options=None):
        self.time = 0
        return OBS[0], {}

    def step(self, actions):
        self.time += 1
        ends = np.zeros(ENVS, bool)
        return OBS[self.time], REWARDS[self.time - 1].astype(np.float64), ends, ends.copy(), {}


class One(gymnasium.Env):
    """The first environment of the script, which remembers its actions."""

    observation_space, action_space = BOX, ACTIONS

    def __init__(self):
        self.time, self.actions = 0, []

    def reset(self, *, seed=None, options=None):
        return OBS[0, 0], {}

    def step(self, action):
        self.time += 1
        self.actions.append(np.asarray(action, np.float64).tolist())
        return OBS[self.time, 0], 0.0, False, False, {}


def numbers(array):
    return np.asarray(array, np.float64).ravel().tolist()


def normalized():
    envs = NormalizeObservation(Batch())
    obs = [envs.reset()[0]] + [envs.step(np.zeros((ENVS, WIDTH)))[0] for _ in range(STEPS)]
    stats = envs.obs_rms
    return numbers(obs), {"mean": numbers(stats.mean), "variance": numbers(stats.var), "count": float(stats.count)}


def rewards():
    envs = NormalizeReward(Batch(), gamma=0.9)
    envs.reset()
    return numbers([envs.step(np.zeros((ENVS, WIDTH)))[1] for _ in range(STEPS)])


def stacked():
    env = FrameStackObservation(One(), 3)
    return numbers([env.reset()[0]] + [env.step(np.zeros(WIDTH))[0] for _ in range(6)])


def acted(wrap, given):
    one = One()
    env = wrap(one)
    env.reset()
    for action in given:
        env.step(np.array(action, np.float32))
    return {"given": given, "done": one.actions}


def flattened():
    space = spaces.Dict(
        {"z": spaces.Discrete(3), "a": spaces.Box(-1.0, 1.0, (2, 2)), "m": spaces.Dict({"k": spaces.MultiDiscrete([2, 3])})}
    )
    element = {"z": 2, "a": np.array([[0.1, 0.2], [0.3, 0.4]], np.float32), "m": {"k": np.array([1, 0])}}
    return numbers(spaces.utils.flatten(space, element))


def main():
    obs, stats = normalized()
    record = {
        "gymnasium": gymnasium.__version__,
        "obs": numbers(OBS),
        "rewards": numbers(REWARDS),
        "normalized_obs": obs,
        "stats": stats,
        "normalized_rewards": rewards(),
        "stacked": stacked(),
        "clipped": acted(ClipAction, [[-3.0, 0.0], [0.25, 5.0], [1.0, 4.5], [0.0, 1.0]]),
        "rescaled": acted(
            lambda env: RescaleAction(env, np.float32(-1.0), np.float32(1.0)),
            [[-1.0, 1.0], [0.0, 0.0], [0.5, -0.25], [1.0, -1.0]],
        ),
        "flattened": flattened(),
    }
    path = pathlib.Path(__file__).with_name("wrappers.json")
    path.write_text(json.dumps(record) + "\n")
    print(path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
