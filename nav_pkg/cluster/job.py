"""The wrapper of a cluster job: runs one of nav_pkg's commands on the execute host.

`setup/condor_job SPEC` starts the wrapper. It isolates the command's environment, enforces the wall time,
forwards HTCondor's signals, writes the progress to `state/<name>.json`, and returns an exit code on which
HTCondor's policy acts (docs/cluster.md).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import IO, Any, Dict, List, Optional, Sequence

from nav_pkg import schemas
from nav_pkg.children import SuspensionWatch, start_child
from nav_pkg.cluster import job_files
from nav_pkg.cluster.job_state import Progress, State
from nav_pkg.cluster.transfer import pack_made
from nav_pkg.cluster.uplink import Uplink
from nav_pkg.config import paths
from nav_pkg.core import (
    EXIT_CHECKPOINTED,
    EXIT_LAST,
    EXIT_RETRY_ELSEWHERE,
    ROOT,
    DataError,
    NavError,
    UsageError,
)
from nav_pkg.data import files
from nav_pkg.fields import check_fields

FORMAT = 1
POLL = 0.25
"""Seconds between two polls of the command."""
BEAT = 3.0
"""Seconds between two writes of the state file."""
SUSPENDED = 30.0
"""Seconds between two of our own polls above which the job counts as suspended."""
WALL_MARGIN, WALL_SHARE = 300.0, 0.1
"""A command must save and exit this early before its wall time ends: the smaller of seconds and share."""
GRACE = 100.0
"""Seconds that a command has to save and exit; HTCondor kills the job after job_max_vacate_time (120)."""
MOST_HANGS = 3
"""Number of consecutive hangs (the command does not exit on request) after which the job is held."""
SAVING = 150.0
"""Seconds that a job waits for the lock of its log folder: a removed job may take 120 s to save there."""
SAVE_EVERY = {"record": 600.0, "evaluate": 600.0, "online": 600.0, "train": 3600.0}
"""By kind, seconds after which a job with file transfer pauses to send its files to the submitting host. They
limit the loss when a host dies. Jobs that fly wait for the end of a run: an unfinished run is flown again."""
SENDING = "sending home"
FOREIGN = ("ROS_MASTER_URI", "ROS_HOSTNAME", "ROS_IP", "GAZEBO_MASTER_URI", "DISPLAY", "XAUTHORITY")
"""Variables that would connect a simulator to another session's ROS master, ports or display."""
LONGEST_TMP = 60
"""Most characters in the path of a temporary folder; paths of sockets in it must stay below 108."""


def read_spec(path: Path) -> Dict[str, Any]:
    """Read and check a job's spec.

    Raises:
        UsageError: the format is another one, or a value is not possible.
        DataError: the file cannot be read.
    """
    spec = files.read_json(path)
    if spec.get("format") != FORMAT:
        raise UsageError(f"{path}: format {spec.get('format')!r}, this nav_pkg reads {FORMAT}; submit again")
    command = spec.get("command")
    if not (isinstance(command, list) and command and all(isinstance(word, str) for word in command)):
        raise UsageError(f"{path}: command {command!r} is no list of words")
    if not (ROOT / "scripts" / command[0]).is_file() or "/" in command[0]:
        raise UsageError(f"{path}: {command[0]!r} is none of nav_pkg's commands (scripts/)")
    name = spec.get("name")
    if not isinstance(name, str) or not name or "/" in name:
        raise UsageError(f"{path}: name {name!r} can't be a job's")
    check_fields(spec, schemas.SPEC, path)
    job_files.check_names((spec.get("transfer") or {}).get("out") or [], f"{path}: transfer.out")
    return spec


class Wrapper:
    """One try of a job.

    Args:
        path: path of the spec.
    """

    def __init__(self, path: Path):
        self.path = path.resolve()
        self.spec = read_spec(self.path)
        scratch = os.environ.get("_CONDOR_SCRATCH_DIR")
        self.scratch = Path(scratch) if scratch else Path(tempfile.mkdtemp(prefix="nav_pkg-job-"))
        self._own_scratch = not scratch
        self.transfer = self.spec.get("transfer") or None
        base = self.scratch if self.transfer else self.path.parent.parent
        state = base / "state" / f"{self.spec['name']}.json"
        self.uplink = Uplink(state, f"state/{state.name}") if self.transfer else None
        if self.uplink:
            self.uplink.fetch()
        self.state = State(state, self.spec)
        self.tar = self.scratch / f"{self.spec['name']}.tar"
        self.asked = ""
        self._killing, self._hung = float("inf"), False
        self._process: Optional[subprocess.Popen] = None

    # Environment and files.

    def environment(self) -> Dict[str, str]:
        """The command's environment: the job's, with its own folders and without FOREIGN for a simulator."""
        environment = dict(os.environ, PYTHONUNBUFFERED="1")
        for name, value in (self.spec.get("env") or {}).items():
            if self.transfer and name in ("NAV_PKG_DATA", "NAV_PKG_LOG"):
                value = str(self.scratch / value)
            environment[str(name)] = str(value)
        if self.spec.get("simulator"):
            for name in FOREIGN:
                environment.pop(name, None)
        environment["TMPDIR"] = environment["TEMP"] = environment["TMP"] = str(self.temporary)
        environment["HOME"] = str(self._home(environment))
        return environment

    def _home(self, environment: Dict[str, str]) -> Path:
        """The home folder: HOME if it is writable, else a folder of the job, e.g. in a container.

        ROS and Gazebo write to folders below HOME and do not start without them.
        """
        given = environment.get("HOME")
        if given and Path(given).is_dir() and os.access(given, os.W_OK | os.X_OK):
            return Path(given)
        own = self.scratch / "home"
        own.mkdir(exist_ok=True)
        return own

    def _make_temporary(self) -> Path:
        folder = self.scratch / "tmp"
        if len(str(folder)) > LONGEST_TMP:
            return Path(tempfile.mkdtemp(prefix="nav_pkg-", dir="/tmp"))
        folder.mkdir(exist_ok=True)
        return folder

    def _unpack_inputs(self) -> None:
        """Unpack the transferred files: inputs, and the output of earlier tries of this job."""
        assert self.transfer is not None
        for name in self.transfer.get("in") or []:
            tar = self.scratch / Path(name).name
            if tar.suffix == ".tar" and tar != self.tar and tar.exists():
                job_files.unpack(tar, self.scratch)
                tar.unlink()  # the disk request does not cover tar and content together
        begun = any((self.scratch / name).exists() for name in self.transfer.get("out") or [])
        if self.tar.exists() and not begun:
            job_files.unpack(self.tar, self.scratch)
        for variable in ("NAV_PKG_DATA", "NAV_PKG_LOG"):
            Path(self.environment()[variable]).mkdir(parents=True, exist_ok=True)

    # Running.

    def run(self) -> int:
        """Run the command and return the job's exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        self.temporary = self._make_temporary()
        self.state.write()
        if self.uplink:
            self.uplink.start()
        code = 1
        try:
            if self.transfer:
                self._unpack_inputs()
            job_files.check_datasets(self.spec.get("datasets") or [], self._data_root())
            with contextlib.ExitStack() as stack:
                if self.spec.get("copy_dataset"):
                    stack.enter_context(job_files.shared_packs())
                code = self._command()
        except NavError as error:
            code = error.code
            print(f"error: {error}", file=sys.stderr, flush=True)
            self.state.values["error_line"] = f"error: {error}"
        finally:
            code = self._counted(self._send(code))
            words = {0: "done", EXIT_CHECKPOINTED: "checkpointed"}
            self.state.write(exit_code=code, status=words.get(code, "failed"))
            if self.uplink:
                self.uplink.end()
            shutil.rmtree(self.temporary, ignore_errors=True)
            if self._own_scratch:
                shutil.rmtree(self.scratch, ignore_errors=True)
        return code

    def _counted(self, code: int) -> int:
        """Count a failure; add EXIT_LAST to the exit code when no retry is left."""
        if code in (0, EXIT_CHECKPOINTED, *_FINAL) or self.transfer:  # with transfer, max_retries counts
            return code
        failures = self.state.values["failures"] + 1
        self.state.values["failures"] = failures
        return code + EXIT_LAST if failures > int(self.spec.get("retries", failures)) else code

    def _data_root(self) -> Path:
        return Path(self.environment().get("NAV_PKG_DATA") or paths.data_root()).expanduser()

    def _send(self, code: int) -> int:
        """Pack the output for the submitting host; on that host itself, for jobs on other hosts."""
        try:
            if self.transfer:
                job_files.pack(self.tar, self.scratch, self.transfer.get("out") or [])
                if self.uplink and self.asked and not self.asked.startswith(SENDING):
                    # HTCondor transfers it to its spool, which condor_rm deletes
                    self.uplink.send_file(self.tar, f"transfer/{self.tar.name}")
            elif code == 0 and self.spec.get("pack"):
                pack_made(self.path.parent.parent, self.spec["name"], self.spec["pack"])
        except NavError as error:
            print(f"error: {error}", file=sys.stderr, flush=True)
            return code or error.code
        return code

    def _on_signal(self, number: int, _frame: Any) -> None:
        self.ask(f"signal {signal.Signals(number).name}", GRACE)

    def ask(self, reason: str, grace: float) -> None:
        """Send SIGTERM so that the command saves and exits; it is killed after `grace` seconds."""
        if self.asked:
            return
        self.asked, self._killing = reason, time.monotonic() + grace
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def _command(self) -> int:
        if self.asked:
            return EXIT_CHECKPOINTED
        script, *words = self.spec["command"]
        environment = self.environment()
        log = _value_of(words, ("-t", "--log_tag"))
        folder = Path(environment.get("NAV_PKG_LOG") or paths.summary_dir()).expanduser()
        unit = self.spec.get("unit") or {"train": "episodes"}.get(str(self.spec.get("kind")), "runs")
        progress = Progress(folder / log if log else None, unit)
        if log:
            self._wait_for(folder / log)
            if self.asked:
                return EXIT_CHECKPOINTED
        try:
            self._process = process = start_child(
                [sys.executable, ROOT / "scripts" / script, *words],
                signal.SIGINT,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except OSError as error:
            raise DataError(f"{script}: {error.strerror}") from None
        readers = [
            threading.Thread(target=self._read, args=(stream, out), daemon=True)
            for stream, out in ((process.stdout, sys.stdout), (process.stderr, sys.stderr))
        ]
        for reader in readers:
            reader.start()
        if self.asked:  # a signal came between the check above and the start
            process.send_signal(signal.SIGTERM)
        self._watch(process, progress)
        for reader in readers:
            reader.join(2.0)
        self.state.write(unit=unit, **{unit: progress.count()})
        return self._job_code(process.returncode)

    def _wait_for(self, folder: Path) -> None:
        """Wait while another process locks the log folder: a removed job may still be saving there.

        If the lock is held for longer, the command itself reports it.
        """
        deadline = time.monotonic() + SAVING
        while time.monotonic() < deadline and not self.asked:
            try:
                lock = files.lock_folder(folder)
            except OSError:  # the command reports it
                return
            if lock is not None:
                os.close(lock)
                return
            self.state.write(last_line=f"waiting for {folder}, which another process has")
            time.sleep(1.0)

    def _read(self, stream: IO[bytes], out: Any) -> None:
        """Forward a stream line by line, and keep its last line and last `error:` line in the state."""
        for raw in stream:
            text = raw.decode(errors="replace")
            with contextlib.suppress(OSError, ValueError):
                out.write(text)
                out.flush()
            line = text.strip()[:500]
            if line:
                self.state.values["last_line"] = line
                if line.startswith("error: "):
                    self.state.values["error_line"] = line

    def _watch(self, process: subprocess.Popen, progress: Progress) -> None:
        """Monitor wall time, suspension and progress until the command has ended."""
        begin, suspension = time.monotonic(), SuspensionWatch(SUSPENDED)
        before = _seconds_before()
        beaten, count = float("-inf"), 0
        wall = float(self.spec.get("wall_time") or 0)
        margin = min(WALL_MARGIN, WALL_SHARE * wall)
        kind = str(self.spec.get("kind"))
        save_every = float(self.spec.get("save_every") or SAVE_EVERY.get(kind, 0)) if self.transfer else 0
        at_begin = progress.count()
        self.state.values["done_before"] = at_begin
        while process.poll() is None:
            time.sleep(POLL)
            now = time.monotonic()
            suspended = suspension.poll()
            if suspended:
                print(f"suspended for {suspended:.0f} s", flush=True)
                self.state.values["suspended"] += suspended
            if now - beaten > BEAT:
                beaten, count = now, progress.count()
                self.state.write(unit=progress.unit, **{progress.unit: count})
            if 0 < wall - margin <= before + now - begin:
                self.ask(f"the wall time of {wall:g} s", 0.8 * margin)
            if 0 < save_every < now - begin and (kind == "train" or count > at_begin):
                self.ask(f"{SENDING} what there is (every {save_every:g} s)", GRACE)
            if now > self._killing:
                line = f"error: the command did not exit ({self.asked}): killed"
                self.state.values["error_line"] = line
                print(line, file=sys.stderr, flush=True)
                self._hung = not self.asked.startswith("signal ")  # a signal may be an eviction during a save
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def _job_code(self, code: int) -> int:
        """Convert the command's exit code to the job's exit code."""
        hangs = self.state.values["hangs"] + 1 if self._hung else 0
        self.state.values["hangs"] = hangs
        if hangs >= MOST_HANGS:
            return DataError.code  # held: a checkpoint exit would restart it without end
        if hangs:
            return EXIT_RETRY_ELSEWHERE
        if self.asked and code not in (0, *_FINAL):
            print(f"stopped by {self.asked}; the next try resumes", flush=True)
            return EXIT_CHECKPOINTED
        if code < 0 or code > 128:
            number = -code if code < 0 else code - 128
            print(f"error: killed by signal {number}; tried again elsewhere", file=sys.stderr, flush=True)
            self.state.values["error_line"] = f"error: killed by signal {number}"
            return EXIT_RETRY_ELSEWHERE
        return code


_FINAL = (UsageError.code, DataError.code)
"""Exit codes that are kept even if the command was asked to exit."""


def _seconds_before() -> float:
    """Seconds that `condor_job` took before it started the wrapper; minutes if it first set up the host."""
    try:
        return max(0.0, time.time() - float(os.environ["NAV_PKG_JOB_BEGIN"]))
    except (KeyError, ValueError):
        return 0.0


def _value_of(words: Sequence[str], names: Sequence[str]) -> Optional[str]:
    """The value of a flag on a command line."""
    for i, word in enumerate(words):
        flag, _, value = word.partition("=")
        if flag in names:
            return value or (words[i + 1] if i + 1 < len(words) else None)
    return None


def main(argv: Optional[List[str]] = None) -> int:
    """Run a job: job.py SPEC."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        if len(argv) != 1:
            raise UsageError(f"a job takes the path of its spec, got {len(argv)} arguments")
        return Wrapper(Path(argv[0])).run()
    except NavError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.code


if __name__ == "__main__":
    sys.exit(main())
