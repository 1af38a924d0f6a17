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

from nav_pkg.cluster import condor
from nav_pkg.cluster.pool import Pool
from nav_pkg.cluster.pool_status import print_status
from nav_pkg.config.cluster import PoolStartConfig, PoolStopConfig
from nav_pkg.config.parser import Parser
from nav_pkg.config.setting import add_arguments
from nav_pkg.core import UsageError


def parser() -> Parser:
    """Make the parser."""
    p = Parser(prog="pool.py", description=__doc__)
    commands = p.add_subparsers(dest="command", metavar="start|stop|status|env")
    start = commands.add_parser("start", help="start the pool and wait until it accepts jobs")
    add_arguments(start, PoolStartConfig)
    stop = commands.add_parser("stop", help="stop the pool; running jobs save their state first")
    add_arguments(stop, PoolStopConfig)
    commands.add_parser("status", help="show the pool's resources and jobs")
    commands.add_parser("env", help="print the shell variables that condor_q and other tools need, for eval")
    return p


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command."""
    args = parser().parse_args(argv)
    if args.command is None:
        raise UsageError("pool.py: give start, stop, status or env (see pool.py --help)")
    own = Pool()
    if args.command == "status":
        return print_status()
    if args.command == "env":
        for name, value in condor.prefix_environment().items():
            print(f"export {name}={shlex.quote(value)}")
        return 0
    other = condor.configured()
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
