"""Records transitions of Gymnasium's classic control tasks, which rl/tests/env_gymnasium.rs replays.

    python3 -m venv /tmp/gymnasium
    /tmp/gymnasium/bin/pip install gymnasium==1.4.0 numpy==2.4.6
    /tmp/gymnasium/bin/python rl/tests/gymnasium/record.py

Writes <id>.txt beside itself. The same versions on the same C library give the same bytes: starts and actions come from
seeds. Floats are written in the fewest digits that read back to the same bits. One file:

    # gymnasium 1.4.0, ...
    id CartPole-v1
    libm 0123456789abcdef       digest of sin(x), cos(x) and cos(3x) of all recorded states, see `digest`
    episode some words          a new episode, with its time limit counted from here
    start <state>               f64
    acts <action> ...           actions whose results are not recorded, to keep long episodes short
    step <action> | <state> | <obs> | <reward> | <terminated> <truncated>
                                state and reward f64, obs f32, flags 0 or 1

A `step` after `terminated 1` records what Gymnasium does when nobody resets.
"""

import math
import pathlib
import struct
import sys
import warnings

import gymnasium
import numpy as np

HERE = pathlib.Path(__file__).parent
BYTES_MAX = 300_000


class Recorder:
    """The lines of one file, and the environment that they come from."""

    def __init__(self, env_id):
        self.env_id = env_id
        self.env = gymnasium.make(env_id, disable_env_checker=True)
        self.is_discrete = isinstance(self.env.action_space, gymnasium.spaces.Discrete)
        self.lines = []
        self.states = []

    def episode(self, name, policy, seed=0, start=None, dense=True, steps=10_000, beyond=0):
        """Plays until the episode ends or `steps` are done, and `beyond` steps more.

        policy(t, state) gives the action; start replaces the state that the seed gives. An episode that is not dense
        records the first and last steps, and two in a row now and then.
        """
        self.env.reset(seed=seed)
        task = self.env.unwrapped
        if start is not None:
            task.state = np.array(start, dtype=np.float64)
        first = numbers(task.state)
        played = []
        has_ended = False
        while len(played) < steps:
            action = self.action(policy(len(played), numbers(task.state)))
            obs, reward, terminated, truncated, _ = self.env.step(action)
            assert obs.dtype == np.float32
            played.append((action, numbers(task.state), obs.copy(), float(reward), terminated, truncated))
            if (terminated or truncated) and not has_ended:
                has_ended = True
                steps = len(played) + beyond
        self.lines += [f"episode {name}", "start " + " ".join(map(repr, first))]
        self.write(played, dense)
        return len(played), played[-1]

    def action(self, chosen):
        return int(chosen) if self.is_discrete else np.array([chosen], dtype=np.float32)

    def write(self, played, dense):
        skipped = []
        for t, (action, state, obs, reward, terminated, truncated) in enumerate(played):
            action = str(action) if self.is_discrete else single(action[0])
            if not (dense or t < 3 or t % 25 < 2 or t >= len(played) - 3):
                skipped.append(action)
                continue
            if skipped:
                self.lines.append("acts " + " ".join(skipped))
                skipped = []
            self.states.append(state)
            fields = [action, " ".join(map(repr, state)), " ".join(map(single, obs)), repr(reward)]
            self.lines.append(f"step {' | '.join(fields)} | {terminated:d} {truncated:d}")

    def save(self):
        head = [
            f"# gymnasium {gymnasium.__version__}, numpy {np.__version__}, python {sys.version.split()[0]}",
            f"id {self.env_id}",
            f"libm {digest(self.states):016x}",
        ]
        text = "\n".join(head + self.lines) + "\n"
        (HERE / f"{self.env_id}.txt").write_text(text)
        return len(text)


def numbers(state):
    return [float(value) for value in state]


def single(value):
    """The fewest digits that give the same f32, by way of f64 too."""
    text = repr(float(str(np.float32(value))))
    assert np.float32(float(text)) == np.float32(value)
    return text


def digest(states):
    """FNV-1a by words: tells whether another C library rounds these sines alike."""
    value = 0xCBF29CE484222325
    for state in states:
        for x in state:
            assert np.sin(x) == math.sin(x) and np.cos(x) == math.cos(x), "NumPy has sines of its own"
            for number in (math.sin(x), math.cos(x), math.cos(3.0 * x)):
                (bits,) = struct.unpack("<Q", struct.pack("<d", number))
                value = ((value ^ bits) * 0x100000001B3) % 2**64
    return value


def always(action):
    return lambda t, state: action


def random_choice(seed, n):
    generator = np.random.default_rng(seed)
    return lambda t, state: generator.integers(n)


def random_value(seed, bound):
    generator = np.random.default_rng(seed)
    return lambda t, state: generator.uniform(-bound, bound)


def balance(lean, until=10_000):
    """Keeps the pole at the angle `lean`, and lets go after some steps: a greater angle drives to that side."""

    def policy(t, state):
        x, x_dot, theta, theta_dot = state
        drift = 0.0 if lean else 0.05 * x + 0.1 * x_dot
        return 0 if t >= until else theta - lean + 0.3 * theta_dot + drift > 0.0

    return policy


def cart_pole():
    recorder = Recorder("CartPole-v1")
    for seed in range(5):
        recorder.episode(f"random, seed {seed}", random_choice(seed, 2), seed)
    recorder.episode("to the left only, and on after the fall", always(0), 10, beyond=3)
    recorder.episode("to the right only", always(1), 11)
    for side, lean in (("right", 0.06), ("left", -0.06)):
        _, last = recorder.episode(f"out on the {side}", balance(lean), 12, dense=False)
        assert abs(last[1][0]) > 2.4 and abs(last[1][2]) < 0.2 and last[4]
    recorder.episode("fast from anywhere", random_choice(13, 2), 13, start=[2.3, 3.0, -0.2, 2.5])
    recorder.episode("backwards from anywhere", random_choice(14, 2), 14, start=[-2.3, -3.0, 0.15, -3.5])
    generator = np.random.default_rng(30)
    for at in range(16):
        start = generator.uniform((-2.0, -3.0, -0.2, -12.0), (2.0, 3.0, 0.2, 12.0))
        recorder.episode(f"whirling, start {at}", always(at % 2), start=start, steps=2)
    length, last = recorder.episode("to the time limit", balance(0.0), 15, dense=False)
    assert length == 500 and last[4:] == (False, True)
    for attempt in range(200):
        kept = len(recorder.lines), len(recorder.states)
        policy = balance(0.0, until=480 + attempt % 20)
        length, last = recorder.episode("a fall at the time limit", policy, 15 + attempt // 20, dense=False)
        if length == 500 and last[4:] == (True, True):
            break
        del recorder.lines[kept[0] :], recorder.states[kept[1] :]
    assert length == 500 and last[4:] == (True, True)
    return recorder


def pendulum():
    recorder = Recorder("Pendulum-v1")
    recorder.episode("random, seed 0", random_value(0, 2.0), 0)
    recorder.episode("random, seed 1", random_value(1, 2.0), 1, dense=False)
    recorder.episode("beyond the bounds, seed 2", random_value(2, 8.0), 2, dense=False)
    for side, torque in (("left", 2.0), ("right", -7.5)):
        _, last = recorder.episode(f"round and round to the {side}", always(torque), start=[0.0, 4.0 * torque], dense=False)
        assert abs(last[1][0]) > 10 * math.pi
    recorder.episode("from many turns away", random_value(3, 2.0), start=[301.7, -7.9], steps=12)
    recorder.episode("from many turns away, backwards", random_value(4, 2.0), start=[-255.2, 7.9], steps=12)
    recorder.episode("through the seam", always(0.0), start=[3.1, 0.9], steps=4)
    recorder.episode("back through the seam", always(0.0), start=[-3.1, -0.9], steps=4)
    return recorder


def mountain_car():
    recorder = Recorder("MountainCar-v0")
    recorder.episode("random, seed 0, to the time limit", random_choice(0, 3), 0, dense=False)
    for seed in (1, 2):
        _, last = recorder.episode(f"with the motion, seed {seed}", lambda t, state: 2 if state[1] >= 0 else 0, seed)
        assert last[4:] == (True, False)
    car_edges(recorder, (0, 1, 2))
    return recorder


def mountain_car_continuous():
    recorder = Recorder("MountainCarContinuous-v0")
    recorder.episode("random, seed 0, to the time limit", random_value(0, 1.0), 0, dense=False)
    for seed, force in ((1, 1.0), (2, 0.83), (3, 4.5)):
        policy = lambda t, state: math.copysign(force, state[1])
        _, last = recorder.episode(f"with the motion, seed {seed}", policy, seed)
        assert last[4:] == (True, False)
    recorder.episode("random beyond the bounds, seed 4", random_value(4, 3.0), 4, steps=100)
    car_edges(recorder, (-2.5, 0.25, 1.0))
    return recorder


def car_edges(recorder, actions):
    """Walls, limits of speed, and the goal crossed in the wrong direction."""
    left, idle, right = map(always, actions)
    recorder.episode("into the left wall", left, start=[-1.05, -0.06], steps=6)
    recorder.episode("softly to the left wall", idle, start=[-1.19, -0.02], steps=6)
    recorder.episode("to the right edge", right, start=[0.56, 0.06])
    recorder.episode("back over the goal", left, start=[0.6, -0.02], steps=8)
    recorder.episode("to the greatest speed", right, start=[-0.95, 0.064], steps=8)
    recorder.episode("to the greatest speed backwards", left, start=[0.3, -0.066], steps=8)


def acrobot():
    recorder = Recorder("Acrobot-v1")
    recorder.episode("random, seed 0", random_choice(0, 3), 0, steps=80)
    recorder.episode("random, seed 1", random_choice(1, 3), 1, dense=False, steps=200)
    pump = lambda t, state: 2 if state[3] > 0 else 0
    _, last = recorder.episode("with the motion", pump, 2, dense=False)
    assert last[4:] == (True, False)
    length, last = recorder.episode("idle to the time limit", always(1), 3, dense=False)
    assert length == 500 and last[4:] == (False, True)
    for at, start in enumerate(
        [
            [3.0, 2.9, 12.0, 28.0],
            [-3.0, -2.9, -12.0, -28.0],
            [3.1, -3.1, 6.0, -20.0],
            [-3.1, 3.1, -12.4, 12.0],
            [1.5, -1.5, 8.0, 28.2],
            [0.1, 1.0, 12.5, -28.2],
            [0.3, -0.2, -11.0, 28.2],
            [-0.4, 1.4, -12.5, -14.0],
            [0.0, 3.0, 0.5, 9.0],
            [0.2, -3.0, -0.5, -16.0],
            [-1.0, 0.3, 12.0, 2.0],
            [1.2, 2.2, 1.0, -28.0],
        ]
    ):
        recorder.episode(f"fast, start {at}", random_choice(20 + at, 3), start=start, steps=6)
    return recorder


def main():
    warnings.filterwarnings("ignore")
    gymnasium.logger.min_level = gymnasium.logger.ERROR
    recorders = [cart_pole(), pendulum(), mountain_car(), mountain_car_continuous(), acrobot()]
    total = sum(recorder.save() for recorder in recorders)
    assert total <= BYTES_MAX, f"{total} bytes"
    print(f"{total} bytes")


if __name__ == "__main__":
    main()
