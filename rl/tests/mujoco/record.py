"""Records transitions of Gymnasium's MuJoCo tasks, which rl/tests/env_mujoco.rs replays with the same library.

    python3 -m venv /tmp/mujoco
    /tmp/mujoco/bin/pip install "gymnasium[mujoco]==1.4.0" mujoco==4.0.0
    /tmp/mujoco/bin/python rl/tests/mujoco/record.py

Writes <version of MuJoCo>.txt beside itself. Starts come from seeds, actions from the rule in `Actions`. Floats are
written in the fewest digits that read back to the same bits. One file:

    # gymnasium 1.4.0, mujoco 4.0.0, ...
    libm 0123456789abcdef                   digest of sines and cosines, see `digest`
    task Ant-v5
    episode <seed of the actions>
    start <state> | <obs>                   positions and velocities f64, observation f32
    step <t> | <state> | <obs> | <reward> <terminated>
                                            after t actions; the others are done, but not recorded
"""

import math
import os
import pathlib
import struct
import sys
import tempfile
import warnings

import gymnasium
import mujoco
import numpy as np

TASKS = {
    "Ant-v5": (1.0, 8),
    "HalfCheetah-v5": (1.0, 6),
    "Hopper-v5": (1.0, 3),
    "Humanoid-v5": (0.4, 17),
    "InvertedPendulum-v5": (3.0, 1),
    "Swimmer-v5": (1.0, 2),
    "Walker2d-v5": (1.0, 6),
}
STEPS_MAX = 60


class Actions:
    """Numbers up to 1.25 times the bound on either side, by a rule that any language repeats exactly."""

    def __init__(self, seed, bound, width):
        self.state, self.bound, self.width = seed, bound, width

    def next(self):
        return np.array([self.number() for _ in range(self.width)], dtype=np.float32)

    def number(self):
        self.state = (self.state * 1103515245 + 12345) % 2**31
        return 1.25 * self.bound * (self.state / 2**30 - 1.0)


def state(env):
    return np.concatenate([env.unwrapped.data.qpos, env.unwrapped.data.qvel])


def doubles(values):
    return " ".join(repr(float(value)) for value in values)


def singles(values):
    return " ".join(repr(float(str(np.float32(value)))) for value in values)


def episode(env, task, seed, speed):
    """`speed` is added to all velocities of the start."""
    obs, _ = env.reset(seed=seed)
    data = env.unwrapped.data
    if speed:
        qpos, qvel = data.qpos.copy(), data.qvel + speed
        mujoco.mj_resetData(env.unwrapped.model, data)
        env.unwrapped.set_state(qpos, qvel)
        obs = env.unwrapped._get_obs()
    lines = [f"episode {seed}", f"start {doubles(state(env))} | {singles(obs)}"]
    actions = Actions(seed, *TASKS[task])
    for t in range(1, STEPS_MAX + 1):
        obs, reward, terminated, _, _ = env.step(actions.next())
        if t <= 2 or t % 15 == 0 or terminated:
            lines.append(f"step {t} | {doubles(state(env))} | {singles(obs)} | {float(reward)!r} {terminated:d}")
        if terminated:
            break
    return lines


def digest():
    """FNV-1a by words: tells whether another C library or processor rounds sines alike, as MuJoCo's results follow it."""
    value = 0xCBF29CE484222325
    for k in range(1, 1001):
        for number in (math.sin(0.37 * k), math.cos(0.37 * k)):
            (bits,) = struct.unpack("<Q", struct.pack("<d", number))
            value = ((value ^ bits) * 0x100000001B3) % 2**64
    return value


def main():
    warnings.filterwarnings("ignore")
    path = pathlib.Path(__file__).resolve().with_name(f"{mujoco.__version__}.txt")
    # MuJoCo writes its warnings to a file where it is started.
    os.chdir(tempfile.gettempdir())
    versions = f"gymnasium {gymnasium.__version__}, mujoco {mujoco.__version__}, numpy {np.__version__}"
    lines = [f"# {versions}, python {sys.version.split()[0]}", f"libm {digest():016x}"]
    for task in TASKS:
        env = gymnasium.make(task, disable_env_checker=True)
        lines.append(f"task {task}")
        for seed, speed in [(1, 0.0), (2, 0.0), (3, 6.0)]:
            lines += episode(env, task, seed, speed)
    path.write_text("\n".join(lines) + "\n")
    print(path.name, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
