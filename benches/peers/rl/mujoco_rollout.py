"""MuJoCo's own rollout, as `bench rl env_halfcheetah` and its like run it beside ours.

    python3 benches/peers/rl/mujoco_rollout.py half_cheetah.xml 5

needs `pip install mujoco gymnasium`. For each line of its input it simulates for about a second and prints how many steps
of the task it did a second: `frame_skip` steps of the simulation each, 64 simulations on as many threads as there are
cores, random controls. It neither observes nor rewards. Figures that fall begin anew after 25 steps, about as long as an
episode of theirs is with random actions: who lies on the ground costs more to simulate.
"""

import importlib.util
import os
import pathlib
import sys
import time

import mujoco
import numpy as np
from mujoco import rollout

SIMULATIONS, STEPS = 64, 25
FALLING = ["hopper.xml", "humanoid.xml"]


def main():
    name, frame_skip = sys.argv[1], int(sys.argv[2])
    gymnasium = pathlib.Path(importlib.util.find_spec("gymnasium").origin).parent
    model = mujoco.MjModel.from_xml_path(str(gymnasium / "envs/mujoco/assets" / name))
    threads = os.cpu_count()
    data = [mujoco.MjData(model) for _ in range(threads)]
    full = mujoco.mjtState.mjSTATE_FULLPHYSICS
    first = np.zeros(mujoco.mj_stateSize(model, full))
    mujoco.mj_getState(model, data[0], first, full)
    low, high = model.actuator_ctrlrange.T
    controls = np.random.default_rng(0).uniform(low, high, (SIMULATIONS, STEPS, model.nu)).repeat(frame_skip, axis=1)
    state = np.tile(first, (SIMULATIONS, 1))
    with rollout.Rollout(nthread=threads) as pool:
        pool.rollout([model] * SIMULATIONS, data, state, controls)
        print("ready", flush=True)
        for _ in sys.stdin:
            begin, done, state = time.perf_counter(), 0, np.tile(first, (SIMULATIONS, 1))
            while time.perf_counter() - begin < 1.0:
                states, _ = pool.rollout([model] * SIMULATIONS, data, state, controls)
                if name not in FALLING:
                    state = states[:, -1]
                done += SIMULATIONS * STEPS
            print(done / (time.perf_counter() - begin), flush=True)


if __name__ == "__main__":
    main()
