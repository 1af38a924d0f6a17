"""The jobs of dag_dagger.py and their order: rounds of DAgger for each seed."""

from __future__ import annotations

from typing import Any, Dict, List, Sequence

from nav_pkg.cluster.plans.base import DagCommand, PlannedJob, camera_data_of, layer, models
from nav_pkg.cluster.plans.create_data import expected_frames
from nav_pkg.cluster.plans.train import canonical, split_lengths
from nav_pkg.config import learner
from nav_pkg.config import session as session_config
from nav_pkg.config.evaluation import DaggerConfig, make_dagger_parser
from nav_pkg.config.setting import to_argv
from nav_pkg.session import arguments
from nav_pkg.studies import dagger, workload

ABOUT = """Run rounds of DAgger on a cluster for several seeds. Each step of each round is a job.

Each seed has its own rounds in TAG/seed_<seed>, as dagger.py makes them: fly, add, train, evaluate. When a
job fails, finished jobs are not repeated. At the end dagger.py makes the table of each seed, and a report
compares the last networks. Flags of dagger.py, run_script.py and main.py apply to the jobs.

Example:
    dag_dagger.py -t d --dataset mine --checkpoint_path tiny/seed_123 --rounds 3 --runs 4 \\
        --loss CrossEntropy --learning_rate 0.01 --max_episodes 10
"""


class Dagger(DagCommand):
    """The DAG of dag_dagger.py: M chains of rounds -> report."""

    name = "dag_dagger.py"
    about = ABOUT
    shared = ()

    def layers(self) -> List[Any]:
        """dagger.py has its own flags and separates those of run_script.py and main.py itself."""
        return [
            layer("dagger.py", make_dagger_parser(), random_seed="give --seeds"),
            layer("run_script.py", session_config.make_parser(), "--shard", "--shared_master"),
            layer("main.py", learner.make_parser()),
        ]

    def check(self) -> None:
        """Check all commands of all rounds, the dataset and the checkpoint."""
        self.flags = [*self.words["dagger.py"], *self.words["run_script.py"], *self.words["main.py"]]
        self.models = models(self.name, self.config)
        self.rounds = {
            folder: dagger.Rounds(*dagger.split(self._command_line(folder, seed)))
            for folder, seed in self.models
        }
        first_rounds = next(iter(self.rounds.values()))
        line, _ = arguments.split(first_rounds.collect(1)[2:])
        self.frames = expected_frames(arguments.schedule(line))
        self.frame = camera_data_of(line)
        self.training = learner.parse(first_rounds.train(1)[2:])
        self.network = canonical(self.training.network)
        self.lengths = split_lengths(self.dataset(first_rounds.args.dataset))

    def _command_line(self, folder: str, seed: int) -> List[str]:
        tag, own = DaggerConfig(log_tag=f"{self.tag}/{folder}"), DaggerConfig(random_seed=seed)
        return [*to_argv(tag), *self.flags, *to_argv(own, "random_seed")]

    def prepare(self) -> None:
        """Create the folders of every seed's rounds, so that dagger.py recognises them as its own."""
        for rounds in self.rounds.values():
            rounds.open()

    def configuration(self) -> Dict[str, Any]:
        """The seeds and their flags."""
        return {"flags": self.flags, "models": [list(model) for model in self.models]}

    def _chain(self, number: int, folder: str, rounds: dagger.Rounds) -> List[PlannedJob]:
        """All steps of a seed, in sequence."""
        args, steps = rounds.args, []  # type: Any, List[PlannedJob]
        train_frames, val_frames, test_frames = self.lengths
        wall: Dict[str, Any] = {"wall_flag": "wall_time", "gpumem": self.config.gpumem}
        flown = {"simulator": True, "unit": "runs"}

        def step(kind: str, name: str, command: List[str], work: workload.Work, **more: Any) -> None:
            parents = (steps[-1].job.name,) if steps else ()
            words = _without_places([_script(command[1]), *command[2:]])
            steps.append(self.plan_job(kind, f"m_{number}_{name}", words, work, parents=parents, **more))

        for n in range(1, args.rounds + 1):
            learned = train_frames + n * args.runs * self.frames
            log = f"log/{self.tag}/{folder}/round_{n}"
            data = f"data/{self.tag}/{folder}/round_{n}"
            collected = workload.flights(
                args.runs, self.frames, workload.FLOWN, self.network, frame=self.frame
            )
            step(
                "record",
                f"round_{n}_fly",
                rounds.collect(n),
                collected,
                checkpoints=(rounds.flown_net(n),),
                outputs=(f"{log}/collect", f"{data}/collected"),
                total=args.runs,
                **flown,
                **wall,
            )
            linked = workload.Work(15.0 + learned / 2000, 300.0, 10.0, 0.0, 2 * learned)
            again = [*rounds.merge(n), "--owr"]  # for retries; the folder belongs to this DAG
            step("merge", f"round_{n}_add", again, linked, outputs=(f"{data}/dataset",))
            work = workload.training(self.network, vars(self.training), learned, val_frames, test_frames)
            step(
                "train",
                f"round_{n}_learn",
                rounds.train(n),
                work,
                checkpoints=(rounds.first_net(n),),
                outputs=(f"{log}/train",),
                datasets=(f"{self.tag}/{folder}/round_{n}/dataset",),
                copy_dataset=self.config.copy_dataset,
                reads=(learned + val_frames + test_frames) * workload.USUAL.megabytes,
                total=self.training.max_episodes,
                unit="episodes",
                **wall,
            )
            alone = workload.flights(
                args.evaluation_runs, self.frames, workload.FLOWN, self.network, kept=0, frame=self.frame
            )
            step(
                "evaluate",
                f"round_{n}_fly_alone",
                rounds.evaluate(n),
                alone,
                checkpoints=(rounds.flown_net(n + 1),),
                outputs=(f"{log}/evaluate",),
                total=args.evaluation_runs,
                **flown,
                **wall,
            )
        words = self._command_line(folder, self.models[number][1])
        whole = (f"log/{self.tag}/{folder}", f"data/{self.tag}/{folder}")
        step(
            "dagger",
            "table",
            ["", "dagger.py", *words],
            workload.Work(30.0, 500.0, 10.0, 0.0, 2),
            outputs=whole,
        )
        return steps

    def jobs(self) -> List[PlannedJob]:
        """The seeds' chains, and the report."""
        chains = [self._chain(i, *item) for i, item in enumerate(self.rounds.items())]
        ends = [f"{folder}/round_{rounds.args.rounds}/train" for folder, rounds in self.rounds.items()]
        last = [chain[-1] for chain in chains]
        return [*(step for chain in chains for step in chain), self.report_job(ends, last)]


def _script(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def _without_places(words: Sequence[str]) -> List[str]:
    """The words without --summary_dir and --data_root, which jobs get from the environment."""
    kept, skip = [], False
    for word in words:
        if skip or word in ("--summary_dir", "--data_root"):
            skip = not skip
            continue
        kept.append(word)
    return kept
