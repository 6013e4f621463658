"""Steps environments of Gymnasium for rayline_rl::gym. Started by it with its settings as JSON in the first argument.

Standard input is the shared memory, standard output the socket; what an environment prints goes to standard error. On the
socket go single bytes, and frames of a byte, a length and text for what is said once. Observations, actions and rewards
lie in the shared memory, as arrays under views of NumPy: a step copies nothing else, and encodes nothing.
"""

import json
import mmap
import os
import signal
import struct
import sys
import time
import traceback

MEMORY, SOCKET = os.dup(0), os.dup(1)
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
os.dup2(2, 1)
# The driver ends the process by closing the socket.
signal.signal(signal.SIGINT, signal.SIG_IGN)


def send(kind, text=""):
    data = text.encode()
    message = kind + struct.pack("<I", len(data)) + data
    while message:
        message = message[os.write(SOCKET, message) :]


def receive(count):
    data = b""
    while len(data) < count:
        part = os.read(SOCKET, count - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def bits(bounds):
    """As the integers that have the same 32 bits; one for all where all are the same."""
    values = np.asarray(bounds, np.float32).ravel().view(np.uint32)
    return [int(values[0])] if values.size and (values == values[0]).all() else values.tolist()


def described(space):
    if isinstance(space, spaces.Discrete):
        return {"kind": "discrete", "n": int(space.n)}
    if isinstance(space, spaces.MultiDiscrete):
        return {"kind": "multi_discrete", "nvec": [int(n) for n in space.nvec.ravel()]}
    if isinstance(space, spaces.MultiBinary):
        return {"kind": "multi_discrete", "nvec": [2] * int(np.prod(space.shape))}
    if isinstance(space, spaces.Box):
        return {"kind": "box", "low": bits(space.low), "high": bits(space.high), "shape": list(space.shape)}
    if isinstance(space, spaces.Dict):
        return {"kind": "dict", "entries": [[str(name), described(part)] for name, part in sorted(space.spaces.items())]}
    if isinstance(space, spaces.Tuple):
        return {"kind": "dict", "entries": [[f"{at:03}", described(part)] for at, part in enumerate(space.spaces)]}
    raise TypeError(f"{space} has no fixed number of numbers")


def parts(space):
    """Keys and spaces of a dictionary or tuple, in the order of a row."""
    return sorted(space.spaces.items()) if isinstance(space, spaces.Dict) else list(enumerate(space.spaces))


def width(space):
    if isinstance(space, (spaces.Dict, spaces.Tuple)):
        return sum(width(part) for _, part in parts(space))
    return 1 if isinstance(space, spaces.Discrete) else int(np.prod(space.shape))


def writer(space):
    """A function that writes an element into a row of numbers."""
    if isinstance(space, spaces.Discrete):
        start = int(space.start)
        return lambda row, element: row.__setitem__(0, element - start)
    if isinstance(space, spaces.MultiDiscrete):
        start = space.start.ravel()
        return lambda row, element: row.__setitem__(slice(None), np.ravel(element) - start)
    if isinstance(space, (spaces.Dict, spaces.Tuple)):
        inner, start = [], 0
        for key, part in parts(space):
            inner.append((key, start, start + width(part), writer(part)))
            start += width(part)

        def write(row, element):
            for key, start, end, part in inner:
                part(row[start:end], element[key])

        return write
    return lambda row, element: row.__setitem__(slice(None), np.ravel(element))


def taker(space):
    """A function that makes an action of a row of numbers; the action is a copy."""
    if isinstance(space, spaces.Discrete):
        start = int(space.start)
        return lambda row: int(row[0]) + start
    if isinstance(space, spaces.MultiDiscrete):
        return lambda row: row.astype(space.dtype).reshape(space.shape) + space.start
    if isinstance(space, (spaces.Dict, spaces.Tuple)):
        inner, start = [], 0
        for key, part in parts(space):
            inner.append((key, start, start + width(part), taker(part)))
            start += width(part)
        if isinstance(space, spaces.Dict):
            return lambda row: {key: part(row[start:end]) for key, start, end, part in inner}
        return lambda row: tuple(part(row[start:end]) for _, start, end, part in inner)
    return lambda row: row.astype(space.dtype).reshape(space.shape)


class Worker:
    def __init__(self, settings):
        kwargs = settings["kwargs"]
        self.envs = [gymnasium.make(settings["id"], **kwargs) for _ in range(settings["count"])]
        self.observation_space, self.action_space = self.envs[0].observation_space, self.envs[0].action_space
        self.spin = settings["spin_us"] * 1e-6

    def map(self, layout):
        count = len(self.envs)
        memory = memoryview(mmap.mmap(MEMORY, layout["len"]))

        def array(name, dtype, columns):
            return np.frombuffer(memory, dtype, count * columns, layout[name]).reshape(count, columns)

        def numbers(name, kind, length):
            return memory[layout[name] : layout[name] + length].cast(kind)

        self.turn, self.index = numbers("turn", "Q", 8), numbers("index", "Q", 8)
        self.seeds = numbers("seeds", "Q", 8 * count)
        self.rewards, self.flags = numbers("rewards", "d", 8 * count), numbers("flags", "B", count)
        obs = array("obs", np.float32, width(self.observation_space))
        finals = array("finals", np.float32, width(self.observation_space))
        kind = np.uint32 if layout["discrete"] else np.float32
        self.actions = array("actions", kind, width(self.action_space))
        self.choices = None
        if isinstance(self.action_space, spaces.Discrete):
            self.choices = numbers("actions", "I", 4 * count)
        self.write, self.take = writer(self.observation_space), taker(self.action_space)
        shape = self.observation_space.shape
        if isinstance(self.observation_space, spaces.Box) and len(shape) > 0:
            # The shortest way for the most common kind: one assignment, which also converts.
            self.obs, self.finals = obs.reshape(count, *shape), finals.reshape(count, *shape)
            self.write = lambda row, element: row.__setitem__(Ellipsis, element)
            self.step = self.step_boxes
        else:
            self.obs, self.finals = list(obs), list(finals)
        self.steps, self.ended = [env.step for env in self.envs], []

    def acts(self):
        """The actions of all environments."""
        if self.choices is not None:
            start = int(self.action_space.start)
            return self.choices.tolist() if start == 0 else [choice + start for choice in self.choices]
        return [self.take(row) for row in self.actions]

    def step_boxes(self):
        self.forget()
        obs_rows, rewards = self.obs, self.rewards
        for at, step, action in zip(range(len(self.steps)), self.steps, self.acts()):
            obs_rows[at], rewards[at], terminated, truncated, _ = step(action)
            if terminated or truncated:
                self.finals[at] = obs_rows[at]
                obs_rows[at] = self.end(at, terminated, truncated)

    def step(self):
        self.forget()
        for at, step, action in zip(range(len(self.steps)), self.steps, self.acts()):
            obs, self.rewards[at], terminated, truncated, _ = step(action)
            if terminated or truncated:
                self.write(self.finals[at], obs)
                obs = self.end(at, terminated, truncated)
            self.write(self.obs[at], obs)

    def forget(self):
        """Takes back the flags of the last turn."""
        for at in self.ended:
            self.flags[at] = 0
        self.ended.clear()

    def end(self, at, terminated, truncated):
        """Begins the next episode, and returns its first observation."""
        self.flags[at] = bool(terminated) + 2 * bool(truncated)
        self.ended.append(at)
        return self.envs[at].reset()[0]

    def reset(self):
        for env, seed, row in zip(self.envs, self.seeds, self.obs):
            self.write(row, env.reset(seed=seed)[0])

    def restart(self):
        at = self.index[0]
        self.write(self.obs[at], self.envs[at].reset()[0])

    def wait(self, seen):
        """Looks for the next turn, whose number changes shortly before its byte comes: that costs less than to sleep. Where
        the last turns were long in coming, it only tries now and then."""
        if self.misses >= 3 and seen % 16:
            return
        turn, clock = self.turn, time.perf_counter
        until = clock() + self.spin
        while turn[0] == seen:
            if clock() >= until:
                self.misses += 1
                return
        self.misses = 0

    def serve(self):
        commands = {b"s": self.step, b"r": self.reset, b"o": self.restart}
        seen, self.misses = self.turn[0], 0
        while True:
            self.wait(seen)
            command = os.read(SOCKET, 1)
            if not command:
                return
            seen = self.turn[0]
            commands[command]()
            os.write(SOCKET, b"k")


def main():
    settings = json.loads(sys.argv[1])
    sys.path[:0] = settings["paths"]
    for module in settings["modules"]:
        __import__(module)
    worker = Worker(settings)
    hello = {"obs": described(worker.observation_space), "act": described(worker.action_space)}
    send(b"h", json.dumps(hello))
    (length,) = struct.unpack("<I", receive(4))
    worker.map(json.loads(receive(length)))
    worker.serve()
    for env in worker.envs:
        env.close()


try:
    try:
        import gymnasium
        import numpy as np
        from gymnasium import spaces
    except ImportError as error:
        send(b"g", f"{sys.executable}: {error}")
        sys.exit(1)
    main()
except EOFError:
    pass
except Exception:
    send(b"e", traceback.format_exc())
    sys.exit(1)
