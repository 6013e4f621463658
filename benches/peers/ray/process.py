"""A Ray of its own: how soon it has its first result, and what it holds when idle; what
`benches/src/core/process.rs` measures. All processes are counted that the driver started, and the driver."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


def processes():
    """This process and all its descendants, by their ids, with the fields of /proc/ID/stat behind the name."""
    stats = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stats[int(folder.name)] = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
    ours = {os.getpid()}
    while more := {pid for pid, stat in stats.items() if int(stat[1]) in ours} - ours:
        ours |= more
    return {pid: stats[pid] for pid in ours}


def memory_mb(pids, file, field):
    lines = (line for pid in pids for line in Path(f"/proc/{pid}/{file}").read_text().splitlines())
    return sum(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(field))


def cpu_seconds():
    return sum(int(stat[11]) + int(stat[12]) for stat in processes().values()) / TICK


def probe():
    """The body of the process: one JSON line with what it found."""
    begin = time.perf_counter()
    import ray  # As a program's first line: its import is part of the start.

    from common import start

    start()
    ray.get(ray.remote(lambda x: x + 1).remote(1))
    startup_ms = (time.perf_counter() - begin) * 1e3
    time.sleep(5)
    before, begin = cpu_seconds(), time.perf_counter()
    time.sleep(10)
    cores = (cpu_seconds() - before) / (time.perf_counter() - begin)
    pids = list(processes())
    rss, pss = memory_mb(pids, "status", "VmRSS:"), memory_mb(pids, "smaps_rollup", "Pss:")
    found = {"startup_ms": startup_ms, "rss_mb": rss, "pss_mb": pss, "cores": cores, "processes": len(pids)}
    print(json.dumps(found), flush=True)
    ray.shutdown()


def probes(reps):
    command = [sys.executable, __file__]
    outputs = (subprocess.run(command, check=True, capture_output=True, text=True).stdout for _ in range(reps))
    return [json.loads(next(line for line in output.splitlines() if line.startswith("{"))) for output in outputs]


def startup_and_idle(reps):
    from common import emit, median

    found = probes(min(reps, 3))
    emit("startup", "ms", [one["startup_ms"] for one in found])
    beside = {"pss_mb": median(one["pss_mb"] for one in found), "idle_cores": median(one["cores"] for one in found)}
    beside["processes"] = median(one["processes"] for one in found)
    emit("idle_rss", "MB", [one["rss_mb"] for one in found], **beside)


if __name__ == "__main__":
    probe()
