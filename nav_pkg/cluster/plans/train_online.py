"""The jobs of dag_train_online.py and their order: models that learn in flight, one job each."""

from __future__ import annotations

from typing import Any, Dict, List

from nav_pkg.cluster.plans.base import DagCommand, PlannedJob, camera_data_of, layer, models
from nav_pkg.cluster.plans.create_data import expected_frames
from nav_pkg.cluster.plans.train import canonical, split_lengths
from nav_pkg.config import learner
from nav_pkg.config import session as session_config
from nav_pkg.config.session import SessionConfig
from nav_pkg.config.setting import to_argv
from nav_pkg.core import UsageError
from nav_pkg.session import arguments
from nav_pkg.session.session import Session
from nav_pkg.studies import workload

ABOUT = """Learn in flight on a cluster from several seeds. Each job has one simulator and one network.

Model i is run_script.py --online with the i-th of --seeds, in the log folder TAG/seed_<seed>. A report
compares all models. Flags of run_script.py and main.py apply to the jobs.

Example:
    dag_train_online.py -t online --discrete --loss CrossEntropy --number_of_runs 20 --alpha 0.5
"""


class TrainOnline(DagCommand):
    """The DAG of dag_train_online.py: M learners in flight -> report."""

    name = "dag_train_online.py"
    about = ABOUT

    def layers(self) -> List[Any]:
        """run_script.py flies; main.py is its learner node."""
        alone = ("--shard", "--shared_master", "--no_training", "--evaluation", "-e", "--data_location")
        return [
            layer("run_script.py", session_config.make_parser(), *alone, random_seed="give --seeds"),
            layer("main.py", learner.make_parser()),
        ]

    def check(self) -> None:
        """Check the flags of a session and its learner, the checkpoint and the prefill dataset."""
        self.models = models(self.name, self.config)
        line, learned = arguments.split(self._session(*self.models[0]))
        Session(line, learned, check_only=True)
        if not line.learns:
            raise UsageError(f"{self.name}: nothing would be learned: leave --no_training out")
        self.flights = arguments.schedule(line)
        self.create_dataset = line.create_dataset
        flags = learner.parse(learned)
        self.checkpoint = line.checkpoint_path or flags.checkpoint_path
        self.prefill = flags.prefill_dataset
        self.prefilled = split_lengths(self.dataset(self.prefill))[0] if self.prefill else 0
        self.buffer = flags.buffer_size
        self.frame = camera_data_of(line)
        self.network = canonical(flags.network)

    def _session(self, folder: str, seed: int) -> List[str]:
        words = to_argv(SessionConfig(log_tag=f"{self.tag}/{folder}", random_seed=seed), "random_seed")
        own = [word for word in self.words["main.py"] if word != "--online"]
        return [*words, *self.words["run_script.py"], *own, "--online"]

    def configuration(self) -> Dict[str, Any]:
        """The models and their flags."""
        return {"flags": self.words, "models": [list(model) for model in self.models]}

    def jobs(self) -> List[PlannedJob]:
        """The learners and the report."""
        flights, learners = self.flights, []
        rate = min(workload.ONLINE_RATE, 0.5 * workload.rate_of(self.network).frames)
        frames = expected_frames(flights)
        filled = flights.runs * frames + self.prefilled
        work = workload.flights(
            flights.runs,
            frames,
            rate,
            self.network,
            kept=frames if self.create_dataset else 0,
            frame=self.frame,
            buffer=min(filled, self.buffer) if self.buffer > 0 else filled,
        )
        for number, (folder, seed) in enumerate(self.models):
            outputs = [f"log/{self.tag}/{folder}"]
            outputs += [f"data/{self.tag}/{folder}"] if self.create_dataset else []
            learners.append(
                self.plan_job(
                    "online",
                    f"m_{number}_train",
                    ["run_script.py", *self._session(folder, seed)],
                    work,
                    wall_flag="wall_time",
                    gpumem=self.config.gpumem,
                    simulator=True,
                    datasets=(self.prefill,) if self.prefill else (),
                    checkpoints=(self.checkpoint,) if self.checkpoint else (),
                    outputs=tuple(outputs),
                    total=flights.runs,
                    unit="runs",
                )
            )
        return [*learners, self.report_job([folder for folder, _ in self.models], learners)]
