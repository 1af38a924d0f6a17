"""Evaluation: flies checkpoints under all combinations of conditions and reports how well they fly.

Every run starts from a seeded pose along the route, and the network flies without the expert. The flights are
recorded. Their measures go to evaluation.json, evaluation.csv and evaluation.html in the log folder. The same
command resumes an interrupted evaluation.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Set, Tuple

from tqdm import tqdm

from nav_pkg import schemas
from nav_pkg.config import learner
from nav_pkg.config import session as session_config
from nav_pkg.config.evaluation import FIXED_BY_EVALUATION, EvaluationConfig, make_evaluation_parser
from nav_pkg.config.parser import check_known
from nav_pkg.config.setting import from_values, to_argv
from nav_pkg.core import DataError, UsageError
from nav_pkg.data import files
from nav_pkg.data.folders import file_sha256
from nav_pkg.flight.conditions import DIRECTIONS, Condition, labels
from nav_pkg.flight.runlog import RunLog
from nav_pkg.learn.training import prechecks
from nav_pkg.report import evaluation as report
from nav_pkg.report.evaluation import CONFIGURATION, Evaluation
from nav_pkg.session import arguments, flight_progress, plan_files, session
from nav_pkg.session.flight_progress import FlightProgress
from nav_pkg.session.parallel import ParallelSession, run_sessions
from nav_pkg.world import load_plan
from nav_pkg.world.plan_file import absolute

OUTPUTS = (CONFIGURATION, report.RESULT, report.TABLE, report.PAGE, "evaluation")
"""Entries that an evaluation writes next to the folders of its conditions."""

MAY_DIFFER = ("number_of_runs", "shards", "keep_images")
"""Keys that may differ when an evaluation is resumed, because no run depends on them."""


def split(argv: Optional[Sequence[str]]) -> Tuple[EvaluationConfig, List[str]]:
    """Parse our flags; run_script.py and main.py check the remaining ones with their own parsers.

    Returns:
        Our flags, and the words for run_script.py and main.py.

    Raises:
        UsageError: a value is bad, a flag is unknown, or this command sets the flag itself.
    """
    argv = [a for a in (sys.argv[1:] if argv is None else argv) if ":=" not in a]  # roslaunch's
    own = make_evaluation_parser()
    parsed, rest = own.parse_known_args(argv)
    args = from_values(
        EvaluationConfig,
        {
            **vars(parsed),
            "summary_dir": parsed.summary_dir.expanduser().resolve(),
            "worlds": [absolute(world) for world in parsed.worlds],
        },
    )
    known = own.flags() + session_config.make_parser().flags() + learner.make_parser().flags()
    for flag in (word.split("=")[0] for word in rest):
        if flag in FIXED_BY_EVALUATION:
            instead = FIXED_BY_EVALUATION[flag]
            cure = f"give {instead}" if instead else "evaluate.py sets it; leave it out"
            raise UsageError(f"evaluate.py: {flag} is a single session's: {cure}")
    check_known("evaluate.py", rest, known, "; see evaluate.py --help")
    if args.jobs > 1 and "--shared_master" in rest:
        raise UsageError(
            f"--shared_master: {args.jobs} simulators can't share a ROS master: leave --jobs out"
        )
    return args, rest


class EvaluationRunner:
    """An evaluation from its flags to its report. It checks all flags before it writes any file."""

    def __init__(self, args: EvaluationConfig, rest: List[str]):
        self.args, self.rest = args, rest
        self.folder = args.summary_dir / args.log_tag
        self._check_names()
        self._paths: Dict[str, Path] = {}
        self.evaluation = Evaluation(self.folder, self._configuration())
        checked: Set[str] = set()
        for condition in self.evaluation.conditions:
            line, learner = arguments.split(self._arguments(condition, 1, 1))
            if condition.label in checked:
                arguments.schedule(line)
            else:  # check the checkpoint and the simulator too
                session.Session(line, learner, check_only=True)
                self._check_camera(condition.label, line)
            checked.add(condition.label)

    def _check_names(self) -> None:
        """Reject missing checkpoints, networks, worlds and robots before the slow import of torch."""
        prechecks.network(self.args.network)
        for given in self.args.checkpoint_path:
            prechecks.checkpoint(given, self.args.summary_dir)
        for world in self.args.worlds:
            alone = ["-m", "", "--alpha", str(self.args.alpha), "-w", world, *self.rest]
            arguments.check_simulator(arguments.split(alone)[0])

    # What is evaluated.

    def _configuration(self) -> Dict[str, Any]:
        from nav_pkg.learn.checkpoints import checkpoint as checkpoint_file
        from nav_pkg.learn.deployment import exported

        args = self.args
        exported.check_trust(args.checkpoint_path, args.trust_torchscript)
        checkpoints = []
        self._cameras: Dict[str, Any] = {}
        for given, label in labels(args.checkpoint_path).items():
            trust = args.trust_torchscript and exported.needs_trust(given)
            loaded = exported.describe(given, args.summary_dir, args.network, trust)
            file = checkpoint_file.locate(given, args.summary_dir).resolve()
            self._paths[label] = file
            offline, updates = report.offline_scores(file.parent), None
            if isinstance(loaded, exported.Description):  # the session checks its camera
                own = file.parent / checkpoint_file.MODEL_FILE
                if not own.is_file() or file_sha256(own).hex() != loaded.checkpoint:
                    offline = None
            else:
                self._cameras[label], updates = loaded.dataset.get("camera"), loaded.updates
            checkpoints.append(
                {
                    "label": label,
                    "path": given,
                    "sha256": file_sha256(file).hex(),
                    "network": loaded.network,
                    "updates": updates,
                    "offline": offline,
                }
            )
        self._worlds: Dict[str, str] = {}
        for world in args.worlds:
            name = load_plan(world).name
            if self._worlds.setdefault(name, world) != world:
                raise UsageError(f"--worlds: {self._worlds[name]} and {world} are both called {name}")
        configuration = {
            "checkpoints": checkpoints,
            "worlds": list(self._worlds),
            "directions": list(DIRECTIONS[args.directions]),
            "control_delays": list(dict.fromkeys(args.control_delays)),
            "perturbations": list(dict.fromkeys(args.perturbations)),
            "number_of_runs": args.number_of_runs,
            "random_seed": args.random_seed,
            "alpha": args.alpha,
            "num_threads": args.num_threads,
            "session_flags": self.rest,
            "keep_images": args.keep_images,
            "versions": checkpoint_file.versions(),
        }
        plans = plan_files.digests(args.worlds)
        if plans:
            configuration["plans"] = plans
        many = len(checkpoints) * len(configuration["worlds"]) * len(configuration["directions"])
        many *= len(configuration["control_delays"]) * len(configuration["perturbations"])
        # If the number of conditions is a multiple of --jobs, one simulator flies each condition.
        configuration["shards"] = 1 if many % args.jobs == 0 else min(args.jobs, args.number_of_runs)
        return json.loads(json.dumps(configuration))

    def _check_camera(self, label: str, line: Any) -> None:
        """Raise UsageError if the camera size differs from that of the network's training data."""
        camera = self._cameras.get(label)
        if camera and list(camera) != [line.width, line.height]:
            raise UsageError(
                f"{self._paths[label]}: was trained with a camera of {camera[0]}x{camera[1]}, this one's is "
                f"{line.width}x{line.height}: give --width {camera[0]} --height {camera[1]}, or another "
                "--checkpoint_path"
            )

    def _arguments(self, condition: Condition, k: int, n: int) -> List[str]:
        """The flags of run_script.py for shard `k` of `n` of a condition."""
        from nav_pkg.learn.deployment import exported

        args = self.args
        base = self.folder / condition.folder
        tag = base.relative_to(args.summary_dir)
        checkpoint = self._paths[condition.label]
        values = {
            "log_tag": f"{tag}/shard_{k}",
            "summary_dir": args.summary_dir,
            "create_dataset": True,
            "data_root": base,
            "data_location": f"flights_{k}",
            "number_of_runs": args.number_of_runs,
            "random_seed": args.random_seed,
            "world": self._worlds[condition.world],
            "start": "route",
            "control_delay": condition.control_delay,
            "checkpoint_path": checkpoint,
            "alpha": args.alpha,
            "no_training": True,
            "num_threads": args.num_threads,
            "perturbation": condition.perturbation,
            "shard": f"{k}/{n}",
            "trust_torchscript": args.trust_torchscript and exported.needs_trust(checkpoint),
            "network": args.network or None,
            "reverse": condition.direction == "reverse",
            # turns off mixing and noise, so give it only if the flags request neither
            "evaluation": not args.alpha and "--noise" not in self.rest,
        }
        return [*to_argv(values), *self.rest]

    # The folder.

    def open(self) -> None:
        """Lock the folder; then start, start over, or resume.

        Raises:
            UsageError: the folder is in use, or holds another evaluation or other files.
            DataError: the folder cannot be written.
        """
        try:
            self._lock = files.lock_folder(self.folder)
        except OSError as error:
            raise DataError(f"{self.folder}: {error.strerror}; choose another --summary_dir") from None
        if self._lock is None:
            raise UsageError(
                f"{self.folder} is in use by another evaluation; wait for it or choose another -t"
            )
        try:
            self._prepare()
        except BaseException:
            os.close(self._lock)
            raise

    def _prepare(self) -> None:
        file = self.folder / CONFIGURATION
        if self.folder.exists() and any(self.folder.iterdir()):
            if not file.exists():
                remedy = "remove it yourself, or choose" if self.args.owr else "choose"
                raise UsageError(f"{self.folder} was not made by evaluate.py; {remedy} another -t")
            if self.args.owr:
                self._start_over()
            else:
                self._continue(files.read_json(file, schemas.EVALUATION_CONFIGURATION))
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"{self.folder}: {error.strerror}; choose another --summary_dir") from None
        files.sweep(self.folder)
        files.atomic_write(file, files.to_json(self.evaluation.configuration), "--summary_dir")
        # Sessions and the page read a copy: the file may change or vanish before the evaluation is done.
        self._worlds = {name: plan_files.keep(world, self.folder) for name, world in self._worlds.items()}

    def _start_over(self) -> None:
        """Delete the files of the earlier evaluation, and nothing else."""
        before = Evaluation(self.folder)
        for name in (*{condition.label for condition in before.conditions}, *OUTPUTS[::-1]):
            entry = self.folder / name
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink(missing_ok=True)

    def _continue(self, before: Dict[str, Any]) -> None:
        now = self.evaluation.configuration
        for key in sorted({*before, *now} - set(MAY_DIFFER)):
            if before.get(key) != now.get(key):
                values = [before.get(key), now.get(key)]
                labels = [_labels(value) for value in values]
                where, old, new = files.first_difference(*(labels if labels[0] != labels[1] else values), key)
                raise UsageError(
                    f"{self.folder} holds an evaluation with {where} {old}, now {new}; give the same flags "
                    "to continue it, --owr to start over, or another -t"
                )
        if now["number_of_runs"] < before["number_of_runs"]:
            raise UsageError(
                f"{self.folder} holds an evaluation of {before['number_of_runs']} runs a condition, and "
                f"--number_of_runs is {now['number_of_runs']}: give as many or more, --owr to start over, or "
                "another -t"
            )
        now["shards"] = before["shards"]

    # Flying and reporting.

    def fly(self) -> None:
        """Fly all runs that are not finished."""
        evaluation, shards = self.evaluation, self.evaluation.configuration["shards"]
        jobs = []
        for condition in evaluation.conditions:
            done = {flown.number for flown in evaluation.flown(condition)}
            for k in range(1, shards + 1):
                if set(range(k - 1, self.args.number_of_runs, shards)) - done:
                    output = self.folder / condition.folder / f"shard_{k}.txt"
                    jobs.append(
                        ParallelSession(condition.folder, self._arguments(condition, k, shards), output)
                    )
        self._shown: Set[Tuple[str, int]] = set()
        total = len(evaluation.conditions) * self.args.number_of_runs
        with flight_progress.bar(total, 0, self.args.log_tag) as self.bar:
            self._signs, self._begun = FlightProgress(self.bar), time.time()
            self._process_finished(quiet=True)
            self._sizes: Dict[str, int] = {}
            if jobs:
                run_sessions(jobs, self.args.jobs, self._watch)
            self._process_finished()
            self._signs.end()

    def _watch(self, running: Sequence[ParallelSession]) -> None:
        """Process finished runs, and show the progress of the running sessions."""
        self._process_finished()
        states = {}
        for job in running:
            log = job.output.with_suffix("")
            state = RunLog(log).state() if log.is_dir() else None
            # ignore the heartbeat of an earlier, interrupted session
            fresh = state is not None and state.get("wall", 0) >= self._begun
            states[log.relative_to(self.folder).as_posix()] = state if fresh else None
        self._signs.update(states)

    def _process_finished(self, quiet: bool = False) -> None:
        """Process the runs that finished since the last call."""
        for condition in self.evaluation.conditions:
            logs = [log / "runs.jsonl" for log, _ in self.evaluation.shards(condition)]
            size = sum(log.stat().st_size for log in logs if log.exists())
            if not quiet and self._sizes.get(condition.folder) == size:
                continue
            if not quiet:
                self._sizes[condition.folder] = size
            for flown in self.evaluation.flown(condition):
                if (condition.folder, flown.number) in self._shown:
                    continue
                self.evaluation.keep(condition, flown)
                self._shown.add((condition.folder, flown.number))
                self.bar.update(1)
                if not quiet:
                    facts = flown.facts
                    tqdm.write(
                        f"{condition.folder} run {flown.number}: {facts['outcome']} after "
                        f"{facts.get('progress') or 0:.1f} m ({facts.get('reason', '')})",
                        file=sys.stdout,
                    )
                    sys.stdout.flush()

    def report(self) -> None:
        """Write result, table and page, and print the table."""
        from nav_pkg.report import evaluation_page

        result = report.result(self.evaluation)
        table = report.table(result)
        files.atomic_write(self.folder / report.RESULT, files.to_json(result), "--summary_dir")
        files.atomic_write(self.folder / report.TABLE, table.csv(), "--summary_dir")
        page = evaluation_page.write(self.evaluation, result, self._paths)
        print(table.text())
        failures = sum(times["simulator_failures"] for times in result["timing"].values())
        if failures:
            print(f"{failures} simulator failures; those runs were repeated")
        print(f"result {self.folder / report.RESULT}; page {page}")


def _labels(value: Any) -> List[str]:
    """The labels in a list of checkpoints or conditions, for a short error message; else an empty list."""
    items = value if isinstance(value, list) else []
    return [str(item["label"]) for item in items if isinstance(item, dict) and "label" in item]
