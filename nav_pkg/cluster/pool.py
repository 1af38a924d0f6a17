"""A personal HTCondor pool on this machine.

The personal pool is the default. If no other pool is configured, `ensure_pool` starts it in a folder of the
user, with the programs that `make setup` unpacked, on 127.0.0.1 and its own ports. A pool named by
CONDOR_CONFIG, or to which the machine belongs, is used as it is.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Dict, Iterator, List, Optional

from nav_pkg.cluster import condor, pool_config
from nav_pkg.core import UsageError
from nav_pkg.data import files
from nav_pkg.locks import flock

START_LIMIT = 60.0
"""Wall seconds from the start of a pool until it answers (2 to 4 on an idle machine)."""
STOP_LIMIT = 150.0
"""Wall seconds for running jobs to save their state when the pool stops."""


def ensure_pool() -> Path:
    """Return the CONDOR_CONFIG to use; start the personal pool if no other pool is configured.

    Raises:
        UsageError: CONDOR_CONFIG names a missing file.
        DataError: HTCondor is not installed.
        PoolError: the personal pool does not start.
    """
    other = condor.configured()
    if other is not None:
        return other
    pool = Pool()
    if pool.start():
        print(f"pool in {pool.folder} started")
    return pool.config


class Pool:
    """The personal pool in a folder.

    Args:
        folder: folder of logs, queue and jobs' scratch folders; default: `condor.pool_folder()`.
    """

    def __init__(self, folder: Optional[Path] = None):
        self.folder = Path(folder or condor.pool_folder()).absolute()
        self.config = self.folder / "condor_config"
        self._pid_file = self.folder / "master.pid"

    # State.

    @property
    def is_set_up(self) -> bool:
        """Whether the folder holds a personal pool, running or not."""
        with contextlib.suppress(OSError):
            return self.config.read_text().startswith(pool_config.HEAD)
        return False

    @property
    def pid(self) -> Optional[int]:
        """The process id of the pool's condor_master; None if it does not run."""
        try:
            number = int(self._pid_file.read_text())
        except (OSError, ValueError):
            return None
        return number if number in self._daemons() else None

    def _daemons(self) -> List[int]:
        """The process ids of this pool's daemons."""
        return [
            number
            for number, name, environment in _processes()
            if name.startswith("condor_")
            and name not in ("condor_q", "condor_status", "condor_wait")
            and f"CONDOR_CONFIG={self.config}".encode() in environment
        ]

    def _jobs(self) -> List[int]:
        """The process ids of this pool's jobs."""
        scratch = (
            f"_CONDOR_SCRATCH_DIR={self.folder}/".encode()
        )  # below execute/, or spool/ in the local universe
        return [
            number
            for number, _, environment in _processes()
            if any(entry.startswith(scratch) for entry in environment)
        ]

    def answers(self) -> bool:
        """Whether all daemons answer and the pool can accept jobs."""
        try:
            output = condor.run("condor_status", "-any", "-af", "MyType", config=self.config, limit=10)
        except condor.PoolError:
            return False
        return {"Scheduler", "Negotiator", "Machine"} <= set(output.split())

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        """Lock the pool, so that concurrent starts and stops wait for each other."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = open(self.folder / "lock", "w")  # noqa: SIM115 (held open as the lock)
        except OSError as error:
            raise files.disk_error(self.folder, error, "NAV_PKG_POOL") from None
        with lock:
            deadline = time.monotonic() + STOP_LIMIT + START_LIMIT
            while flock(lock.fileno()) is False:
                if time.monotonic() > deadline:
                    raise condor.PoolError(
                        f"{self.folder}: another process has been starting or stopping this pool for "
                        f"{STOP_LIMIT + START_LIMIT:g} s; end it and try again"
                    )
                time.sleep(0.1)
            yield

    # Start.

    def start(self, cpus: int = 0, memory: int = 0, die_with_parent: bool = False) -> bool:
        """Start the pool unless it runs, and wait until it answers.

        Args:
            cpus: processor cores for jobs; 0 for all cores that this process may use.
            memory: memory for jobs, MB; 0 for nine tenths of the machine's memory.
            die_with_parent: whether the pool stops when the calling thread ends for any reason.

        Returns:
            Whether this call started it.

        Raises:
            UsageError: a number or the folder's name is bad, or the pool runs with other settings.
            DataError: HTCondor is not installed, or the folder cannot be written.
            PoolError: the pool does not start or answer in time.
        """
        for character in ("$", '"', "\\", "\n"):
            if character in str(self.folder):
                raise UsageError(
                    f"NAV_PKG_POOL {str(self.folder)!r}: HTCondor's configuration can't hold {character!r}: "
                    "choose another folder"
                )
        for name, value in (("cpus", cpus), ("memory", memory)):
            if value < 0:
                raise UsageError(f"--{name} is {value}; it must be at least 1 (or left out)")
        with self._lock():
            text = self._configuration(cpus or len(os.sched_getaffinity(0)), memory or pool_config.memory())
            if self.pid is not None:
                if (cpus or memory) and text != self.config.read_text():
                    raise UsageError(f"the pool in {self.folder} runs with other settings; stop it first")
                self._wait()
                return False
            self._end_rest()
            command = [
                *self._start_command(die_with_parent),
                shutil.which("condor_master", path=self._path()),
            ]
            try:
                for name in ("log", "spool", "execute", "run", "lock_files"):
                    (self.folder / name).mkdir(exist_ok=True)
                # HTCondor requires that all accounts can enter execute/; the jobs' folders stay private
                os.chmod(self.folder / "execute", 0o755)
                for name in (".collector_address", ".schedd_address", ".startd_address"):
                    (self.folder / "log" / name).unlink(missing_ok=True)  # left by the last start
                files.atomic_write(self.config, text, "NAV_PKG_POOL")
                with open(self.folder / "log" / "start", "wb") as output:
                    process = subprocess.Popen(
                        [str(word) for word in [*command, "-f"]],
                        env=self._environment(),
                        cwd=str(self.folder),
                        stdin=subprocess.DEVNULL,
                        stdout=output,
                        stderr=subprocess.STDOUT,
                        start_new_session=True,
                    )
                files.atomic_write(self._pid_file, f"{process.pid}\n", "NAV_PKG_POOL")
            except OSError as error:
                raise files.disk_error(error.filename or self.folder, error, "NAV_PKG_POOL") from None
            try:
                self._wait(process)
            except BaseException:
                self._kill()
                raise
            return True

    def _wait(self, process: Optional[subprocess.Popen] = None) -> None:
        deadline = time.monotonic() + START_LIMIT
        while not self.answers():
            if process is not None and process.poll() is not None:
                output = (self.folder / "log" / "start").read_text(errors="replace").strip().splitlines()
                raise condor.PoolError(
                    f"condor_master ended with exit code {process.returncode} "
                    f"({output[-1] if output else 'no output'}); see {self.folder}/log/MasterLog"
                )
            if time.monotonic() > deadline:
                raise condor.PoolError(
                    f"the pool in {self.folder} does not answer within {START_LIMIT:g} s: "
                    f"{self._last_error()}; see {self.folder}/log, then stop and start it (scripts/pool.py)"
                )
            time.sleep(0.1)

    def _last_error(self) -> str:
        for name in ("MasterLog", "CollectorLog", "SchedLog", "StartLog", "NegotiatorLog"):
            with contextlib.suppress(OSError):
                lines = (self.folder / "log" / name).read_text(errors="replace").splitlines()
                errors = [line for line in lines[-200:] if "ERROR" in line or "DENIED" in line]
                if errors:
                    return f"{name}: {errors[-1]}"
        return "no error in its logs"

    def _start_command(self, die_with_parent: bool) -> List[str]:
        command = []
        if os.getuid() == 0:
            # HTCondor refuses to run jobs of root. In a user namespace it sees an ordinary account, and
            # root still owns the files.
            command = ["unshare", "--user", "--map-user=1", "--map-group=1"]
            try:
                tried = subprocess.run(
                    [*command, "true"],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    timeout=condor.ANSWER_LIMIT,
                )
                failed = tried.returncode
            except (OSError, subprocess.TimeoutExpired):
                failed = 1
            if failed:
                raise condor.PoolError(
                    "HTCondor runs no job of root's, and this machine allows no user namespaces (unshare "
                    "--user): start the pool as an ordinary user"
                )
        if die_with_parent:
            command += ["setpriv", "--pdeathsig", "QUIT"]  # last: a change of credentials clears it
        return command

    def _path(self) -> str:
        return condor.prefix_environment(self.config)["PATH"]

    def _environment(self) -> Dict[str, str]:
        """A clean environment for the daemons, without the shell's ROS master, display and so on."""
        kept = ("HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR")
        environment = {name: os.environ[name] for name in kept if name in os.environ}
        return {**environment, **condor.prefix_environment(self.config)}

    def _configuration(self, cpus: int, memory: int) -> str:
        return pool_config.text(self.folder, condor.programs(), cpus, memory)

    # Stop.

    def stop(self, fast: bool = False) -> bool:
        """Stop the pool; the queue stays, and its jobs resume after the next start.

        Args:
            fast: whether to kill running jobs without time to save their state.

        Returns:
            Whether the pool was running.

        Raises:
            PoolError: a process cannot be killed.
        """
        if not self.config.exists():
            return False
        with self._lock():
            master = self.pid
            plan = [(signal.SIGTERM, STOP_LIMIT), (signal.SIGQUIT, 20.0)][1 if fast else 0 :]
            for number, limit in plan:
                if master is not None and _alive(master):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(master, number)
                    _until(lambda: not _alive(master or 0), limit)
            self._kill()
            return master is not None

    def _kill(self) -> None:
        self._end_rest()
        self._pid_file.unlink(missing_ok=True)

    def _end_rest(self) -> None:
        """Kill the remaining daemons and jobs of the pool."""
        deadline = time.monotonic() + 10
        while True:
            left = [*self._daemons(), *self._jobs()]
            if not left:
                return
            if time.monotonic() > deadline:
                raise condor.PoolError(
                    f"processes {left} of the pool in {self.folder} cannot be killed within 10 s"
                )
            for number in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(number, signal.SIGKILL)
            time.sleep(0.1)


def _alive(number: int) -> bool:
    try:
        return b") Z" not in Path("/proc", str(number), "stat").read_bytes()
    except OSError:
        return False


def _until(ready, limit: float) -> bool:
    deadline = time.monotonic() + limit
    while not ready():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def _processes() -> Iterator:
    """Yield process id, program and environment of all live processes of this user."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                environment = Path("/proc", entry, "environ").read_bytes().split(b"\0")
                name = os.path.basename(os.readlink(f"/proc/{entry}/exe"))
            except OSError:
                continue
            if _alive(int(entry)):
                yield int(entry), name, environment
