"""Actors: throughput, latency, creation, a synchronous step over several; what `benches/src/core/actors.rs`
measures."""

import ray

from common import emit, latencies, median, rates, seconds, windowed


# A Ray actor holds no CPU by default, either, once it is placed.
@ray.remote(num_cpus=0)
class Counter:
    def __init__(self):
        self.sum = 0

    def add(self, n):
        self.sum += n
        return self.sum


def counters(count):
    made = [Counter.remote() for _ in range(count)]
    ray.get([counter.add.remote(0) for counter in made])
    return made


def throughput(reps):
    (counter,) = counters(1)
    values = rates(5000, lambda: windowed(counter.add.remote, 5000), reps)
    emit("actor_throughput", "calls/s", values, outstanding=1000)


def latency(_):
    (counter,) = counters(1)
    emit("actor_latency", "us", latencies(lambda: ray.get(counter.add.remote(1)), 1000), percentile=True)


def create(reps):
    count = 8
    values = [count / spent for spent in seconds(lambda: counters(count), min(reps, 3), warm_up=False)]
    emit("actor_create", "actors/s", values, actors=count)


def step(_):
    def over(count):
        made = counters(count)
        return latencies(lambda: ray.get([counter.add.remote(1) for counter in made]), 300)

    beside = {f"actors_{count}_us": median(over(count)) for count in (2, 4)}
    emit("step_8_actors", "us", over(8), percentile=True, **beside)


METRICS = {
    "actor_throughput": throughput,
    "actor_latency": latency,
    "actor_create": create,
    "step_8_actors": step,
}
