"""The state of a pool: its slots and its jobs (`pool.py status`)."""

from __future__ import annotations

from nav_pkg.cluster import condor
from nav_pkg.cluster.pool import Pool


def print_status() -> int:
    """Print the state of the pool; return 0 if it runs, else the code of PoolError."""
    other, own = condor.configured(), Pool()
    name = f"the pool of {other}" if other else f"the personal pool in {own.folder}"
    if not other and own.pid is None:
        print(f"{name} does not run; pool.py start starts it")
        return condor.PoolError.code
    config = other or own.config
    slots = [
        [float(word) for word in line.split()]
        for line in condor.run(
            "condor_status", "-constraint", "SlotType =!= \"Dynamic\"", "-af",
            "TotalSlotCpus", "Cpus", "TotalSlotMemory", "Memory", config=config,
        ).splitlines()
        if "undefined" not in line
    ]  # fmt: skip
    cpus, free, memory, memory_free = (sum(column) for column in zip(*slots)) if slots else (0, 0, 0, 0)
    states = condor.run("condor_q", "-allusers", "-af", "JobStatus", config=config).split()
    running, idle, held = (states.count(code) for code in "215")
    print(f"{name} runs" + ("" if other else f" (process {own.pid})"))
    print(f"  {cpus:g} processors ({free:g} free), {memory:,.0f} MB ({memory_free:,.0f} free)")
    print(f"  jobs: {running} running, {idle} waiting, {held} held")
    return 0
