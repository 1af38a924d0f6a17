"""The jobs of dag_evaluate.py and their order: evaluations of checkpoints, one job each."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from nav_pkg import schemas
from nav_pkg.cluster.plan import PLAN_FILE, dag_folder
from nav_pkg.cluster.plans.base import DagCommand, PlannedJob, camera_data_of, layer, models
from nav_pkg.cluster.plans.create_data import expected_frames
from nav_pkg.config import session as session_config
from nav_pkg.config.cluster import SEEDS
from nav_pkg.config.evaluation import FIXED_BY_EVALUATION, EvaluationConfig, make_evaluation_parser
from nav_pkg.config.parser import by_flag
from nav_pkg.config.setting import to_argv
from nav_pkg.core import DataError, UsageError
from nav_pkg.data import files
from nav_pkg.flight.conditions import DIRECTIONS, labels
from nav_pkg.learn.training import prechecks
from nav_pkg.session import arguments
from nav_pkg.studies import dagger as rounds_of_dagger
from nav_pkg.studies import evaluation, workload
from nav_pkg.studies.workload import Work


class Flights(NamedTuple):
    """The flights of a model.

    Attributes:
        runs: number of runs over all conditions.
        frames: frames per run.
        kept: frames per run whose images are kept.
        frame: the camera data of a frame.
        network: network that the checkpoints must hold, if the flags name one.
    """

    runs: int
    frames: int
    kept: int
    frame: workload.CameraData
    network: Optional[str]

    def work(self, network: str) -> Work:
        """The estimated cost of the flights."""
        return workload.flights(
            self.runs, self.frames, workload.FLOWN, network, kept=self.kept, frame=self.frame
        )


def check_flights(name: str, words: Sequence[str]) -> Flights:
    """Check the flags of an evaluation; its checkpoint need not exist yet.

    Args:
        name: name of the command.
        words: the words for evaluate.py and run_script.py.

    Raises:
        UsageError: one of the scripts would reject them.
    """
    args, rest = evaluation.split(["-m", "checkpoint", *words])
    if args.jobs > 1:
        raise UsageError(f"{name}: --jobs {args.jobs}: a job has one simulator: leave it out")
    frames = 0
    for world in args.worlds:
        line, _ = arguments.split(["-m", "checkpoint", "--alpha", str(args.alpha), "-w", world, *rest])
        for delay in args.control_delays:
            flown = dataclasses.replace(line, control_delay=delay)
            frames = max(frames, expected_frames(arguments.schedule(flown)))
    count = len(set(args.worlds)) * len(DIRECTIONS[args.directions])
    count *= len(set(args.control_delays)) * len(set(args.perturbations))
    kept = frames if args.keep_images else workload.EVALUATED_FRAMES
    return Flights(count * args.number_of_runs, frames, kept, camera_data_of(line), args.network)


ABOUT = """Fly checkpoints on a cluster as evaluate.py does, one job each, and compare them in a report.

The checkpoints are those of -m. Without -m they are the models that a DAG wrote under the tag: all of them,
or those of --seeds and --number_of_models; of DAgger, the models of the last round. The tag of the new DAG
is then TAG/evaluation. Flags of evaluate.py and run_script.py apply to the flights.

Examples:
    dag_evaluate.py -t tiny --number_of_runs 10 --directions both
    dag_evaluate.py -t compared -m tiny/seed_123 alex/seed_123 --number_of_runs 10
"""


class Evaluate(DagCommand):
    """The DAG of dag_evaluate.py: M evaluations -> report."""

    name = "dag_evaluate.py"
    about = ABOUT

    def layers(self) -> List[Any]:
        """evaluate.py flies through run_script.py."""
        return [
            layer("evaluate.py", make_evaluation_parser()),
            layer("run_script.py", session_config.make_parser(), *FIXED_BY_EVALUATION),
        ]

    def check(self) -> None:
        """Check the flags of the flights, and that the checkpoints exist."""
        flags = by_flag([*self.words["evaluate.py"], *self.words["run_script.py"]])
        given: List[str] = []
        for name in ("-m", "--checkpoint_path"):
            if flags.get(name) == []:
                raise UsageError(f"{self.name}: {name}: expected at least one checkpoint, or leave it out")
            given += flags.pop(name, [])
        self.rest = [word for flag, values in flags.items() for word in (flag, *values)]
        self.flights = check_flights(self.name, self.rest)
        network = self.flights.network
        prechecks.network(network)
        for path in given:
            prechecks.checkpoint(path, self.summary_dir)
        chosen = list(labels(given).items()) if given else self._models()
        from nav_pkg.learn.checkpoints import checkpoint  # torch takes seconds

        self.flown: Dict[str, str] = {}
        self.networks: Dict[str, str] = {}
        for path, label in chosen:
            self.networks[label] = checkpoint.load(path, self.summary_dir, network).network
            self.flown[label] = path
        if not given:
            self.tag = f"{self.tag}/evaluation"

    def _models(self) -> List[Tuple[str, str]]:
        """The trained models below the tag's log folder, as (log folder, name)."""
        folders = self._trained() or [folder for folder, _ in models(self.name, self.config)]
        if (self.summary_dir / self.tag / rounds_of_dagger.STATE).exists():  # made by dagger.py
            folders = ["."]
        trained = [self._model(folder) for folder in folders]
        return [(f"{self.tag}/{folder}", folder) for folder in trained]

    def _model(self, folder: str) -> str:
        """The folder of a model below the tag's: `folder`, or its last round of DAgger."""
        log = self.summary_dir / self.tag / folder
        if (log / rounds_of_dagger.STATE).exists():
            rounds = [file.parts[-3] for file in log.glob("round_*/train/my-model")]
            if rounds:
                last = max(rounds, key=lambda name: int(name.rpartition("_")[2]))
                return str(Path(folder, last, "train"))
        elif (log / "my-model").exists():
            return folder
        raise DataError(
            f"{log}: holds no model; see --seeds, --number_of_models, --summary_dir, or name checkpoints "
            "with -m"
        )

    def _trained(self) -> List[str]:
        """The folders of all models of the tag's DAG; empty if flags select models or no DAG exists."""
        plan_file = dag_folder(self.summary_dir, self.tag) / PLAN_FILE
        chosen = self.config.number_of_models or list(self.config.seeds) != list(SEEDS)
        if chosen or not plan_file.exists():
            return []
        configuration = files.read_json(plan_file, schemas.PLAN).get("configuration") or {}
        models = configuration.get("models") or []
        if not isinstance(models, list) or not all(isinstance(model, list) and model for model in models):
            raise DataError(f"{plan_file}: configuration.models is no list of models; name them with -m")
        return [str(model[0]) for model in models]

    def configuration(self) -> Dict[str, Any]:
        """The checkpoints and the flags of their flights."""
        return {"flags": self.rest, "checkpoints": list(self.flown.values())}

    def jobs(self) -> List[PlannedJob]:
        """The evaluations and the report."""
        flown = []
        for number, (label, path) in enumerate(self.flown.items()):
            tag = f"{self.tag}/{label}/evaluation"
            flown.append(
                self.plan_job(
                    "evaluate",
                    f"m_{number}_eva",
                    ["evaluate.py", *evaluation_flags(tag, path), *self.rest],
                    self.flights.work(self.networks[label]),
                    wall_flag="wall_time",
                    gpumem=self.config.gpumem,
                    simulator=True,
                    checkpoints=(path,),
                    outputs=(f"log/{tag}",),
                    total=self.flights.runs,
                    unit="runs",
                )
            )
        return [*flown, self.report_job(self.flown, flown)]


def evaluation_flags(tag: str, checkpoint: str) -> List[str]:
    """The flags of evaluate.py that say what is evaluated, and in which log folder."""
    return to_argv(EvaluationConfig(log_tag=tag, checkpoint_path=(checkpoint,)))
