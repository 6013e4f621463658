"""Ray's figures for suite `core`: one JSON object a line, as `bench core` prints them. See README.md.

    python core.py [--reps N] [METRIC ...] > ray.jsonl
"""

import argparse

import ray

import actors
import grain
import process
import tasks
from common import start

METRICS = tasks.METRICS | actors.METRICS | grain.METRICS
# Each starts a Ray of its own, so that none may run beside it.
OF_A_PROCESS = "startup, idle_rss"


def main():
    parser = argparse.ArgumentParser(description="Ray's figures for suite core, one JSON object a line.")
    known = [*METRICS, "process"]
    parser.add_argument("metrics", nargs="*", metavar="METRIC", help=f"{', '.join(known)} ({OF_A_PROCESS}); default all")
    parser.add_argument("--reps", type=int, default=7, help="repetitions of what takes a second or so (default 7)")
    arguments = parser.parse_args()
    if unknown := set(arguments.metrics) - set(known):
        parser.error(f"no metric is called {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    wanted = arguments.metrics or known
    if "process" in wanted:
        process.startup_and_idle(arguments.reps)
    if any(name in METRICS for name in wanted):
        start()
        ray.get([tasks.noop.remote(i) for i in range(2000)])
        for name in wanted:
            if name in METRICS:
                METRICS[name](arguments.reps)
        ray.shutdown()


if __name__ == "__main__":
    main()
