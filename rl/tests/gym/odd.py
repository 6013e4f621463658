"""An environment with spaces of every kind, which misbehaves as it is told."""

import os
import signal
import time

import gymnasium
import numpy as np
from gymnasium import spaces


class Odd(gymnasium.Env):
    """Observes its process, the last action, the seed and the time; an episode has five steps."""

    observation_space = spaces.Dict(
        {
            "pid": spaces.Box(0.0, np.inf, (1,), np.float64),
            "did": spaces.MultiDiscrete([3, 2], start=[5, 0]),
            "at": spaces.Tuple([spaces.Discrete(6, start=-1), spaces.Box(0, 255, (2, 2), np.uint8)]),
        }
    )
    action_space = spaces.MultiDiscrete([3, 2], start=[5, 0])

    def __init__(self, at=3, trouble=None, delay=0.0):
        self.at, self.trouble, self.delay = at, trouble, delay
        self.time, self.seed = 0, 0
        print("environments may print")

    def observe(self, did):
        image = np.full((2, 2), self.seed % 256, np.uint8)
        return {"pid": np.array([os.getpid()], np.float64), "did": np.array(did), "at": (self.time - 1, image)}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.seed = seed
        self.time = 0
        return self.observe([5, 0]), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        self.time += 1
        time.sleep(self.delay)
        if self.time == self.at:
            if self.trouble == "raise":
                return 1 / 0
            if self.trouble == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.trouble == "hang":
                time.sleep(1000)
        return self.observe(action), float(self.time), self.time == 5, False, {}


gymnasium.register("Odd-v0", Odd, disable_env_checker=True)
