"""Tasks: throughput, latency, dependencies, waits, streams; what `benches/src/core/tasks.rs` measures, with fewer
operations, as each takes longer."""

import ray

from common import emit, latencies, rates, seconds, windowed


@ray.remote
def noop(x):
    return x + 1


@ray.remote
def add(a, b):
    return a + b


@ray.remote
def fib(n):
    if n < 2:
        return n
    a, b = fib.remote(n - 1), fib.remote(n - 2)
    return ray.get(b) + ray.get(a)


@ray.remote
def count(n):
    # Not `yield from`, which Ray 2.60 fails on.
    for i in range(n):
        yield i


def throughput(reps):
    values = rates(5000, lambda: windowed(noop.remote, 5000), reps)
    emit("task_throughput", "tasks/s", values, outstanding=1000)


def latency(_):
    emit("task_latency", "us", latencies(lambda: ray.get(noop.remote(1)), 1000), percentile=True)


def chain_hop(reps):
    hops = 500

    def chain():
        last = noop.remote(0)
        for _ in range(hops - 1):
            last = noop.remote(last)
        assert ray.get(last) == hops

    emit("chain_hop", "us", [spent * 1e6 / hops for spent in seconds(chain, reps)], hops=hops)


def tree_reduce(reps):
    leaves = 1000

    def tree():
        level = [noop.remote(i) for i in range(leaves)]
        while len(level) > 1:
            pairs = [level[i : i + 2] for i in range(0, len(level), 2)]
            level = [add.remote(*pair) if len(pair) == 2 else pair[0] for pair in pairs]
        assert ray.get(level[0]) == leaves * (leaves + 1) // 2

    emit("tree_reduce", "ms", [spent * 1e3 for spent in seconds(tree, reps)], leaves=leaves)


def wait_drain(_):
    refs = 10_000

    def drain():
        late = [noop.remote(i) for i in range(refs)]
        while late:
            ready, late = ray.wait(late, num_returns=1)
            ray.get(ready)

    # Once: it takes ten seconds and more.
    emit("wait_drain", "ms", [spent * 1e3 for spent in seconds(drain, 1, warm_up=False)], refs=refs)


def fib_tasks(reps):
    # Every task that blocks keeps a process: fib(25) would need more than there is memory for.
    n, tasks = 6, 25

    def run():
        assert ray.get(fib.remote(n)) == 8

    emit("fib", "tasks/s", rates(tasks, run, reps), n=n)


def stream_items(reps):
    items = 2000

    def consume():
        assert sum(ray.get(item) for item in count.remote(items)) == items * (items - 1) // 2

    emit("stream_items", "items/s", rates(items, consume, reps))


METRICS = {
    "task_throughput": throughput,
    "task_latency": latency,
    "chain_hop": chain_hop,
    "tree_reduce": tree_reduce,
    "wait_drain": wait_drain,
    "fib": fib_tasks,
    "stream_items": stream_items,
}
