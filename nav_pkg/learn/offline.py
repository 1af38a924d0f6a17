"""Offline training, from the values of main.py's flags to results.json: puts the parts together."""

from __future__ import annotations

import functools
import hashlib
import resource
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Collection, Mapping, Optional

import torch
from torch import nn
from tqdm import tqdm

from nav_pkg import nets
from nav_pkg.core import DataError, UsageError
from nav_pkg.data import paths
from nav_pkg.data.files import atomic_write, to_json
from nav_pkg.data.reader import Run, load_dataset
from nav_pkg.learn import checkpoint, determinism, folder
from nav_pkg.learn.action import ActionSpace
from nav_pkg.learn.batches import BalancedOrder, Order, Samples, ShuffledOrder, bytes_needed, frames_of
from nav_pkg.learn.batches import read_samples as read
from nav_pkg.learn.checkpoint import MODEL_FILE, Checkpoint
from nav_pkg.learn.log import RunLog, episode_line
from nav_pkg.learn.losses import make_loss
from nav_pkg.learn.optimizers import make_optimizer
from nav_pkg.learn.pilot import resolve_device
from nav_pkg.learn.preprocess import Preprocessing
from nav_pkg.learn.stop import Stop, Stopped
from nav_pkg.learn.trainer import Timing, Trainer

SAVE_SECONDS = 30.0
"""Least time between two checkpoints of whole episodes; what a crash may cost."""


def say(text: str) -> None:
    """Print a line at once, above a progress bar if there is one."""
    tqdm.write(text, file=sys.stdout)
    sys.stdout.flush()


def train(flags: Mapping[str, Any], free: Collection[str], stop: Stop) -> int:
    """Train as the flags say.

    Args:
        flags: values of the flags by key, complete.
        free: keys that may differ when a log folder's run is gone on with.
        stop: tells when to save and leave.

    Returns:
        The exit code: 0, or that of the stop.

    Raises:
        NavError: with one line on what to do.
    """
    session = _Session(flags, free, stop)
    try:
        if session.args.create_scratch_checkpoint:
            session.create_scratch()
        else:
            session.run()
    except Stopped as reason:
        say(f"stopped by {reason}; run the same command (without --owr) to go on")
        return stop.exit_code
    return 0


class _Session:
    """One run of main.py: the parts and the steps between them, in order of need."""

    def __init__(self, flags: Mapping[str, Any], free: Collection[str], stop: Stop):
        self.flags, self.free, self.stop = dict(flags), free, stop
        self.args = args = SimpleNamespace(**flags)
        self.summary_dir = Path(args.summary_dir).expanduser() if args.summary_dir else paths.summary_dir()
        self.device = resolve_device(args.device)
        speeds = {"speed": args.speed, "turn_speed": args.turn_speed}
        self.space = ActionSpace(
            discrete=args.discrete,
            quantity=args.action_quantity,
            bound=args.action_bound,
            **{key: value for key, value in speeds.items() if value is not None},
        )
        self.preprocessing = Preprocessing.from_flags(
            nets.spec(args.network).input_size,
            shifted_input=args.shifted_input,
            scaled_input=args.scaled_input,
            scale_means=args.scale_means,
            scale_stds=args.scale_stds,
        )
        self.net_options = {} if args.dropout is None else {"dropout": args.dropout}
        self.make_optimizer = functools.partial(
            make_optimizer,
            args.optimizer,
            learning_rate=args.learning_rate,
            weight_decay=args.weight_decay,
            momentum=args.momentum,
        )
        # whatever can be refused is refused before data is read or a log folder is touched
        self.loss = make_loss(args.loss, self.space)
        self.make_optimizer([nn.Parameter(torch.zeros(1))])
        self.build()

    def build(self) -> nn.Module:
        """The network with fresh weights from the seed."""
        return nets.build(
            self.args.network, outputs=self.space.outputs, seed=self.args.random_seed, **self.net_options
        )

    def scratch(self) -> Checkpoint:
        """A checkpoint of fresh weights."""
        return Checkpoint(
            network=self.args.network,
            outputs=self.space.outputs,
            net_options=self.net_options,
            action_space=self.space,
            preprocessing=self.preprocessing,
            model_state_dict=self.build().state_dict(),
        )

    def create_scratch(self) -> None:
        """Save fresh weights to the log folder."""
        where = folder.open_folder(self.summary_dir, self.args.log_tag, self.args.owr)
        if folder.can_resume(where):
            raise UsageError(f"{where / MODEL_FILE}: is there already: give --owr, or another --log_tag")
        self.scratch().save(where / MODEL_FILE)
        say(f"fresh {self.args.network} from seed {self.args.random_seed}: {where / MODEL_FILE}")

    def run(self) -> None:
        """Train, or go on training, to the end."""
        args = self.args
        dataset = load_dataset(args.dataset, args.data_root)
        runs = {part: dataset.split(part) for part in ("train", "val", "test")}
        if not runs["val"]:
            raise DataError(
                f"{dataset.path}/val_set.txt: no runs to validate on: clean_dataset.py --val_len 1"
            )
        facts = {"name": args.dataset, "hash": _content_hash(runs)}
        start = self.start_weights()
        where = folder.open_folder(self.summary_dir, args.log_tag, args.owr)
        threads = args.num_threads or determinism.cores()
        config = {"flags": self.flags, "dataset": facts, "threads": threads, "device": self.device}
        config["versions"] = checkpoint.versions()
        resumed: Optional[Checkpoint] = None
        if folder.can_resume(where):
            before = folder.check_config(where, config, self.free)
            resumed = checkpoint.load(where, network=args.network)
            threads = config["threads"] = before.get("threads", threads) if not args.num_threads else threads
            _warn_of_differences(before, config)
        folder.write_config(where, config)
        (where / folder.RESULTS_FILE).unlink(missing_ok=True)
        determinism.prepare(args.random_seed, threads)

        train_samples = self.read("train", runs["train"], threads, args.subsample)
        val_samples = self.read("val", runs["val"], threads)
        trainer = self.trainer(train_samples, val_samples, facts, start)
        if resumed:
            trainer.resume(resumed)
        elif start and args.continue_training:
            self.continue_training(trainer, start)
        log = RunLog(where, self.space.class_names(), args.tensorboard, trainer.episode)
        say(
            f"{args.network} ({nets.parameter_count(trainer.net):,} parameters) on {dataset.name}: "
            f"{len(train_samples)} frames to train, {len(val_samples)} to validate; {self.device}, "
            f"{threads} threads; log {where}"
        )
        if resumed:
            say(f"going on after {trainer.episode} episodes and {trainer.step} batches")
        try:
            self.loop(trainer, log, where)
            # one split at a time: the training set is let go of before the test set is read
            trainer.release()
            del train_samples
            self.finish(trainer, log, where, self.test(trainer, runs["test"], threads), config)
        finally:
            log.close()

    def start_weights(self) -> Optional[Checkpoint]:
        """What --checkpoint_path names; made from the seed when it is a scratch that is not there."""
        args = self.args
        if not args.checkpoint_path:
            return None
        file = checkpoint.locate(args.checkpoint_path, self.summary_dir)
        if not file.is_file() and Path(args.checkpoint_path).name == f"{args.network}_scratch":
            made = self.scratch().save(file, replace=False)
            if made:
                say(f"{file}: was not there: made from seed {args.random_seed}")
        start = checkpoint.load(args.checkpoint_path, self.summary_dir, args.network)
        checkpoint.check_weights(self.build(), start.model_state_dict, f"--checkpoint_path {file}")
        if start.updates:
            for flag, was, now in (
                ("the preprocessing", start.preprocessing.state(), self.preprocessing.state()),
                ("--discrete", start.action_space.discrete, self.space.discrete),
                ("--action_bound", start.action_space.bound, self.space.bound),
            ):
                if was != now:
                    raise UsageError(f"{file}: was trained with {flag} {was}, not {now}: give the same flags")
            if args.continue_training and start.optimizer != args.optimizer:
                raise UsageError(
                    f"{file}: was trained with {start.optimizer}, so --continue_training needs "
                    f"--optimizer {start.optimizer}, not {args.optimizer}"
                )
        return start

    def continue_training(self, trainer: Trainer, start: Checkpoint) -> None:
        """Take over the optimiser state and the counts of a checkpoint that has been trained."""
        if not start.updates:
            return
        if start.episode >= self.args.max_episodes:
            raise UsageError(
                f"--max_episodes {self.args.max_episodes}: {self.args.checkpoint_path} has been trained for "
                f"{start.episode} episodes already, and all count: give more"
            )
        trainer.continue_from(start)

    def read(self, part: str, runs: list[Run], threads: int, subsample: int = 1) -> Samples:
        """Read a split into memory, with progress."""
        count = len(frames_of(runs, subsample))
        size = bytes_needed(count, self.preprocessing) / 1e9
        say(f"reading {part}: {len(runs)} runs, {count} frames ({size:.2f} GB in memory)")
        with _bar(count, f"reading {part}", "frame") as bar:

            def tick(frames: int) -> None:
                bar.update(frames)
                self.stop.check()

            return read(runs, self.preprocessing, subsample, threads, tick)

    def trainer(
        self, train_samples: Samples, val_samples: Samples, facts: dict[str, str], start: Optional[Checkpoint]
    ) -> Trainer:
        """The trainer at its beginning."""
        args = self.args
        order: Order
        if args.normalized_output:
            order = BalancedOrder(train_samples.yaw, args.batch_size, args.random_seed)
        else:
            order = ShuffledOrder(len(train_samples), args.batch_size, args.random_seed)
        net = self.build()
        if start:
            net.load_state_dict(start.model_state_dict)
        return Trainer(
            network=args.network,
            net=net,
            net_options=self.net_options,
            action_space=self.space,
            preprocessing=self.preprocessing,
            loss=self.loss,
            optimizer_name=args.optimizer,
            make_optimizer=self.make_optimizer,
            order=order,
            train=train_samples,
            val=val_samples,
            dataset=facts,
            device=self.device,
            clip=args.clip,
            max_steps=args.max_steps,
        )

    def loop(self, trainer: Trainer, log: RunLog, where: Path) -> None:
        """Episodes to the end, with a checkpoint now and then, at a stop and at the end."""
        model, args = where / MODEL_FILE, self.args
        saved = time.monotonic()
        while not trainer.finished(args.max_episodes):
            with _bar(trainer.steps, f"episode {trainer.episode + 1}", "batch") as bar:
                bar.update(trainer.step)

                def tick(bar: tqdm = bar) -> None:
                    bar.update(trainer.step - bar.n if trainer.step > bar.n else 0)
                    self.stop.check()

                try:
                    record = trainer.run_episode(tick)
                except Stopped:
                    trainer.checkpoint().save(model)
                    say(f"saved {model} after {trainer.episode} episodes and {trainer.step} batches")
                    raise
            timing = _timing(trainer.timing, self.device)
            # the line first: a checkpoint that knows of an episode must not lack its line
            log.append(record, timing)
            say(episode_line(record, timing, self.space.class_names(), args.max_episodes))
            if time.monotonic() - saved >= SAVE_SECONDS or trainer.finished(args.max_episodes):
                trainer.checkpoint().save(model)
                saved = time.monotonic()

    def test(self, trainer: Trainer, runs: list[Run], threads: int) -> Optional[dict[str, Any]]:
        """The scores over the test set; None when there is none."""
        if not runs:
            say("no test set: results.json goes without")
            return None
        return trainer.evaluate(self.read("test", runs, threads), self.stop.check)

    def finish(
        self,
        trainer: Trainer,
        log: RunLog,
        where: Path,
        test: Optional[dict[str, Any]],
        config: dict[str, Any],
    ) -> None:
        """Write results.json and say where."""
        last = log.records[-1] if log.records else {}
        if test:
            log.test(test, trainer.updates)
        results = {
            "network": self.args.network,
            "parameters": nets.parameter_count(trainer.net),
            "episodes": trainer.episode,
            "updates": trainer.updates,
            "classes": self.space.class_names(),
            "train": last.get("train"),
            "val": last.get("val"),
            "test": test,
            "timing": log.mean_timing(),
            "config": config,
        }
        atomic_write(where / folder.RESULTS_FILE, to_json(results))
        if test:
            say(
                f"test accuracy {test['accuracy']:.3f} (majority {test['majority_accuracy']:.3f}, balanced "
                f"{test['balanced_accuracy']:.3f}), imitation loss {test['imitation_loss']:.4f}"
            )
        say(f"results: {where / folder.RESULTS_FILE}")


def _content_hash(runs: Mapping[str, list[Run]]) -> str:
    """A SHA-256 of what is learned from: the runs of each split, in order, with their content."""
    text = "".join(f"{part} {run.name} {run.content_hash()}\n" for part in runs for run in runs[part])
    return hashlib.sha256(text.encode()).hexdigest()


def _warn_of_differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    for key in ("versions", "device", "threads"):
        if before.get(key) != now[key]:
            say(
                f"warning: {key} {now[key]}, was {before.get(key)}: training goes on, but its last bits may "
                "differ from an uninterrupted run's"
            )


def _timing(timing: Timing, device: str) -> dict[str, float]:
    values = {
        "samples_per_second": round(timing.samples_per_second, 1),
        "waiting_share": round(timing.waiting_share, 5),
        "host_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }
    if device == "cuda":
        values["gpu_memory_mb"] = round(torch.cuda.max_memory_allocated() / 1e6, 1)
    return values


def _bar(total: int, what: str, unit: str) -> tqdm:
    """A progress bar on a terminal, nothing elsewhere."""
    return tqdm(total=total, desc=what, unit=unit, leave=False, disable=not sys.stderr.isatty())
