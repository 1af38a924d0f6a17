"""A session: flies runs in the simulator and repeats each run until it counts.

In Gazebo, the session starts one ROS graph (simulator, expert, supervisor; optionally learner, recorder,
rosbag) with its own ROS master and ports, and monitors it. When the simulator fails, the session restarts the
graph and flies that run again with the same seed. In the embedded simulator it flies without ROS. The same
command resumes an interrupted session.
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
from nav_pkg.config.session import SCRATCH_TAG, SessionConfig
from nav_pkg.core import DataError, LearnerError, Outcome, SimulatorError, UsageError
from nav_pkg.data.reader import load_dataset
from nav_pkg.flight.body import Body
from nav_pkg.flight.schedule import FlightSchedule
from nav_pkg.learn.checkpoints.checkpoint_paths import MODEL_FILE
from nav_pkg.session import flight_progress, plan_files
from nav_pkg.session.arguments import check_simulator, schedule, simulator_options, uses_ros
from nav_pkg.session.embedded import Settings
from nav_pkg.session.flight_pool import FlightPool
from nav_pkg.session.flight_progress import FlightProgress
from nav_pkg.session.folders import Folders
from nav_pkg.session.learner_flags import keep_checkpoint
from nav_pkg.session.learner_flags import learner_flags as complete_flags
from nav_pkg.session.limits import COMMIT_LIMIT, LEARN_LIMIT, STALL_LIMIT, START_LIMIT
from nav_pkg.sim import description
from nav_pkg.sim.graph import Graph

FAILURES_IN_A_ROW = 10
FAILURES_AT_START = 3


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
        self._ros = uses_ros(args)
        self._driver_is_checked = False
        self._anew = args.owr or args.log_tag == SCRATCH_TAG
        check_simulator(self.args)
        resumed = None if self._anew else self.folder
        self.learner_flags, self.warning = complete_flags(args, self.schedule, learner_flags, resumed)
        if check_only:
            return
        # All flags are valid: the code below locks, creates and, with --owr, deletes folders.
        if self.args.learns and self.args.shard:
            raise UsageError(f"--shard {self.args.shard}: a learner needs its runs in order: leave it out")
        learned = self._learned if self.args.learns else None
        body = Body.from_robot(description.read_robot(args.robot))
        self.folders = Folders(self.folder, self.dataset, self._configuration(), self.schedule, learned, body)
        if self._anew:
            keep_checkpoint(args, self.folder)
            own_name = args.log_tag == SCRATCH_TAG and args.data_location in (None, SCRATCH_TAG)
            self.folders.start_over(dataset_too=args.owr or own_name)
        self.log = self.folders.open()
        # The nodes read a copy: the file may change or vanish during the session or before it is resumed.
        self._world = plan_files.keep(args.world, self.folder)
        self.bar = tqdm(disable=True)

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
        skip = ["owr", "graphics", "shared_master", "auto_go", "pause_simulator", "listen", "jobs"]
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
            reason = self._fly_graph(left[0], shown) if self._ros else self._fly_embedded(left, shown)
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
                details = f" (see {self.folder}/graph.log)" if self._ros else ""
                raise SimulatorError(f"{failures} failures in a row, the last one: {reason}{details}")
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
            launch_arguments.update(dataset=self.dataset, storage=args.storage)
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

    def _fly_embedded(self, left: List[int], shown: set) -> str:
        """Fly runs in the embedded simulator.

        Returns:
            Why it failed; empty when all runs are finished.
        """
        before = len(self.log.runs())
        self.log.state_file.unlink(missing_ok=True)
        settings = Settings(
            options=dataclasses.replace(simulator_options(self.args), world=self._world),
            schedule=dataclasses.replace(self.schedule, world=self._world, first_run=left[0]),
            dataset=self.dataset,
            log_folder=self.folder,
            storage=self.args.storage,
            learner_flags=self.learner_flags,
            learns=self.args.learns,
        )
        reason = ""
        try:
            with FlightPool(settings, self.args.jobs, self.log, self.signs.update) as pool:
                for facts in pool.fly(left):
                    self.log.append(facts)
                    self._warn_of_driver(facts)
                    self._show(shown)
                    if facts["outcome"] == str(Outcome.SIM_FAILURE):
                        reason = f"{facts['name']}: {facts['reason']}"
                        break
        except SimulatorError as error:
            reason = str(error)
        except BaseException as error:
            self._mark_aborted(before, left[0], "" if isinstance(error, KeyboardInterrupt) else str(error))
            raise
        if not reason:
            return ""
        self.folders.check_space()
        self.folders.adopt(self.log)  # what other processes have committed meanwhile
        self._show(shown)
        open_runs = [run for run in left if run not in self._finished()]
        if not open_runs:
            return ""
        if not any(run["outcome"] == str(Outcome.SIM_FAILURE) for run in self.log.runs()[before:]):
            self.log.append({"run": open_runs[0], "outcome": str(Outcome.SIM_FAILURE), "reason": reason})
        return reason

    def _warn_of_driver(self, facts: Dict[str, Any]) -> None:
        """Warn once of images of another OpenGL driver in the dataset: it may round pixels differently."""
        if self.dataset is None or self._driver_is_checked:
            return
        self._driver_is_checked = True
        own = facts["simulator"]["gl"]
        for run in load_dataset(self.dataset).runs:
            other = (run.facts.get("simulator") or {}).get("gl", own)
            if other != own:
                self._print(
                    f"warning: {self.dataset}: {run.name} was drawn with {other}, these runs with {own}: "
                    "the same pose may give slightly other pixels"
                )
                return

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

    def _mark_aborted(self, before: int, first_run: int, error: str = "") -> None:
        """Log the open run as aborted by an error or the operator, unless it has already been logged."""
        logged = {run["run"] for run in self.log.runs()[before:]}
        state = self.log.state() or {"run": first_run, "state": "starting"}
        if state["state"] != "ended" and state["run"] not in logged:
            reason = error or f"stopped by the operator while {state['state']}"
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
