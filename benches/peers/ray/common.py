"""What the scripts share: the form of a metric, clocks, and the window of outstanding work."""

import json
import os
import time
from collections import deque

import ray

CPUS = os.cpu_count()


def start():
    """A local Ray with its usual settings, without the dashboard and without workers' output."""
    ray.init(num_cpus=CPUS, include_dashboard=False, log_to_driver=False)


def emit(name, unit, values, percentile=False, **params):
    """Prints the median of `values` as one line, in the form of `bench core`. Settings are integers and texts,
    further figures floating point."""
    values = sorted(values)
    metric = {"suite": "core", "name": name, "unit": unit, "value": median(values), "n": len(values)}
    metric |= {"min": values[0], "max": values[-1]}
    if percentile:
        metric["p99"] = values[(len(values) - 1) * 99 // 100]
    metric["params"] = params | {"peer": "ray " + ray.__version__, "load_before": os.getloadavg()[0]}
    print(json.dumps(metric), flush=True)


def median(values):
    return sorted(values)[len(values) // 2]


def seconds(work, reps=1, warm_up=True):
    """The seconds of each of `reps` runs, after one that isn't counted."""
    if warm_up:
        work()
    times = []
    for _ in range(reps):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return times


def rates(operations, work, reps):
    return [operations / spent for spent in seconds(work, reps)]


def latencies(work, count):
    """Microseconds of single operations, after a tenth as many to warm up."""
    for _ in range(count // 10):
        work()
    return [spent * 1e6 for spent in seconds(work, count, warm_up=False)]


def windowed(submit, operations, outstanding=1000):
    """Submits and gets, oldest first, with a bound on what is outstanding."""
    window = deque()
    for i in range(operations):
        if len(window) == outstanding:
            ray.get(window.popleft())
        window.append(submit(i))
    while window:
        ray.get(window.popleft())
