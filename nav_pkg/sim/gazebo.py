"""Start and stop one Gazebo with the lock-step plugin, and report a failure in one line."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import threading
import time
import xmlrpc.client
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence

from nav_pkg.children import Child
from nav_pkg.core import SimulatorError
from nav_pkg.sim.description import PLUGIN, ROOT, SimulatorOptions, compose, model_folder
from nav_pkg.sim.display import Display, has_gpu
from nav_pkg.sim.network import LOOPBACK, check_master, listen_environment
from nav_pkg.sim.temporary_folder import TemporaryFolder

LAUNCHER = ROOT / "setup" / "gzserver"

_READY = "[nav_pkg] ready"
_FATAL = "[nav_pkg] fatal: "
_CAUSES = (  # what Gazebo prints -> what it means
    (r"Unable to start server\[(bind: )?Address already in use", "Gazebo's port {port} is in use"),
    (
        r"Unable to open display|Can't open display|Unable to create the rendering window",
        "no X display: {line}",
    ),
    (r"Unable to find uri\[(?P<why>.*?)\]", "the world needs {why}, which is not in GAZEBO_MODEL_PATH"),
    (r"Error Code \d+ Msg: (?P<why>.*)|Unable to read sdf file|Unable to load world", "the world: {line}"),
)


class _Transport(xmlrpc.client.Transport):
    """XML-RPC with a time limit, for a master that hangs."""

    def __init__(self, limit: float):
        super().__init__()
        self._limit = limit

    def make_connection(self, host):
        connection = super().make_connection(host)
        connection.timeout = self._limit
        return connection


def master_answers(uri: str, limit: float = 3.0) -> bool:
    """Whether a ROS master answers at a URI."""
    try:
        xmlrpc.client.ServerProxy(uri, transport=_Transport(limit)).getPid("/nav_pkg_simulator")
    except (OSError, xmlrpc.client.Error, http.client.HTTPException, ValueError):
        return False
    return True


def free_port(address: str = LOOPBACK) -> int:
    """A TCP port that is free at the moment."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        return probe.getsockname()[1]


def port_is_free(port: int, address: str = LOOPBACK) -> bool:
    """Whether no process listens on a TCP port of an address of this host."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def without_noise(lines: Sequence[str]) -> List[str]:
    """Gazebo's output lines without those that every start without a sound card prints."""
    noise = ("ALSA lib", "AL lib", "OpenAL", "Audio will be disabled", "InitializeSockets", "XDG_RUNTIME_DIR")
    return [line for line in lines if not any(word in line for word in noise)]


class Gazebo:
    """One gzserver with its X display, on its own ports. All its processes end with this process.

    Args:
        options: what to simulate.
        port: of Gazebo's own master; None: a free one.
        limit: seconds for the start.
        on_line: called with each line that Gazebo prints (in another thread).
        launcher: the program that starts gzserver with its environment.

    Raises:
        SimulatorError: it did not start; the text gives the reason.
        UsageError, DataError: the options, the world or the robot are invalid.
    """

    def __init__(
        self,
        options: SimulatorOptions,
        port: Optional[int] = None,
        limit: float = 90.0,
        on_line: Optional[Callable[[str], None]] = None,
        launcher: Path = LAUNCHER,
    ):
        self._options = options
        self._limit = limit
        self._on_line = on_line
        self._launcher = launcher
        self._display: Optional[Display] = None
        self._server: Optional[Child] = None
        self._window: Optional[Child] = None
        self._ready = threading.Event()
        self._fatal = ""
        self.master = os.environ.get("ROS_MASTER_URI", "http://localhost:11311")
        check_master(self.master, options.listen)
        self._base_environment = listen_environment(os.environ, options.listen)
        self._folder = TemporaryFolder("nav_pkg-sim-")
        try:
            self._world = self._folder.path / "run.world"
            self._world.write_text(compose(options))
            if not master_answers(self.master):
                raise SimulatorError(f"no ROS master at {self.master}; start one (roscore) or use roslaunch")
            if port is not None and not port_is_free(port, options.listen):
                raise SimulatorError(f"Gazebo's port {port} is in use; choose another or none")
            self._display = Display(self._base_environment, self._folder.path, present=options.gui)
            for attempt in range(3):
                self.port = free_port(options.listen) if port is None else port
                try:
                    self._start()
                    break
                except _PortInUse:  # another process took the port first
                    if port is not None or attempt == 2:
                        raise
            if options.gui:
                self._window = Child([str(self._launcher.parent / "gzclient")], self._environment())
        except BaseException:
            self.close()
            raise

    def _environment(self) -> Dict[str, str]:
        assert self._display is not None
        environment = {**self._base_environment, **self._display.environment}
        environment["GAZEBO_MASTER_URI"] = f"http://{self._options.listen}:{self.port}"
        environment["IGN_PARTITION"] = f"nav_pkg-{os.getpid()}-{self.port}"
        # Gazebo stores compiled shaders in a folder in the system's temporary folder. Another simulator may
        # write there at the same time, and another user may own it.
        environment["TMP"] = environment["TMPDIR"] = str(self._folder.path)
        folders = [str(model_folder(self._options.world)), environment.get("GAZEBO_MODEL_PATH", "")]
        environment["GAZEBO_MODEL_PATH"] = ":".join(folder for folder in folders if folder)
        if not has_gpu():
            environment["LIBGL_ALWAYS_SOFTWARE"] = "1"
        return environment

    def _start(self) -> None:
        command = [str(self._launcher), "--verbose", "--lockstep", "--seed", str(self._options.seed)]
        self._ready.clear()
        try:
            self._server = Child(command + [str(self._world)], self._environment(), self._process_line)
        except OSError as error:
            raise SimulatorError(f"{self._launcher}: {error.strerror}; run 'make setup'") from None
        deadline = time.monotonic() + self._limit
        while not self._ready.wait(0.05):
            self.check()
            if time.monotonic() > deadline:
                cause = self._failure_cause() or "no error was printed"
                self._server.stop(signal.SIGKILL)
                raise SimulatorError(f"Gazebo was not ready within {self._limit:g} s: {cause}")

    def _process_line(self, line: str) -> None:
        if _FATAL in line:
            self._fatal = line.split(_FATAL, 1)[1]
        elif _READY in line:
            self._ready.set()
        elif "Failed to load plugin" in line and PLUGIN in line:  # gzserver continues without it
            self._fatal = f"the plugin did not load: {line.split(PLUGIN + ':')[-1].strip()}; run 'make setup'"
        if self._on_line is not None and without_noise([line]):
            self._on_line(line)

    def _failure_cause(self) -> str:
        """The printed line that best explains a failure."""
        assert self._server is not None
        if self._fatal:
            return self._fatal
        lines = without_noise(list(self._server.lines))
        for pattern, meaning in _CAUSES:
            for line in lines:
                match = re.search(pattern, line)
                if match:
                    why = match.groupdict().get("why") or ""
                    text = meaning.format(port=self.port, why=why.strip(), line=line.strip())
                    return text.replace(str(self._world), str(self._options.world))
        errors = [
            line for line in lines if "[Err]" in line or line.startswith(("setup:", "terminate", "gzserver:"))
        ]
        return (errors or lines or [""])[-1].strip()

    def check(self) -> None:
        """Raise SimulatorError when Gazebo or its display has ended."""
        if self._server is not None and not self._server.running:
            self._server.drain()
            cause = self._failure_cause()
            if "port" in cause and "in use" in cause:
                raise _PortInUse(cause)
            if cause.startswith("setup:"):
                raise SimulatorError(cause[len("setup:") :].strip())
            raise SimulatorError(f"gzserver ended ({self._server.how_it_ended()}): {cause or 'no output'}")
        if self._fatal:
            raise SimulatorError(self._fatal)
        if self._display is not None and not self._display.running:
            raise SimulatorError("the X server Xvfb has ended")

    def wait(self, stop: threading.Event, master_limit: float = 15.0) -> None:
        """Watch the simulator until `stop` is set.

        Raises:
            SimulatorError: Gazebo, its display or the ROS master is gone.
        """
        last_answer = last_check = time.monotonic()
        while not stop.wait(0.1):
            self.check()
            now = time.monotonic()
            if now - last_check > 3.0:
                if master_answers(self.master):
                    last_answer = time.monotonic()
                elif now - last_answer > master_limit:
                    raise SimulatorError(f"the ROS master at {self.master} is gone")
                last_check = time.monotonic()

    @property
    def process(self) -> int:
        """Process id of gzserver."""
        assert self._server is not None
        return self._server.process.pid

    def close(self) -> None:
        """Stop all processes. Further calls do nothing."""
        if self._window is not None:
            self._window.stop()
        if self._server is not None:
            self._server.stop(signal.SIGINT)
        if self._display is not None:
            self._display.close()
        self._folder.close()

    def __enter__(self) -> Gazebo:
        return self

    def __exit__(self, *_error) -> None:
        self.close()


class _PortInUse(SimulatorError):
    """Another Gazebo uses the port."""
