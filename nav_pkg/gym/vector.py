"""Environments in processes of their own, as a vector environment."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path
from signal import Signals
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import gymnasium
import numpy as np
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array, iterate

from nav_pkg.children import start_child
from nav_pkg.config.gym import ENVIRONMENT
from nav_pkg.core import Outcome, SimulatorError, UsageError
from nav_pkg.gym.environment import FRAMES_PER_SECOND, RENDER_MODES, check_render_mode
from nav_pkg.gym.settings import Settings
from nav_pkg.gym.worker import BROKEN, WRONG

PATIENCE = 120.0
"""Longest time to an answer, wall seconds. A new world takes some seconds, a flight's step a millisecond."""
CLOSING = 5.0
"""Time to end by itself, wall seconds."""
MOST_DEATHS = 3
"""An environment's processes may die so often in one run; once more ends the vector environment."""
MOST = 256


class _Dead(Exception):
    """A process died or does not answer; the text says how."""


class _Worker:
    """A process with one environment.

    Args:
        arguments: of the environment.
    """

    def __init__(self, arguments: Dict[str, Any]):
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):  # also where the program has called socket.setdefaulttimeout
            end.setblocking(True)
        package = str(Path(__file__).resolve().parents[2])
        paths = os.pathsep.join(dict.fromkeys([package, *(path for path in sys.path if path)]))
        with theirs:
            self.process = start_child(
                [sys.executable, "-m", "nav_pkg.gym.worker", theirs.fileno()],
                env={**os.environ, "PYTHONPATH": paths, "LP_NUM_THREADS": "0"},
                pass_fds=[theirs.fileno()],
            )
        for way in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):  # a process may stop within a message
            ours.setsockopt(socket.SOL_SOCKET, way, struct.pack("ll", int(PATIENCE), 0))
        self._connection = Connection(ours.detach())
        self._number = -1
        self.send("make", arguments)

    def send(self, request: str, value: Any) -> None:
        """Send a request; `receive` reports a process that has ended."""
        self._number += 1
        with contextlib.suppress(OSError):
            self._connection.send((self._number, request, value))

    def receive(self, patience: float) -> Tuple[str, Any]:
        """The kind and value of the answer to the last request; answers to earlier ones are not waited for.

        Raises:
            _Dead: the process died, its simulator failed, or it does not answer.
        """
        end = time.monotonic() + patience
        while True:
            try:
                if not self._connection.poll(max(0.0, end - time.monotonic())):
                    raise _Dead(f"no answer within {patience:g} s")
                number, kind, value = self._connection.recv()
            except (EOFError, OSError):
                raise _Dead(self._how_it_ended()) from None
            if kind == BROKEN:
                raise _Dead(value)
            if number == self._number or (number == 0 and kind == WRONG):  # 0: it could not be made
                return kind, value

    def _how_it_ended(self) -> str:
        try:
            code = self.process.wait(CLOSING)
        except subprocess.TimeoutExpired:
            return "it closed its connection"
        if code >= 0:
            return f"exit code {code}"
        return f"signal {Signals(-code).name}" if -code in [*Signals] else f"signal {-code}"

    def close(self, limit: float = CLOSING) -> None:
        """End the process; kill it after `limit` seconds."""
        self.send("close", None)
        self._connection.close()
        try:
            self.process.wait(limit)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class CorridorVectorEnv(gymnasium.vector.VectorEnv):
    """Several environments, each in a process with its own simulator.

    An environment whose episode ended is reset by the next step, whose action it ignores
    (`AutoresetMode.NEXT_STEP`).

    If a process dies (killed, out of memory), a warning names its environment, a new process takes its place,
    and the other environments are not affected. The run that it flew is truncated with the outcome
    `sim_failure`, its last observation and the reward 0. The next step begins the same run again. A simulator
    failure counts as a death.

    Args:
        num_envs: number of environments.
        render_mode: `rgb_array`, or None.
        arguments: as of `CorridorEnv`.

    Raises:
        UsageError, DataError: an argument is invalid.
        SimulatorError: the processes cannot be started.
    """

    def __init__(self, num_envs: int = 1, render_mode: Optional[str] = None, **arguments: Any):
        mode = getattr(gymnasium.vector, "AutoresetMode", None)
        if mode is None:
            raise UsageError(
                f"the vector environment needs gymnasium 1.1 or newer, not {gymnasium.__version__}: use "
                "Stable-Baselines3's SubprocVecEnv(start_method='spawn'), or a newer gymnasium"
            )
        whole = isinstance(num_envs, (int, np.integer)) and not isinstance(num_envs, bool)
        if not (whole and 1 <= num_envs <= MOST):
            raise UsageError(f"{ENVIRONMENT}: num_envs is {num_envs!r}; it has to be 1 to {MOST}")
        check_render_mode(render_mode)
        settings = Settings.from_arguments(arguments)
        self.num_envs, self.render_mode = int(num_envs), render_mode
        self.metadata = {
            "render_modes": RENDER_MODES,
            "render_fps": FRAMES_PER_SECOND,
            "autoreset_mode": mode.NEXT_STEP,
        }
        self.single_observation_space = settings.observation_space()
        self.single_action_space = settings.action_space()
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._arguments = {**arguments, "render_mode": render_mode}
        self._last: List[Any] = [None] * self.num_envs
        self._infos: List[Dict[str, Any]] = [{} for _ in range(self.num_envs)]
        self._options: List[Optional[Dict[str, Any]]] = [None] * self.num_envs
        self._ended = [False] * self.num_envs
        self._again = [False] * self.num_envs
        # The reason, once for each death, until a step has reported it.
        self._lost: List[str] = [""] * self.num_envs
        self._deaths = [0] * self.num_envs
        self._workers: List[_Worker] = []
        try:
            for _ in range(self.num_envs):
                self._workers.append(_Worker(self._arguments))
        except OSError as error:
            self.close()
            raise SimulatorError(
                f"{num_envs} processes cannot be started: {error.strerror}; make fewer environments"
            ) from None

    def reset(
        self,
        *,
        seed: Union[int, Sequence[Optional[int]], None] = None,
        options: Optional[Dict[str, Any]] = None,
    ) -> Tuple[Any, Dict[str, Any]]:
        """Begin a run in each environment; see `CorridorEnv.reset`.

        Args:
            seed: of the first environment, the others have the seeds after it; or one for each; or None.
            options: of all environments.
        """
        self._check_open()
        if seed is None or isinstance(seed, (int, np.integer)):
            seeds = [None if seed is None else int(seed) + i for i in range(self.num_envs)]
        else:
            seeds = [*seed]
        if len(seeds) != self.num_envs:
            raise UsageError(f"{ENVIRONMENT}: {len(seeds)} seeds for {self.num_envs} environments")
        if seeds[0] is not None:
            super().reset(seed=seeds[0])
        requests: List[Optional[Tuple[str, Any]]] = []
        begin: Dict[str, Any]
        for i, each in enumerate(seeds):
            begin = self._next_run(i, options) if each is None else {"seed": each, "options": options}
            self._options[i] = begin["options"]
            requests.append(("reset", begin))
        self._lost = [""] * self.num_envs
        self._again = [False] * self.num_envs
        for i, (observation, info) in enumerate(self._ask_all(requests)):
            self._last[i], self._infos[i] = observation, info
        self._ended = [False] * self.num_envs
        return self._batch(), self._merged_infos()

    def step(self, actions: Any) -> Tuple[Any, np.ndarray, np.ndarray, np.ndarray, Dict[str, Any]]:
        """Fly one control period in each environment, or reset it if its episode has ended.

        Raises:
            UsageError: an action is invalid, or an environment was not reset.
            SimulatorError: an environment's process died again and again.
        """
        self._check_open()
        if any(last is None for last in self._last):
            raise UsageError(f"{ENVIRONMENT}: step without a run: call reset() first")
        if len(actions) != self.num_envs:
            raise UsageError(f"{ENVIRONMENT}: {len(actions)} actions for {self.num_envs} environments")
        requests: List[Optional[Tuple[str, Any]]] = []
        for i, action in enumerate(iterate(self.action_space, actions)):
            if self._ended[i]:
                self._lost[i] = ""  # that run had ended before the process did
                begin = self._next_run(i, self._options[i] if self._again[i] else None)
                self._options[i], self._again[i] = begin["options"], False
                requests.append(("reset", begin))
            else:
                requests.append(None if self._lost[i] else ("step", action))
        answers = self._ask_all(requests)
        rewards = np.zeros(self.num_envs, np.float64)
        terminated, truncated = np.zeros((2, self.num_envs), bool)
        for i, answer in enumerate(answers):
            if self._ended[i]:
                self._last[i], self._infos[i] = answer
            elif self._lost[i]:
                self._infos[i] = self._loss(i)
                truncated[i], self._again[i], self._lost[i] = True, True, ""
            else:
                self._last[i], rewards[i], terminated[i], truncated[i], self._infos[i] = answer
                if terminated[i] or truncated[i]:
                    self._deaths[i] = 0
        self._ended = (terminated | truncated).tolist()
        return self._batch(), rewards, terminated, truncated, self._merged_infos()

    def call(self, name: str, *args: Any, **kwargs: Any) -> Tuple[Any, ...]:
        """Call a method of each environment, or read an attribute.

        Raises:
            SimulatorError: a process died; the next step truncates its run.
        """
        self._check_open()
        answers = self._ask_all([("call", (name, args, kwargs))] * self.num_envs)
        for i, cause in enumerate(self._lost):
            if cause:
                raise SimulatorError(
                    f"{self._name(i)} died ({cause}) and has no {name}; call step() to resume"
                )
        return tuple(answers)

    def get_attr(self, name: str) -> Tuple[Any, ...]:
        """An attribute of each environment."""
        if name == "expert_action" and all(self._infos):  # of a process that has died, too
            return tuple(info["expert_action"] for info in self._infos)
        return self.call(name)

    def set_attr(self, name: str, values: Any) -> None:
        """Set an attribute of each environment, to one value or to a list's."""
        self._check_open()
        each = list(values) if isinstance(values, (list, tuple)) else [values] * self.num_envs
        if len(each) != self.num_envs:
            raise UsageError(f"{ENVIRONMENT}: {len(each)} values for {self.num_envs} environments")
        self._ask_all([("set", (name, value)) for value in each])

    def render(self) -> Optional[Tuple[Any, ...]]:
        """The camera image of each environment; None without a render mode."""
        return None if self.render_mode is None else self.call("render")

    def close_extras(self, **_options: Any) -> None:
        """End all processes, within some seconds."""
        for worker in self._workers:
            worker.send("close", None)
        end = time.monotonic() + CLOSING
        for worker in self._workers:
            worker.close(max(0.0, end - time.monotonic()))

    def _ask_all(self, requests: Sequence[Optional[Tuple[str, Any]]]) -> List[Any]:
        """Send a request to each environment (None: to none) and wait for all answers.

        If a process dies, its environment gets a new one. A reset is repeated there. Any other request has no
        answer, and `_lost` says why.
        """
        for worker, request in zip(self._workers, requests):
            if request is not None:
                worker.send(*request)
        answers: List[Any] = [None] * self.num_envs
        wrong: List[Tuple[int, Any]] = []
        for i, request in enumerate(requests):
            while request is not None:
                try:
                    kind, answers[i] = self._workers[i].receive(PATIENCE)
                except _Dead as error:
                    again = request[0] == "reset"
                    self._lost[i] = "" if again else str(error)
                    self._replace(i, str(error))
                    if again:
                        self._workers[i].send(*request)
                        continue
                else:
                    wrong += [(i, answers[i])] if kind == WRONG else []
                request = None
        if wrong:
            i, (error_type, text) = wrong[0]
            raise error_type(f"{self._name(i)}: {text}")
        return answers

    def _replace(self, i: int, cause: str) -> None:
        """Replace the process of an environment.

        Raises:
            SimulatorError: it died too often, or no process can be started.
        """
        self._workers[i].close(0.0)
        self._deaths[i] += 1
        if self._deaths[i] > MOST_DEATHS:
            self.close()
            raise SimulatorError(
                f"{self._name(i)} died {self._deaths[i]} times in one run ({cause}); all environments are "
                "closed"
            )
        try:
            self._workers[i] = _Worker(self._arguments)
        except OSError as error:
            raise SimulatorError(f"{self._name(i)} cannot be started again: {error.strerror}") from None
        gymnasium.logger.warn(f"{self._name(i)} died ({cause}); it starts again, the others fly on")

    def _name(self, i: int) -> str:
        return f"environment {i} of {self.num_envs}"

    def _next_run(self, i: int, options: Optional[Dict[str, Any]]) -> Dict[str, Any]:
        """The arguments of a reset that begins an environment's next run, or its last one if that was lost.

        They name seed and run: a new process does not know which runs the last one flew.
        """
        info = self._infos[i]
        if not info:
            return {"seed": None, "options": options}
        lost = self._again[i] or bool(self._lost[i])
        return {"seed": info["seed"], "options": {"run": info["run"] + (not lost), **(options or {})}}

    def _loss(self, i: int) -> Dict[str, Any]:
        """The info of a step in which an environment's process died."""
        reason = f"{self._name(i)} died ({self._lost[i]})"
        return {
            **self._infos[i],
            "outcome": str(Outcome.SIM_FAILURE),
            "reason": reason,
            "is_success": False,
        }

    def _batch(self) -> Any:
        empty: Any = create_empty_array(self.single_observation_space, self.num_envs)
        return concatenate(self.single_observation_space, self._last, empty)

    def _merged_infos(self) -> Dict[str, Any]:
        merged: Dict[str, Any] = {}
        for i, info in enumerate(self._infos):
            merged = self._add_info(merged, info, i)
        return merged

    def _check_open(self) -> None:
        if self.closed:
            raise UsageError(f"{ENVIRONMENT}: the vector environment is closed")
