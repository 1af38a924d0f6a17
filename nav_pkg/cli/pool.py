"""Start, stop and inspect a personal HTCondor pool on this machine.

The cluster commands start it when no pool is configured. The queue is kept when the pool stops, and its jobs
run after the next start. A pool that CONDOR_CONFIG names is used as it is: `status` and `env` describe it,
`start` and `stop` refuse it.

Examples:
    pool.py start --cpus 8 --memory 16000
    eval "$(pool.py env)"; condor_q; condor_status
    pool.py stop
"""

from __future__ import annotations

import shlex
from typing import Optional, Sequence

from nav_pkg.cluster import pool as pools
from nav_pkg.config.parser import Parser
from nav_pkg.core import UsageError


def parser() -> Parser:
    """Make the parser."""
    p = Parser(prog="pool.py", description=__doc__)
    commands = p.add_subparsers(dest="command", metavar="start|stop|status|env")
    start = commands.add_parser("start", help="start the pool and wait until it accepts jobs")
    start.add_argument("--cpus", type=int, default=0, help="processor cores for jobs; 0: all")
    start.add_argument(
        "--memory", type=int, default=0, help="memory for jobs, MB; 0: nine tenths of the machine's"
    )
    stop = commands.add_parser("stop", help="stop the pool; running jobs save their state first")
    stop.add_argument("--fast", action="store_true", help="kill running jobs instead")
    commands.add_parser("status", help="show the pool's resources and jobs")
    commands.add_parser("env", help="print the shell variables that condor_q and other tools need, for eval")
    return p


def status() -> int:
    """Print the state of the pool; return 0 if it runs, else the code of PoolError."""
    other, own = pools.configured(), pools.Pool()
    where = f"the pool of {other}" if other else f"the personal pool in {own.folder}"
    if not other and own.pid is None:
        print(f"{where} does not run; pool.py start starts it")
        return pools.PoolError.code
    config = other or own.config
    slots = [
        [float(word) for word in line.split()]
        for line in pools.run(
            "condor_status", "-constraint", "SlotType =!= \"Dynamic\"", "-af",
            "TotalSlotCpus", "Cpus", "TotalSlotMemory", "Memory", config=config,
        ).splitlines()
        if "undefined" not in line
    ]  # fmt: skip
    cpus, free, memory, memory_free = (sum(column) for column in zip(*slots)) if slots else (0, 0, 0, 0)
    states = pools.run("condor_q", "-allusers", "-af", "JobStatus", config=config).split()
    running, idle, held = (states.count(code) for code in "215")
    print(f"{where} runs" + ("" if other else f" (process {own.pid})"))
    print(f"  {cpus:g} processors ({free:g} free), {memory:,.0f} MB ({memory_free:,.0f} free)")
    print(f"  jobs: {running} running, {idle} waiting, {held} held")
    return 0


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command."""
    args = parser().parse_args(argv)
    if args.command is None:
        raise UsageError("pool.py: give start, stop, status or env (see pool.py --help)")
    own = pools.Pool()
    if args.command == "status":
        return status()
    if args.command == "env":
        for name, value in pools.prefix_environment().items():
            print(f"export {name}={shlex.quote(value)}")
        return 0
    other = pools.configured()
    if other:
        raise UsageError(
            f"pool.py {args.command}: the pool of {other} is configured, and used as it is; unset "
            "CONDOR_CONFIG for a pool of your own"
        )
    if args.command == "start":
        now = own.start(args.cpus, args.memory)
        print(f"pool in {own.folder} " + ("started" if now else "runs already"))
        print('for condor_q and the like: eval "$(python scripts/pool.py env)"')
    else:
        print(f"pool in {own.folder} " + ("stopped" if own.stop(args.fast) else "did not run"))
    return 0
