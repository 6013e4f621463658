"""METG(50 %), as Task Bench (SC'20) reckons it: the smallest cores x time / tasks at which half of the cores' time is
work; what `benches/src/core/grain.rs` measures."""

import time

import ray

from common import CPUS, emit, median

WIDTH = 16
STEPS = 10


@ray.remote
def work(cpu_seconds, *_):
    """Busy for so much time of the CPU, whatever else runs."""
    end = time.thread_time() + cpu_seconds
    while time.thread_time() < end:
        pass


def run(dependencies, cpu_seconds):
    """Seconds of a stencil of tasks, each after `dependencies` neighbours of the step before."""
    begin = time.perf_counter()
    refs = row = [work.remote(cpu_seconds) for _ in range(WIDTH)]
    for _ in range(STEPS - 1):
        near = range(-(dependencies // 2), dependencies - dependencies // 2)
        row = [work.remote(cpu_seconds, *(row[(i + d) % WIDTH] for d in near)) for i in range(WIDTH)]
        refs = refs + row
    ray.get(refs)
    return time.perf_counter() - begin


def metg(dependencies):
    low, high, least = 1e-5, 0.2, float("inf")
    while high / low > 1.1:
        middle = (low * high) ** 0.5
        duration = median(run(dependencies, middle) for _ in range(3)) * CPUS / (WIDTH * STEPS)
        if middle / duration >= 0.5:
            high, least = middle, duration
        else:
            low = middle
    return least * 1e6


def metg_50(_):
    run(0, 1e-3)
    beside = {f"dependencies_{count}_us": metg(count) for count in (1, 3, 5)}
    emit("metg_50", "us", [metg(0)], dependencies=0, cores=CPUS, width=WIDTH, steps=STEPS, **beside)


METRICS = {"metg_50": metg_50}
