"""The configuration of a personal pool: one machine, only its owner, short scheduling intervals."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import subprocess
from pathlib import Path
from typing import Sequence

from nav_pkg.core import UsageError

DAEMONS = ("MASTER", "COLLECTOR", "NEGOTIATOR", "SCHEDD", "STARTD")

_ONE = "SCHEDD_INTERVAL SCHEDD_MIN_INTERVAL NEGOTIATOR_INTERVAL NEGOTIATOR_MIN_INTERVAL"
_ONE += " NEGOTIATOR_CYCLE_DELAY DAGMAN_USER_LOG_SCAN_INTERVAL"  # 0 for this one would hang every DAG
_ONE += " SCHEDULER_UNIVERSE_COOL_DOWN_DURATION"  # else DAGs wait 5 min after a restart
_TWO = "UPDATE_INTERVAL POLLING_INTERVAL STARTER_UPDATE_INTERVAL SHADOW_QUEUE_UPDATE_INTERVAL"
_TWO += " PERIODIC_EXPR_INTERVAL MAX_PERIODIC_EXPR_INTERVAL"
HEAD = "# Written by scripts/pool.py start; changes are lost."
LEASE = 120
"""Seconds without contact to its host after which a job restarts on another one."""
VERSION_LIMIT = 20.0
"""Wall seconds for a program to print its version."""


def text(folder: Path, programs: Sequence[Path], cpus: int, memory: int) -> str:
    """The text of condor_config.

    Args:
        folder: folder of the pool.
        programs: folders of HTCondor's user programs and of its daemons (may be a single folder).
        cpus: processor cores for jobs.
        memory: memory for jobs, MB.

    Raises:
        UsageError: this user has no account on the machine.
    """
    root = os.getuid() == 0
    number = 1 if root else os.getuid()  # our id as HTCondor sees it
    try:
        account = pwd.getpwuid(number).pw_name
    except KeyError:
        raise UsageError(
            f"user id {number} has no account on this machine, and HTCondor needs one: add it to "
            "/etc/passwd, or set CONDOR_CONFIG to a pool elsewhere"
        ) from None
    home = os.path.expanduser("~")
    settings = {
        "RELEASE_DIR": programs[0].parent,
        "BIN": programs[0],
        "SBIN": programs[-1],
        "LIB": "$(RELEASE_DIR)/lib",
        "LIBEXEC": "$(RELEASE_DIR)/libexec/condor",
        "LOCAL_DIR": folder,
        "LOCAL_CONFIG_FILE": "",
        "LOCAL_CONFIG_DIR": "",
        "LOG": "$(LOCAL_DIR)/log",
        "SPOOL": "$(LOCAL_DIR)/spool",
        "EXECUTE": "$(LOCAL_DIR)/execute",
        "RUN": "$(LOCAL_DIR)/run",
        "LOCK": "$(LOCAL_DIR)/lock_files",
        "DAEMON_LIST": " ".join(DAEMONS),
        # Listen only on this machine, on free ports, so that several pools can run in parallel.
        "CONDOR_HOST": "127.0.0.1",
        "NETWORK_INTERFACE": "127.0.0.1",
        "BIND_ALL_INTERFACES": "false",
        "ENABLE_IPV6": "false",
        "COLLECTOR_HOST": "$(CONDOR_HOST):0",
        "COLLECTOR_ADDRESS_FILE": "$(LOG)/.collector_address",
        "USE_SHARED_PORT": "true",
        "SHARED_PORT_PORT": "0",
        "UID_DOMAIN": "localhost",
        "FILESYSTEM_DOMAIN": "localhost",
        "TRUST_UID_DOMAIN": "true",
        "SEC_DEFAULT_AUTHENTICATION": "REQUIRED",
        "SEC_DEFAULT_AUTHENTICATION_METHODS": "FS",
        "SEC_CLIENT_AUTHENTICATION_METHODS": "FS",
        **{
            f"ALLOW_{right}": f"{account}@localhost condor@family"
            for right in ("READ", "WRITE", "ADMINISTRATOR", "NEGOTIATOR", "OWNER", "DAEMON", "CONFIG")
        },
        "ALLOW_CLIENT": "*",
        # One partitionable slot, split by the jobs' resource requests.
        "NUM_CPUS": cpus,
        "MEMORY": memory,
        "NUM_SLOTS": "1",
        "NUM_SLOTS_TYPE_1": "1",
        "SLOT_TYPE_1": "100%",
        "SLOT_TYPE_1_PARTITIONABLE": "true",
        "START": "true",
        "SUSPEND": "false",
        "PREEMPT": "false",
        "KILL": "false",
        "WANT_SUSPEND": "false",
        "MOUNT_UNDER_SCRATCH": "",
        "RUNBENCHMARKS": "0",
        # After a crash of the pool, its jobs wait this long for a lost host (40 minutes by default).
        "JOB_DEFAULT_LEASE_DURATION": LEASE,
        "STARTER_SETS_HOME_ENV": "false",
        "STARTER_JOB_ENVIRONMENT": f'"HOME={home} USER={account} LOGNAME={account}"',
        "MAX_DEFAULT_LOG": "10 Mb",
        "MASTER_NEW_BINARY_DELAY": "86400",
    }
    if root:
        settings["CONDOR_IDS"] = "0.0"  # for programs of root outside the namespace
    if _version(programs[0]) < 25:
        settings["SEC_FS_ENFORCE_CHANNEL_BINDING"] = "false"  # required by bindings of 25
    lines = [f"{name} = {value}" for name, value in settings.items()]
    lines += ["", "# Quick turns: with the defaults, made for thousands of machines, jobs wait a minute."]
    lines += [f"{name} = 1" for name in _ONE.split()] + [f"{name} = 2" for name in _TWO.split()]
    if Path("/dev/nvidiactl").exists():
        lines += ["", "use FEATURE : GPUs"]
    return "\n".join([HEAD, *lines, ""])


def _version(programs: Path) -> int:
    """The major version of HTCondor's programs in a folder; 0 if unknown."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        words = [str(programs / "condor_version")]
        output = subprocess.run(words, capture_output=True, text=True, timeout=VERSION_LIMIT).stdout
        match = re.match(r"\$CondorVersion: (\d+)", output)
        return int(match.group(1)) if match else 0
    return 0


def memory() -> int:
    """Nine tenths of the machine's memory, MB."""
    return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 0.9 / 1e6)
