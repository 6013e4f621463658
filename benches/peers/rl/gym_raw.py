"""Gymnasium's environments stepped by plain Python, as `bench rl gym_bridge_of_raw` runs it beside the bridge.

    python3 benches/peers/rl/gym_raw.py CartPole-v1 64

needs `pip install gymnasium`. For each line of its input it steps so many environments one after the other for about a
second, and prints how many steps of single environments it did a second of time, and a second of its CPU. Nothing is kept
of what they give.
"""

import sys
import time

import gymnasium
import numpy as np


def main():
    env_id, count = sys.argv[1], int(sys.argv[2])
    envs = [gymnasium.make(env_id) for _ in range(count)]
    for at, env in enumerate(envs):
        env.reset(seed=at)
    envs[0].action_space.seed(0)
    actions = [envs[0].action_space.sample() for _ in range(997)]
    if isinstance(envs[0].action_space, gymnasium.spaces.Discrete):
        actions = [int(action) for action in actions]
    print("ready", flush=True)
    turn = 0
    for _ in sys.stdin:
        begin, cpu, done = time.perf_counter(), time.process_time(), 0
        while time.perf_counter() - begin < 1.0:
            for _ in range(max(1, 256 // count)):
                for env in envs:
                    turn += 1
                    _, _, terminated, truncated, _ = env.step(actions[turn % 997])
                    if terminated or truncated:
                        env.reset()
                done += count
        print(done / (time.perf_counter() - begin), done / (time.process_time() - cpu), flush=True)


if __name__ == "__main__":
    main()
