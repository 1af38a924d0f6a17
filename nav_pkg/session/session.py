"""A session: flies runs in the simulator and repeats each run until it counts.

The session starts one ROS graph (simulator, expert, supervisor; optionally learner, recorder, rosbag) with
its own ROS master and ports, and monitors it. When the simulator fails, the session restarts the graph and
flies that run again with the same seed. The same command resumes an interrupted session.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import sys
import time
from pathlib import Path
from typing import Any, Dict, List

from tqdm import tqdm

from nav_pkg.children import SuspensionWatch
from nav_pkg.config import learner
from nav_pkg.config.session import SCRATCH_TAG, SessionConfig
from nav_pkg.core import DataError, LearnerError, Outcome, SimulatorError, UsageError
from nav_pkg.flight.body import Body
from nav_pkg.flight.schedule import FlightSchedule
from nav_pkg.learn.checkpoints import checkpoint_paths
from nav_pkg.learn.checkpoints.checkpoint_paths import MODEL_FILE
from nav_pkg.learn.training import prechecks
from nav_pkg.learn.training.folder import can_resume
from nav_pkg.session import flight_progress, plan_files
from nav_pkg.session.arguments import check_simulator, schedule
from nav_pkg.session.flight_progress import FlightProgress
from nav_pkg.session.folders import Folders
from nav_pkg.sim import description
from nav_pkg.sim.cameras import side_cameras
from nav_pkg.sim.graph import Graph

FAILURES_IN_A_ROW = 10
FAILURES_AT_START = 3
START_LIMIT = 180.0
"""Wall seconds from the start of a graph to its first frame."""
STALL_LIMIT = 90.0
"""Wall seconds without a new frame after which the graph counts as stalled."""
LEARN_LIMIT = 900.0
"""Wall seconds for a frame when the learner trains: gradient steps of a large network, importance over a
replay buffer."""
COMMIT_LIMIT = 330.0
"""Wall seconds at the end of a run for the commit of its recording; the supervisor itself waits 300 s."""


class Session:
    """A session: its folders, its configuration, and the loop over graphs until all runs are flown.

    Args:
        args: the settings of run_script.py.
        learner_flags: the flags of main.py.
        check_only: only check all flags and leave all folders untouched; such a session cannot fly.

    Attributes:
        warning: text about the checkpoint's camera, printed when the session flies; empty for none.
    """

    def __init__(self, args: SessionConfig, learner_flags: List[str], check_only: bool = False):
        self.args = args
        self.schedule = schedule(args)
        dataset = Path(args.data_root) / (args.data_location or args.log_tag)
        self.dataset = dataset if args.create_dataset else None
        self.folder = Path(args.summary_dir) / args.log_tag
        self._anew = args.owr or args.log_tag == SCRATCH_TAG
        check_simulator(self.args)
        self.warning = ""
        self.learner_flags = self._learner(learner_flags)
        if check_only:
            return
        # All flags are valid: the code below locks, creates and, with --owr, deletes folders.
        if self.args.learns and self.args.shard:
            raise UsageError(f"--shard {self.args.shard}: a learner needs its runs in order: leave it out")
        learned = self._learned if self.args.learns else None
        body = Body.from_robot(description.read_robot(args.robot))
        self.folders = Folders(self.folder, self.dataset, self._configuration(), self.schedule, learned, body)
        if self._anew:
            self._keep_checkpoint()
            own_name = args.log_tag == SCRATCH_TAG and args.data_location in (None, SCRATCH_TAG)
            self.folders.start_over(dataset_too=args.owr or own_name)
        self.log = self.folders.open()
        # The nodes read a copy: the file may change or vanish during the session or before it is resumed.
        self._world = plan_files.keep(args.world, self.folder)
        self.bar = tqdm(disable=True)

    def _learner(self, given: List[str]) -> List[str]:
        """The flags of the learner node; empty when no learner is needed."""
        s, checkpoint = self.schedule, self.args.checkpoint_path
        alone = any(s.is_evaluation(run) for run in range(s.runs))
        extra = [word for word in given if word not in ("--online", "--no_training")]
        if not checkpoint and not self.args.learns:
            if s.alpha < 1 or alone:
                subject = f"--alpha {s.alpha:g}" if s.alpha < 1 else "an evaluation"
                raise UsageError(
                    f"{subject} needs a learner: give --checkpoint_path (or --alpha 1 for the expert alone)"
                )
            if extra:
                print(f"there is no learner (the expert flies alone): {' '.join(extra)} has no effect")
            return []
        own = {
            "--summary_dir": self.args.summary_dir,
            "--speed": self.args.speed,
            "--turn_speed": self.args.turn_speed,
            "--random_seed": self.args.random_seed,
        }
        if checkpoint:
            own["--checkpoint_path"] = checkpoint
        if self.args.learns:
            own["--log_tag"] = self.args.log_tag
            if learner.parse(given).prefill_dataset:
                own["--data_root"] = self.args.data_root
        words = [*(str(part) for pair in own.items() for part in pair), *given]
        self._check_learner(words)
        return words

    def _check_learner(self, words: List[str]) -> None:
        """Reject a missing checkpoint, or one that contradicts the flags, before any folder is created."""
        flags = learner.parse(words)
        where = None if self._anew else self.folder
        prechecks.flight(flags, self.args.checkpoint_path, self.args, where)
        from nav_pkg.learn.deployment import exported  # torch takes seconds
        from nav_pkg.learn.deployment.pilot import check_given
        from nav_pkg.learn.online import online_flags

        if self.args.learns:
            sides = [camera.name for camera in side_cameras(description.read_robot(self.args.robot))]
            camera = (self.args.width, self.args.height)
            resumes = can_resume(self.folder) and not self._anew
            where = self.folder if resumes else None
            online_flags.check(flags, camera, sides, where)
            return
        loaded = exported.describe(
            self.args.checkpoint_path,
            self.args.summary_dir,
            flags.given.get("network"),
            flags.trust_torchscript,
        )
        check_given(loaded, flags.given, self.args.checkpoint_path)
        is_exported = isinstance(loaded, exported.Description)
        trained = tuple(loaded.camera[::-1] if is_exported else loaded.dataset.get("camera") or ())
        own = (self.args.width, self.args.height)
        if not trained or trained == own:
            return
        width, height = trained
        text = (
            f"{self.args.checkpoint_path}: was {'exported' if is_exported else 'trained'} for a camera of "
            f"{width}x{height}, this one's is {own[0]}x{own[1]}: give --width {width} --height {height}"
        )
        if is_exported:
            raise UsageError(f"{text}, or export it for this one")
        self.warning = f"warning: {text}"

    def _keep_checkpoint(self) -> None:
        """Raise UsageError if the log folder to be emptied contains the checkpoint."""
        if self.args.checkpoint_path:
            file = checkpoint_paths.locate(self.args.checkpoint_path, self.args.summary_dir).resolve()
            if file.parent == self.folder.resolve():
                raise UsageError(
                    f"--checkpoint_path {self.args.checkpoint_path} is in the log folder that is "
                    f"deleted (-t {self.args.log_tag}): give another -t, or leave --owr out"
                )

    def _learned(self) -> Dict[int, Dict[str, Any]]:
        """The runs that the session's learner has learned from."""
        if not (self.folder / MODEL_FILE).is_file():
            return {}
        from nav_pkg.learn.checkpoints import checkpoint as checkpoint_file
        from nav_pkg.learn.online.learner import read_runs

        return read_runs(checkpoint_file.load(self.folder))

    # Folders and configuration.

    def _configuration(self) -> Dict[str, Any]:
        """Values that must be equal to resume a session. The number of runs may grow."""
        skip = ["owr", "graphics", "shared_master", "auto_go", "pause_simulator", "listen"]
        if not self.args.final_evaluation_runs:  # else it decides which runs are evaluations
            skip.append("number_of_runs")
        configuration = {key: value for key, value in vars(self.args).items() if key not in skip}
        configuration.update(
            {key: str(configuration[key]) for key in ("summary_dir", "data_root")}, learner=self.learner_flags
        )
        configuration["world"] = plan_files.described(self.args.world)
        text = json.dumps(configuration)
        # HTCondor gives each try of a job another scratch folder.
        scratch = os.environ.get("_CONDOR_SCRATCH_DIR")
        return json.loads(text.replace(json.dumps(scratch)[1:-1], "_CONDOR_SCRATCH_DIR") if scratch else text)

    # Flying.

    def fly(self) -> int:
        """Fly until all runs are finished.

        Returns:
            The exit code.

        Raises:
            SimulatorError: the simulator failed too often in a row.
        """
        numbers = self.schedule.run_numbers()
        done = self._finished()
        self.bar = flight_progress.bar(len(numbers), len(done), self.args.log_tag)
        self.signs = FlightProgress(self.bar)
        if self.warning:
            self._print(self.warning)
        failures, starts = 0, []
        shown = set(done)
        while True:
            done = self._finished()
            left = [run for run in numbers if run not in done]
            if not left:
                break
            reason = self._fly_graph(left[0], shown)
            flown = len(self._finished()) - len(done)
            if not reason:
                continue
            failures = 1 if flown else failures + 1
            attempt = len([r for r in self.log.runs() if r["outcome"] == str(Outcome.SIM_FAILURE)])
            self._print(f"simulator failure {attempt}: {reason}; this run is repeated")
            # The same error three times in a row, each without a frame: the machine is at fault.
            starts = [] if self.log.state() else [*starts, reason]
            same = starts[-FAILURES_AT_START:] == [reason] * FAILURES_AT_START
            if failures >= FAILURES_IN_A_ROW or same:
                raise SimulatorError(
                    f"{failures} failures in a row, the last one: {reason} (see {self.folder}/graph.log)"
                )
        self.signs.end()
        self._summary()
        return 0

    def _finished(self) -> Dict[int, Dict[str, Any]]:
        return self.folders.finished(self.log)

    def _arguments(self, first_run: int) -> Dict[str, str]:
        args = self.args
        launch_arguments = {
            field.name: getattr(self.schedule, field.name) for field in dataclasses.fields(FlightSchedule)
        }
        launch_arguments.update(
            first_run=first_run,
            world=self._world,
            robot=args.robot,
            simulator=args.simulator,
            width=args.width,
            height=args.height,
            depth_width=args.depth_width,
            depth_height=args.depth_height,
            gui=args.graphics,
            lockstep=not args.free_running,
            log_folder=self.folder,
        )
        if self.dataset is not None:
            launch_arguments["dataset"] = self.dataset
        if args.bag:
            launch_arguments["bag"] = self._bag(first_run)
        if self.learner_flags:
            if self.args.learns:
                launch_arguments["wait_limit"] = LEARN_LIMIT
            launch_arguments["learner_args"] = " ".join(shlex.quote(word) for word in self.learner_flags)
        return {
            key: str(value).lower() if isinstance(value, bool) else str(value)
            for key, value in launch_arguments.items()
        }

    def _bag(self, first_run: int) -> Path:
        """The path of a new bag file; each graph writes its own."""
        (self.folder / "bags").mkdir(exist_ok=True)
        attempt = 0
        while True:
            path = self.folder / "bags" / f"{first_run:05d}_{attempt}.bag"
            if not path.exists() and not path.with_suffix(".bag.active").exists():
                return path
            attempt += 1

    def _fly_graph(self, first_run: int, shown: set) -> str:
        """Run one graph until it ends.

        Returns:
            Why it failed; empty when all runs are finished.
        """
        before = len(self.log.runs())
        self.log.state_file.unlink(missing_ok=True)
        shared = self.args.shared_master
        graph = Graph(self._arguments(first_run), self.folder, not shared, self.args.listen)
        try:
            self._print(f"ROS master of this session: export ROS_MASTER_URI={graph.master}")
            stalled = self._watch(graph, shown)
        except BaseException:
            graph.stop()
            self._mark_aborted(before, first_run)
            raise
        failure = graph.failure()
        graph.stop()
        self._show(shown)
        if len(self._finished()) >= len(self.schedule.run_numbers()):
            return ""
        reason = stalled or failure.line
        if not stalled and failure.code in (UsageError.code, DataError.code, LearnerError.code):
            kind: type = {2: UsageError, 3: DataError, 5: LearnerError}[failure.code]
            raise kind(f"{failure.node}: {failure.line}")
        self.folders.check_space()
        self.folders.adopt(self.log)
        runs = self.log.runs()
        if not any(run["outcome"] == str(Outcome.SIM_FAILURE) for run in runs[before:]):
            number = min(run for run in self.schedule.run_numbers() if run not in self._finished())
            self.log.append({"run": number, "outcome": str(Outcome.SIM_FAILURE), "reason": reason})
        return reason

    def _watch(self, graph: Graph, shown: set) -> str:
        """Monitor the graph until it ends or stalls.

        Returns:
            Why it stalled; empty when the graph ended.
        """
        begin = last_change = time.monotonic()
        suspension = SuspensionWatch()
        last: Any = None
        size = -1
        while graph.running:
            time.sleep(0.1)
            if self.log.size() != size:  # read the log only when it has grown
                size = self.log.size()
                self._show(shown)
            state, now = self.log.state(), time.monotonic()
            suspended = suspension.poll()
            if suspended:
                self._print(f"suspended for {suspended:.0f} s")
                begin, last_change = begin + suspended, last_change + suspended
            key = None if state is None else (state["run"], state["state"], state["stamp"])
            if key is not None and key != last:
                last, last_change = key, now
            self.signs.update({"": state})
            if key is None and now - begin > START_LIMIT:
                return f"no frame within {START_LIMIT:g} s of the start ({graph.failure().line})"
            limit = LEARN_LIMIT + STALL_LIMIT if self.args.learns else STALL_LIMIT
            if state is not None and state["state"] == "ended":
                limit = max(limit, COMMIT_LIMIT)
            if key is not None and now - last_change > limit:
                return f"the simulated clock stood still at {state['stamp']:.1f} s for {limit:g} s"
        return ""

    def _mark_aborted(self, before: int, first_run: int) -> None:
        """Log the open run as aborted by the operator, unless the supervisor has already logged it."""
        logged = {run["run"] for run in self.log.runs()[before:]}
        state = self.log.state() or {"run": first_run, "state": "starting"}
        if state["state"] != "ended" and state["run"] not in logged:
            reason = f"stopped by the operator while {state['state']}"
            self.log.append(
                {"run": state["run"], "outcome": "aborted", "reason": reason, "interrupted": True}
            )

    def _show(self, shown: set) -> None:
        for number, run in sorted(self._finished().items()):
            if number not in shown:
                shown.add(number)
                self.bar.update(1)
                self._print(
                    f"run {number}: {run['outcome']} after {run.get('progress') or 0:.1f} m, "
                    f"{run.get('frames', 0)} frames ({run.get('reason', '')})"
                )

    def _print(self, text: str) -> None:
        tqdm.write(text, file=sys.stdout)
        sys.stdout.flush()

    def _summary(self) -> None:
        runs = list(self._finished().values())
        counts: Dict[str, int] = {}
        for run in runs:
            counts[run["outcome"]] = counts.get(run["outcome"], 0) + 1
        outcomes = ", ".join(f"{number} {outcome}" for outcome, number in sorted(counts.items()))
        where = f"; dataset {self.dataset}" if self.dataset is not None else ""
        self._print(f"{len(runs)} runs: {outcomes}; log {self.folder}{where}")
