"""Ray's figures for the metrics of suite `core`, in the same form: one JSON object a line.

    python3 -m venv /path/of/yours && . /path/of/yours/bin/activate
    pip install "ray==2.60.*"
    python benches/peers/ray_core.py > ray.jsonl
    cargo run --release -p rayline-benches --bin bench -- core > ours.jsonl
    cargo run --release -p rayline-benches --bin bench -- compare ray.jsonl ours.jsonl

Each metric is what `benches/src/core` measures, with fewer operations, as each takes longer.
"""

import json
import os
import time
from collections import deque

BEGIN = time.perf_counter()
import ray  # noqa: E402  (its import is part of the start)

CPUS = os.cpu_count()


@ray.remote
def noop(x):
    return x + 1


@ray.remote
def add(a, b):
    return a + b


@ray.remote(num_cpus=0)
class Counter:
    def __init__(self):
        self.sum = 0

    def add(self, n):
        self.sum += n
        return self.sum


def emit(name, unit, values, **params):
    values = sorted(values)
    metric = {"suite": "core", "name": name, "unit": unit, "value": values[len(values) // 2], "n": len(values)}
    metric |= {"min": values[0], "max": values[-1], "params": params | {"peer": "ray " + ray.__version__}}
    print(json.dumps(metric), flush=True)


def seconds(f):
    begin = time.perf_counter()
    f()
    return time.perf_counter() - begin


def windowed(submit, operations, outstanding=1000):
    window = deque()
    for i in range(operations):
        if len(window) == outstanding:
            ray.get(window.popleft())
        window.append(submit(i))
    for ref in window:
        ray.get(ref)


def chain(hops):
    last = noop.remote(0)
    for _ in range(hops - 1):
        last = noop.remote(last)
    assert ray.get(last) == hops


def drain(count):
    refs = [noop.remote(i) for i in range(count)]
    while refs:
        ready, refs = ray.wait(refs, num_returns=1)
        ray.get(ready)


def tree(leaves):
    level = [noop.remote(i) for i in range(leaves)]
    while len(level) > 1:
        level = [add.remote(*pair) if len(pair) == 2 else pair[0] for pair in zip_pairs(level)]
    assert ray.get(level[0]) == leaves * (leaves + 1) // 2


def zip_pairs(items):
    return [items[i : i + 2] for i in range(0, len(items), 2)]


def create(count):
    actors = [Counter.remote() for _ in range(count)]
    ray.get([actor.add.remote(1) for actor in actors])


def main():
    ray.init(num_cpus=CPUS, include_dashboard=False, log_to_driver=False)
    assert ray.get(noop.remote(1)) == 2
    emit("startup", "ms", [(time.perf_counter() - BEGIN) * 1e3])
    ray.get([noop.remote(i) for i in range(2000)])
    emit("task_throughput", "tasks/s", [5000 / seconds(lambda: windowed(noop.remote, 5000)) for _ in range(3)])
    emit("task_latency", "us", [seconds(lambda: ray.get(noop.remote(1))) * 1e6 for _ in range(500)])
    emit("chain_hop", "us", [seconds(lambda: chain(500)) * 1e6 / 500 for _ in range(3)])
    emit("tree_reduce", "ms", [seconds(lambda: tree(1000)) * 1e3], leaves=1000)
    emit("wait_drain", "ms", [seconds(lambda: drain(1000)) * 1e3 for _ in range(3)], refs=1000)
    counter = Counter.remote()
    ray.get(counter.add.remote(0))
    emit("actor_throughput", "calls/s", [5000 / seconds(lambda: windowed(counter.add.remote, 5000)) for _ in range(3)])
    emit("actor_latency", "us", [seconds(lambda: ray.get(counter.add.remote(1))) * 1e6 for _ in range(500)])
    eight = [Counter.remote() for _ in range(8)]
    ray.get([actor.add.remote(0) for actor in eight])
    step = lambda: ray.get([actor.add.remote(1) for actor in eight])  # noqa: E731
    emit("step_8_actors", "us", [seconds(step) * 1e6 for _ in range(200)])
    emit("actor_create", "actors/s", [8 / seconds(lambda: create(8))], actors=8)
    ray.shutdown()


if __name__ == "__main__":
    main()
