"""DAgger: dataset aggregation (Ross, Gordon and Bagnell 2011): fly, add the flights to the dataset, retrain.

Each round flies with a mix of expert and network, adds these flights with the expert's labels to the dataset,
trains the network on the whole dataset, and flies the network without the expert. Every step is an ordinary
command. It is printed before it runs and uses a folder of its round. The same command resumes interrupted
rounds.
"""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

from nav_pkg import schemas
from nav_pkg.config import learner
from nav_pkg.config import session as session_config
from nav_pkg.config.dataset import MergeConfig
from nav_pkg.config.evaluation import DaggerConfig, make_dagger_parser
from nav_pkg.config.learner import SETTINGS, LearnerConfig
from nav_pkg.config.parser import by_flag, check_known
from nav_pkg.config.session import SessionConfig
from nav_pkg.config.setting import from_values, to_argv
from nav_pkg.core import ROOT, DataError, UsageError
from nav_pkg.data.files import atomic_write, lock_folder, read_json, remove_tree, sweep, to_json
from nav_pkg.data.format import DATASET_FILE
from nav_pkg.data.reader import load_dataset
from nav_pkg.flight.metrics import summary
from nav_pkg.flight.runlog import RunLog
from nav_pkg.learn.checkpoints import checkpoint_paths
from nav_pkg.learn.training import prechecks
from nav_pkg.learn.training.folder import RESULTS_FILE
from nav_pkg.session import arguments, plan_files
from nav_pkg.session.steps import run_step
from nav_pkg.world.plan_file import absolute

STATE = "dagger.json"

FIXED_BY_DAGGER = (
    *("log_tag", "number_of_runs", "owr", "create_dataset", "data_location", "alpha", "alpha_schedule"),
    *("alpha_end", "alpha_runs", "alpha_decay", "evaluation", "evaluate_every", "final_evaluation_runs"),
    *("no_training", "checkpoint_path", "random_seed", "summary_dir", "data_root", "auto_go"),
)
"""Flags of run_script.py that the rounds set, or that dagger.py has under the same name."""


def split(argv: Optional[Sequence[str]]) -> Tuple[DaggerConfig, List[str], List[str]]:
    """Parse our flags and assign the other ones to run_script.py and main.py.

    Returns:
        Our flags, the words for run_script.py, and the words for main.py.

    Raises:
        UsageError: a flag is unknown, or the rounds set it.
    """
    own = make_dagger_parser()
    parsed, rest = own.parse_known_args(sys.argv[1:] if argv is None else argv)
    session_parser = session_config.make_parser()
    parsed_flight, training = session_parser.parse_known_args(rest)
    defaults = vars(session_parser.parse_args([]))
    flight = {key: value for key, value in vars(parsed_flight).items() if value != defaults[key]}
    for key in flight:
        if key in FIXED_BY_DAGGER:
            raise UsageError(f"dagger.py: --{key} is set by the rounds: leave it out")
    if "world" in flight:
        flight["world"] = absolute(flight["world"])
    known = (
        own.flags()
        + session_parser.flags()
        + [each.flag for each in SETTINGS.values() if each.about.effect != "flight"]
    )
    check_known("dagger.py", training, known)
    # the speeds apply to both expert and network
    training += to_argv({key: flight[key] for key in ("speed", "turn_speed") if key in flight})
    folders = {key: getattr(parsed, key).expanduser().resolve() for key in ("summary_dir", "data_root")}
    return from_values(DaggerConfig, {**vars(parsed), **folders}), to_argv(flight), training


class Rounds:
    """All rounds of a command line.

    Args:
        args: our flags.
        flight: words for run_script.py.
        training: words for main.py.

    Raises:
        UsageError: one of the commands would reject the flags.
        DataError: the dataset or the checkpoint is missing, or the dataset has no validation runs.
    """

    def __init__(self, args: DaggerConfig, flight: List[str], training: List[str]):
        self.args, self.flight, self.training = args, flight, training
        base = load_dataset(args.dataset, args.data_root)
        if not base.split("val"):
            raise DataError(f"{base.path}: no runs to validate on: clean_dataset.py --val_len 1")
        self.net: List[List[str]] = []
        self.own: List[str] = []
        # check the flags of all commands before the first command runs
        given = learner.parse(self.train(1)[2:]).given
        prechecks.network(given.get("network"))
        prechecks.checkpoint(args.checkpoint_path, args.summary_dir)
        own, _ = arguments.split(self.collect(1)[2:])
        arguments.schedule(own)
        arguments.check_simulator(own)
        from nav_pkg import nets  # torch takes seconds
        from nav_pkg.learn.checkpoints import checkpoint as checkpoint_file
        from nav_pkg.learn.deployment.pilot import check_given
        from nav_pkg.learn.online.online_flags import described_words

        loaded = checkpoint_file.load(args.checkpoint_path, args.summary_dir, given.get("network"))
        self.net = described_words(loaded)
        # every flight needs --network for a network from the user's own file
        self.own = self.net[0] if nets.user_code(loaded.network) else []
        check_given(loaded, given, args.checkpoint_path)
        self.folder, self.data = args.summary_dir / args.log_tag, args.data_root / args.log_tag
        learner.parse(self.train(1)[2:])  # again: now with the flags that describe the checkpoint's net

    # The commands of a round.

    def _script(self, name: str) -> List[str]:
        return [sys.executable, os.path.relpath(ROOT / "scripts" / name)]

    def _session(self, **more: Any) -> List[str]:
        """The command of a session, whose flights start at poses along the route unless the flags differ."""
        start = {} if "--start" in self.flight else {"start": "route"}
        config = SessionConfig(
            summary_dir=self.args.summary_dir, data_root=self.args.data_root, **start, **more
        )
        always = ("number_of_runs", "alpha", "random_seed", "summary_dir", "data_root")
        return [*self._script("run_script.py"), *to_argv(config, *always), *self.own, *self.flight]

    def _tag(self, number: int, step: str) -> str:
        return f"{self.args.log_tag}/round_{number}/{step}"

    def alpha(self, number: int) -> float:
        """Probability per frame that the expert flies in a round; rounds count from 1."""
        return self.args.alpha * self.args.alpha_decay ** (number - 1)

    def first_net(self, number: int) -> str:
        """The checkpoint from which a round's training starts."""
        return str(self.args.checkpoint_path) if self.args.from_start else self.flown_net(number)

    def flown_net(self, number: int) -> str:
        """The network that flies in a round: the one of the round before, or the given checkpoint."""
        return self._tag(number - 1, "train") if number > 1 else str(self.args.checkpoint_path)

    def collect(self, number: int) -> List[str]:
        """The command that records flights with a mix of expert and network."""
        return self._session(
            log_tag=self._tag(number, "collect"),
            create_dataset=True,
            data_location=self._tag(number, "collected"),
            number_of_runs=self.args.runs,
            alpha=float(f"{self.alpha(number):g}"),
            checkpoint_path=self.flown_net(number),
            random_seed=self.args.random_seed + number,
        )

    def merge(self, number: int) -> List[str]:
        """The command that merges the recordings of all rounds so far with the dataset."""
        config = MergeConfig(
            dataset=self.args.dataset,
            add=tuple(self._tag(i, "collected") for i in range(1, number + 1)),
            destination=self._tag(number, "dataset"),
            data_root=self.args.data_root,
        )
        return [*self._script("dataset.py"), "merge", *to_argv(config, "data_root")]

    def train(self, number: int) -> List[str]:
        """The command that trains the network on the merged dataset."""
        config = LearnerConfig(
            log_tag=self._tag(number, "train"),
            dataset=self._tag(number, "dataset"),
            checkpoint_path=self.first_net(number),
            random_seed=self.args.random_seed,
            summary_dir=str(self.args.summary_dir),
            data_root=str(self.args.data_root),
        )
        always = ("random_seed", "summary_dir", "data_root")
        given = {word.split("=")[0] for word in self.training}
        net = [word for words in self.net if words[0] not in given for word in words]
        return [*self._script("main.py"), *to_argv(config, *always), *net, *self.training]

    def evaluate(self, number: int) -> List[str]:
        """The command that flies the network without the expert, from the same poses in every round."""
        return self._session(
            log_tag=self._tag(number, "evaluate"),
            evaluation=True,
            number_of_runs=self.args.evaluation_runs,
            checkpoint_path=self._tag(number, "train"),
            random_seed=self.args.random_seed,
            alpha=0,
        )

    # Running them.

    def run(self) -> None:
        """Run all rounds; skip finished steps."""
        lock = lock_folder(self.folder)
        if lock is None:
            raise UsageError(f"{self.folder} is in use by another process; wait for it or choose another -t")
        self.open()
        sweep(self.folder)
        rows = []
        for number in range(1, self.args.rounds + 1):
            self._step(
                f"round {number}: fly", self.collect(number), self._flown(number, "collect", self.args.runs)
            )
            merged = (self.data / f"round_{number}" / "dataset" / DATASET_FILE).exists()
            self._step(f"round {number}: add", self.merge(number), merged)
            results = self.folder / f"round_{number}" / "train" / RESULTS_FILE
            self._step(f"round {number}: learn", self.train(number), results.exists())
            runs = self.args.evaluation_runs
            self._step(
                f"round {number}: fly alone", self.evaluate(number), self._flown(number, "evaluate", runs)
            )
            rows.append(self._row(number, read_json(results, schemas.RESULTS)))
            self._save(rows)
        print("\n" + _table(rows))
        print(
            f"\n{self.folder / STATE}; the last network: "
            f"--checkpoint_path {self._tag(self.args.rounds, 'train')}"
        )

    def open(self) -> None:
        """Create the folder, or resume the same rounds.

        Raises:
            UsageError: the folder holds other rounds or other files.
        """
        file = self.folder / STATE
        if self.args.owr and file.exists():
            begin = checkpoint_paths.locate(self.args.checkpoint_path, self.args.summary_dir).resolve()
            dataset = load_dataset(self.args.dataset, self.args.data_root).path.resolve()
            for flag, place in (("checkpoint_path", begin), ("dataset", dataset)):
                if self.folder.resolve() in place.parents or self.data.resolve() in place.parents:
                    raise UsageError(
                        f"--{flag} {place} is in the rounds that --owr deletes: choose another -t"
                    )
            for folder in (self.folder, self.data):
                if folder.exists():
                    remove_tree(folder)
        self._flags = {
            key: str(value) if isinstance(value, Path) else value
            for key, value in vars(self.args).items()
            if key not in ("owr", "rounds")
        }
        self._flags.update(flight=self.flight, training=self.training)
        plans = plan_files.digests(self.flight)
        if plans:
            self._flags["world"] = plans
        if file.exists():
            before = read_json(file, schemas.DAGGER)["flags"]
            for key, value in self._flags.items():
                was = before.get(key)
                same = was == value
                if key in ("flight", "training") and isinstance(was, list):
                    same = by_flag(map(str, was)) == by_flag(value)  # ignore the order of flags
                if not same:
                    raise UsageError(
                        f"{self.folder}: was started with --{key} {before.get(key)!r}, not {value!r}: give "
                        "the same flags to resume, --owr to start over, or another -t"
                    )
            return
        for folder in (self.folder, self.data):
            if folder.exists() and any(folder.iterdir()):
                raise UsageError(f"{folder}: holds other files than rounds of DAgger; choose another -t")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._save([])

    def _save(self, rows: List[Dict[str, Any]]) -> None:
        atomic_write(
            self.folder / STATE, to_json({"flags": self._flags, "rounds": rows}), chosen_by="--summary_dir"
        )

    def _flown(self, number: int, step: str, runs: int) -> bool:
        folder = self.folder / f"round_{number}" / step
        return (folder / "runs.jsonl").exists() and len(RunLog(folder).finished()) >= runs

    def _step(self, title: str, command: List[str], done: bool) -> None:
        if done:
            print(f"== {title}: done ==", flush=True)
            return
        print(f"\n== {title} ==\n$ {shlex.join(['python', *command[1:]])}", flush=True)
        run_step(command, title)

    def _row(self, number: int, results: Dict[str, Any]) -> Dict[str, Any]:
        def flights(step: str) -> Dict[str, Any]:
            return summary(RunLog(self.folder / f"round_{number}" / step).finished().values())

        flown, alone = flights("collect"), flights("evaluate")
        val = results.get("val") or {}
        actors = [
            run["actors"] for run in RunLog(self.folder / f"round_{number}" / "collect").finished().values()
        ]
        frames = sum(sum(actor.values()) for actor in actors)
        added = sum(
            len(run) for run in load_dataset(self._tag(number, "dataset"), self.args.data_root).split("train")
        )
        return {
            "round": number,
            "alpha": self.alpha(number),
            "flown": flown["frames"],
            "expert_share": sum(actor["expert"] for actor in actors) / frames if frames else None,
            "training_frames": added,
            "updates": results.get("updates"),
            "val_accuracy": val.get("accuracy"),
            "val_balanced_accuracy": val.get("balanced_accuracy"),
            "runs": alone["counted"],
            "successes": alone["successes"],
            "success_low": alone["success_low"],
            "success_high": alone["success_high"],
            "progress": alone["progress"],
            "imitation_loss": alone["imitation_loss"],
        }


def _table(rows: Sequence[Dict[str, Any]]) -> str:
    lines = ["round  alpha  frames  gradient steps  val accuracy  laps alone      imitation loss"]
    for row in rows:
        accuracy = "-" if row["val_accuracy"] is None else f"{row['val_accuracy']:.3f}"
        loss = "-" if row["imitation_loss"] is None else f"{row['imitation_loss']:.3f}"
        low, high = 100 * row["success_low"], 100 * row["success_high"]
        laps = f"{row['successes']}/{row['runs']} ({low:.0f}-{high:.0f} %)"
        lines.append(
            f"{row['round']:5}  {row['alpha']:5.2f}  {row['training_frames']:6}  {row['updates'] or 0:14}  "
            f"{accuracy:>12}  {laps:14}  {loss:>14}"
        )
    return "\n".join(lines)
