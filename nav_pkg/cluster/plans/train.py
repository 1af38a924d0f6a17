"""The jobs of dag_train.py and their order: trainings of models, one job each."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from nav_pkg.cluster.plans.base import DagCommand, PlannedJob, layer, models
from nav_pkg.config import learner
from nav_pkg.config.learner import LearnerConfig
from nav_pkg.config.setting import to_argv
from nav_pkg.core import DataError, UsageError
from nav_pkg.data.reader import Dataset
from nav_pkg.learn.checkpoints import checkpoint_paths
from nav_pkg.learn.training import prechecks
from nav_pkg.studies import workload

WALL_FLAGS = ("wall_time_train", "wall_time", "wall_time_rec")
"""Flags that may give the wall time of a training."""


class Model(NamedTuple):
    """A model to train.

    Attributes:
        node: prefix of the names of its nodes.
        folder: its log folder, below the tag's.
        seed: its seed.
        rate: its learning rate; None for main.py's flag or default.
    """

    node: str
    folder: str
    seed: int
    rate: Optional[float]


def rate_folder(rate: float) -> str:
    """The folder of a learning rate: 0.1 is lr_01, 0.001 is lr_0001."""
    digits = format(Decimal(repr(rate)), "f")
    whole, _, part = digits.partition(".")
    return f"lr_{whole}{part.rstrip('0')}"


ABOUT = """Train a network on a cluster from several seeds, and with several learning rates.

Model i has the i-th of --seeds and the log folder TAG/seed_<seed>; main.py trains it. With --learning_rates
there are that many models for each rate, in TAG/lr_<rate>/seed_<seed>. A report compares all models. Flags of
main.py apply to all trainings.

Example:
    dag_train.py -t tiny --dataset mine --discrete --loss CrossEntropy --number_of_models 3
"""


class Train(DagCommand):
    """The DAG of dag_train.py: M trainings -> report."""

    name = "dag_train.py"
    about = ABOUT

    def layers(self) -> List[Any]:
        """main.py trains."""
        return [
            layer(
                "main.py",
                learner.make_parser(),
                "--create_scratch_checkpoint",
                "--evaluate",
                random_seed="give --seeds",
            )
        ]

    def check(self) -> None:
        """Check main.py's flags, the dataset and the checkpoint."""
        self.check_training(self.words["main.py"])

    def check_training(self, words: Sequence[str]) -> None:
        """Check the flags and inputs of the trainings, and make the list of models."""
        args = self.config
        self.wall_flag = self._wall_flag()
        rates = args.learning_rates or [None]
        self.training = learner.parse(words)
        if args.learning_rates and "learning_rate" in self.training.given_keys:
            raise UsageError(f"{self.name}: --learning_rate and --learning_rates: give one of them")
        if self.training.online:
            raise UsageError(f"{self.name}: --online: see dag_train_online.py, which learns in flight")
        prechecks.network(self.training.network)
        prechecks.dataset(self.training.dataset, self.data_root, "dataset" in self.training.given_keys)
        prechecks.checkpoint(self.training.checkpoint_path, self.summary_dir, scratch=True)
        self.network = canonical(self.training.network)
        self.models: List[Model] = []
        for rate in rates:
            for folder, seed in models(self.name, args):
                under = f"{rate_folder(rate)}/" if rate else ""
                self.models.append(Model(f"m_{len(self.models)}", f"{under}{folder}", seed, rate))
        folders = [model.folder for model in self.models]
        for folder in folders:
            if folders.count(folder) > 1:
                raise UsageError(
                    f"{self.name}: two models would be in {self.tag}/{folder}: change --learning_rates"
                )
        self.source = self.dataset(self.training.dataset)
        self.lengths = split_lengths(self.source)
        if not self.lengths[1]:
            raise DataError(
                f"{self.source.path}/val_set.txt: no runs to validate on: clean_dataset.py --val_len 1, with "
                "at least two runs"
            )
        self.network = canonical(self.training.network)
        self.scratch = self._scratch()

    def _wall_flag(self) -> str:
        """The flag that gives the wall time of a training.

        Raises:
            UsageError: more than one flag gives it.
        """
        names = [name for name in WALL_FLAGS if getattr(self.config, name)]
        if len(names) > 1:
            flags = " and ".join(f"--{name}" for name in names)
            raise UsageError(f"{self.name}: {flags} are the same here: give one of them")
        if names == ["wall_time_rec"]:  # published command lines contain it
            self.warn("--wall_time_rec is for recorders, and there are none: used as --wall_time_train")
        return names[0] if names else WALL_FLAGS[0]

    def _scratch(self) -> bool:
        """Whether the start checkpoint is a scratch checkpoint that must be made.

        Raises:
            DataError: another start checkpoint is missing.
        """
        given = self.training.checkpoint_path
        if not given:
            return False
        file = checkpoint_paths.locate(given, self.summary_dir)
        if file.is_file():
            return False
        if file.parent.name in (f"{self.network}_scratch", f"{self.training.network}_scratch"):
            return True
        raise DataError(f"--checkpoint_path {given}: {file} is missing; see --summary_dir")

    def prepare(self) -> None:
        """Make a missing scratch checkpoint from the first seed; all models start from its weights."""
        if not self.scratch or (self.config.dont_submit and not self.config.file_transfer):
            return
        from nav_pkg.learn.training.parts import TrainingParts

        config = dataclasses.replace(
            self.training,
            random_seed=self.models[0].seed,
            summary_dir=str(self.summary_dir),
            checkpoint_path="",
        )
        file = checkpoint_paths.locate(self.training.checkpoint_path, self.summary_dir)
        if TrainingParts(config).untrained_checkpoint().save(file, replace=False):
            print(f"{file}: was not there: made from seed {self.models[0].seed}")

    def configuration(self) -> Dict[str, Any]:
        """The models and their flags."""
        return {"flags": self.words, "models": [list(model[1:]) for model in self.models]}

    def train_job(self, model: Model) -> PlannedJob:
        """The job that trains a model."""
        own = LearnerConfig(
            random_seed=model.seed,
            learning_rate=model.rate or LearnerConfig.learning_rate,
            copy_dataset=self.config.copy_dataset,
        )
        words = [
            *to_argv(LearnerConfig(log_tag=f"{self.tag}/{model.folder}")),
            *self.words["main.py"],
            *to_argv(own, "random_seed", *(["learning_rate"] if model.rate else [])),
        ]
        work = workload.training(self.network, vars(self.training), *self.lengths)
        start = self.training.checkpoint_path
        return self.plan_job(
            "train",
            f"{model.node}_train",
            ["main.py", *words],
            work,
            wall_flag=self.wall_flag,
            gpumem=self.config.gpumem_train or self.config.gpumem,
            datasets=(self.training.dataset,),
            checkpoints=(start,) if start else (),
            copy_dataset=self.config.copy_dataset,
            outputs=(f"log/{self.tag}/{model.folder}",),
            total=self.training.max_episodes,
            unit="episodes",
        )

    def folders_of_models(self) -> List[str]:
        """The models' log folders, below the tag's."""
        return [model.folder for model in self.models]

    def jobs(self) -> List[PlannedJob]:
        """The trainings and the report."""
        trained = [self.train_job(model) for model in self.models]
        return [*trained, self.report_job(self.folders_of_models(), trained)]


def canonical(network: str) -> str:
    """The canonical name of a network, with aliases resolved.

    Raises:
        UsageError: the network does not exist.
    """
    prechecks.network(network)
    if network in workload.RATES:
        return network
    from nav_pkg import nets  # torch takes seconds

    return nets.canonical(network)


def split_lengths(dataset: Dataset) -> List[int]:
    """Numbers of frames for training, validation and test.

    Raises:
        DataError: the dataset has no split, or nothing to train on.
    """
    return [sum(len(run) for run in runs) for runs in dataset.splits().values()]
