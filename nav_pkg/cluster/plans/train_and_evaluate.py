"""The jobs of dag_train_and_evaluate.py and their order: trainings, and an evaluation of each model."""

from __future__ import annotations

from typing import Any, List

from nav_pkg.cluster.plans.base import PlannedJob, layer
from nav_pkg.cluster.plans.evaluate import check_flights, evaluation_flags
from nav_pkg.cluster.plans.train import Model, Train
from nav_pkg.config import session as session_config
from nav_pkg.config.evaluation import FIXED_BY_EVALUATION, make_evaluation_parser

ABOUT = """Train models on a cluster as dag_train.py does, and fly each one as evaluate.py does.

Model i is trained in TAG/seed_<seed>; its flights are in TAG/seed_<seed>/evaluation. A report compares all
models. Flags of main.py apply to the trainings, flags of evaluate.py and run_script.py to the flights.

Example:
    dag_train_and_evaluate.py -t tiny --dataset mine --discrete --loss CrossEntropy --number_of_runs 10
"""


class TrainAndEvaluate(Train):
    """The DAG of dag_train_and_evaluate.py: M trainings -> M evaluations -> report."""

    name = "dag_train_and_evaluate.py"
    about = ABOUT
    shared = ("--speed", "--turn_speed", "--num_threads", "--network")

    def layers(self) -> List[Any]:
        """main.py trains, evaluate.py flies through run_script.py."""
        return [
            *super().layers(),
            layer("evaluate.py", make_evaluation_parser(), "-m", checkpoint_path="each model flies itself"),
            layer("run_script.py", session_config.make_parser(), *FIXED_BY_EVALUATION),
        ]

    def check(self) -> None:
        """Check the flags of the trainings and of the flights."""
        words = [*self.words["evaluate.py"], *self.words["run_script.py"]]
        self.flight = check_flights(self.name, words)
        self.check_training(self.words["main.py"])  # last: may import torch

    def evaluate_job(self, model: Model) -> PlannedJob:
        """The job that evaluates a trained model."""
        tag = f"{self.tag}/{model.folder}"
        words = [*self.words["evaluate.py"], *self.words["run_script.py"]]
        return self.plan_job(
            "evaluate",
            f"{model.node}_eva",
            ["evaluate.py", *evaluation_flags(f"{tag}/evaluation", tag), *words],
            self.flight.work(self.network),
            wall_flag="wall_time_eva",
            gpumem=self.config.gpumem_eva or self.config.gpumem,
            parents=(f"{model.node}_train",),
            simulator=True,
            checkpoints=(tag,),
            outputs=(f"log/{tag}/evaluation",),
            total=self.flight.runs,
            unit="runs",
        )

    def jobs(self) -> List[PlannedJob]:
        """The trainings, the evaluations and the report."""
        trained = [self.train_job(model) for model in self.models]
        flown = [self.evaluate_job(model) for model in self.models]
        return [*trained, *flown, self.report_job(self.folders_of_models(), flown)]
