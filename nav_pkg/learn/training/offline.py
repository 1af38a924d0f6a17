"""Offline training, from the flags of main.py to results.json."""

from __future__ import annotations

import dataclasses
import resource
import sys
import time
from pathlib import Path
from typing import Any, Mapping, Optional

import torch
from tqdm import tqdm

from nav_pkg import nets
from nav_pkg.config.learner import RESUMES, LearnerConfig
from nav_pkg.core import LearnerError, UsageError
from nav_pkg.data.files import atomic_write, to_json
from nav_pkg.data.reader import load_dataset
from nav_pkg.learn.batches import loading
from nav_pkg.learn.batches.recovery import Recovery
from nav_pkg.learn.batches.samples import Samples
from nav_pkg.learn.checkpoints import checkpoint
from nav_pkg.learn.checkpoints.checkpoint import MODEL_FILE, Checkpoint
from nav_pkg.learn.methods.method_flags import make_method
from nav_pkg.learn.training import determinism, folder
from nav_pkg.learn.training.log import TrainingLog, episode_line, say
from nav_pkg.learn.training.parts import TrainingParts
from nav_pkg.learn.training.stop import Stop, Stopped
from nav_pkg.learn.training.trainer import Timing, Trainer

SAVE_SECONDS = 30.0
"""Shortest time between two checkpoints. With `SAVE_SHARE` it limits what a crash loses."""

SAVE_SHARE = 0.02
"""Largest share of the time spent on saving: large networks are saved less often."""


def train(config: LearnerConfig, stop: Stop) -> int:
    """Train a network on a dataset.

    Args:
        config: the settings of main.py.
        stop: requests to save and exit.

    Returns:
        The exit code: 0, or the exit code of the stop.

    Raises:
        NavError: its one line names the remedy.
    """
    try:
        training = OfflineTraining(config, stop)
        if config.create_scratch_checkpoint:
            training.create_scratch()
        else:
            training.run()
    except Stopped as reason:
        say(f"stopped by {reason}; run the same command (without --owr) to resume")
        return stop.exit_code
    except (MemoryError, RuntimeError) as error:
        text = str(error)
        if isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text:
            raise LearnerError(
                f"out of memory: lower --batch_size ({config.batch_size}), or --time_length"
            ) from error
        raise
    return 0


class OfflineTraining:
    """Offline training, from building the parts to writing results.json.

    Args:
        config: the settings of main.py.
        stop: requests to save and exit.
    """

    def __init__(self, config: LearnerConfig, stop: Stop):
        self.config, self.stop = config, stop
        self.parts = TrainingParts(config)
        self.threads = self.parts.threads
        self.flags = config.of_training()
        if nets.user_code(self.parts.network):  # no path: the checkpoint identifies the file by its content
            self.flags["network"] = self.parts.network

    def create_scratch(self) -> None:
        """Save fresh weights to the log folder."""
        where = folder.open_folder(self.parts.summary_dir, self.config.log_tag, self.config.owr)
        if folder.can_resume(where):
            raise UsageError(f"{where / MODEL_FILE}: is there already: give --owr, or another --log_tag")
        self.parts.untrained_checkpoint().save(where / MODEL_FILE)
        say(f"fresh {self.parts.network} from seed {self.config.random_seed}: {where / MODEL_FILE}")

    def run(self) -> None:
        """Train to the end, from the start or from a checkpoint in the log folder."""
        args = self.config
        dataset = load_dataset(args.dataset, args.data_root)
        splits = loading.Splits(dataset)
        for line in splits.warnings:
            say(f"warning: {line}")
        start = None if self.parts.resumes else self.parts.start_weights(splits.facts)
        where = folder.open_folder(self.parts.summary_dir, args.log_tag, args.owr)
        config = {
            "flags": self.flags,
            "dataset": splits.facts,
            "threads": self.threads,
            "device": self.parts.compute.device,
            "versions": checkpoint.versions(),
        }
        resumed: Optional[Checkpoint] = None
        if folder.can_resume(where):
            before = folder.check_config(where, config, RESUMES)
            resumed = checkpoint.load(where, network=self.parts.network)
            if not args.num_threads:
                self.threads = config["threads"] = before.get("threads", self.threads)
            _warn_of_differences(before, config)
        folder.write_config(where, config)
        folder.remove_results(where)
        determinism.prepare(args.random_seed, self.threads)

        if args.evaluate:
            train_samples = loading.only_labels(splits.runs["train"], self.parts.preprocessing, args.labels)
        else:
            train_samples = self.read("train", splits, args.subsample, recovery=self.recovery())
        val_samples = self.read("val", splits, args.validation_subsample)
        # report errors in the test set now, not after training
        self.read("test", splits, in_memory=False)
        if not args.evaluate:
            for line in loading.warnings(train_samples, self.parts.action_space, self.parts.preprocessing):
                say(f"warning: {line}")
        trainer = self.trainer(train_samples, val_samples, splits.facts, start)
        if resumed:
            with checkpoint.restoring(str(where / MODEL_FILE)):
                trainer.resume(resumed)
        elif start and (args.continue_training or args.evaluate):
            with checkpoint.restoring(f"--checkpoint_path {args.checkpoint_path}"):
                self.continue_training(trainer, start)
        before = 0 if resumed and not args.continue_training else trainer.before
        log = TrainingLog(
            where, self.parts.action_space.class_names(), args.tensorboard, trainer.episode, before
        )
        say(
            f"{self.parts.network} ({nets.parameter_count(trainer.net):,} parameters) on {dataset.name}: "
            f"{len(train_samples)} frames to train, {len(val_samples)} to validate; "
            f"{self.parts.compute.device}, {self.threads} threads; log {where}"
        )
        if self.parts.compute.warning:
            say(f"warning: {self.parts.compute.warning}")
        if resumed:
            say(f"resuming after {trainer.episode} episodes and {trainer.step} batches")
        try:
            val = None
            if args.evaluate:
                val = trainer.evaluate(val_samples, self.stop.check)
            else:
                self.loop(trainer, log, where)
                if log.last(trainer.episode) is None and trainer.episode > (trainer.before or 0):
                    val = trainer.evaluate(val_samples, self.stop.check)  # the line in the log is lost
            # hold one split at a time: release the training set before reading the test set
            trainer.release()
            del train_samples, val_samples
            self.finish(trainer, log, where, val, self.test(trainer, splits), config)
        finally:
            log.close()

    def continue_training(self, trainer: Trainer, start: Checkpoint) -> None:
        """Load the optimiser state and the counts of a trained checkpoint."""
        if not start.updates:
            return
        args = self.config
        if not args.evaluate:
            for flag, most, done in (
                ("max_episodes", args.max_episodes, start.episode),
                ("max_steps", args.max_steps, start.updates),
            ):
                if most and done >= most:
                    unit = "episodes" if flag == "max_episodes" else "gradient steps"
                    raise UsageError(
                        f"--{flag} {most}: {args.checkpoint_path} has been trained for {done} {unit} "
                        "already, and all count: give more"
                    )
        trainer.continue_from(start, optimizer=not args.evaluate)

    def recovery(self) -> Optional[Recovery]:
        """The settings for learning from recovery cameras; None without them."""
        compensation = self.config.recovery_compensation
        return None if compensation is None else Recovery(compensation, self.parts.action_space)

    def read(
        self,
        part: str,
        splits: loading.Splits,
        subsample: int = 1,
        in_memory: bool = True,
        recovery: Optional[Recovery] = None,
    ) -> Samples:
        """Load the samples of a split; each packed part checks for a stop."""
        args = self.config
        return loading.load_samples(
            splits.runs[part],
            self.parts.preprocessing,
            source=args.labels,
            subsample=subsample,
            copy=args.copy_dataset,
            in_memory=args.load_data_in_ram and in_memory,
            workers=args.num_threads,
            tick=lambda frames: self.stop.check(),
            recovery=recovery,
        )

    def trainer(
        self,
        train_samples: Samples,
        val_samples: Samples,
        facts: dict[str, Any],
        start: Optional[Checkpoint],
    ) -> Trainer:
        """Create the trainer in its initial state."""
        args = self.config
        if start:
            self.parts.net.load_state_dict(start.model_state_dict)
        net = self.parts.compute.prepare(self.parts.net)
        method_flags = self.parts.method_flags
        if args.evaluate:  # nothing is trained: no batch has to fit
            method_flags = dataclasses.replace(
                method_flags, batch_size=1, balanced=False, sliding=False, time_length=-1
            )
        method = make_method(
            method_flags,
            net,
            self.parts.compute,
            self.parts.preprocessing,
            self.parts.criterion,
            train_samples,
        )
        if method.note:
            say(method.note)
        return Trainer(
            network=self.parts.network,
            net=net,
            net_options=self.parts.net_options,
            action_space=self.parts.action_space,
            preprocessing=self.parts.preprocessing,
            compute=self.parts.compute,
            method=method,
            loss=self.parts.criterion,
            optimizer_name=args.optimizer,
            make_optimizer=self.parts.make_optimizer,
            lr_schedule=self.parts.lr_schedule,
            train=train_samples,
            val=val_samples,
            dataset=facts,
            clip=args.clip,
            max_steps=args.max_steps,
        )

    def loop(self, trainer: Trainer, log: TrainingLog, where: Path) -> None:
        """Run episodes to the end; save at intervals, at a stop and at the end."""
        model, args = where / MODEL_FILE, self.config
        saved, cost = time.monotonic(), 0.0

        def save(now: bool = False) -> None:
            nonlocal saved, cost
            begin = time.monotonic()
            if now or begin - saved >= max(SAVE_SECONDS, cost / SAVE_SHARE):
                trainer.checkpoint().save(model)
                saved = time.monotonic()
                cost = saved - begin

        if trainer.finished(args.max_episodes):
            say(f"trained already: {trainer.episode} episodes, {trainer.updates} gradient steps")
        while not trainer.finished(args.max_episodes):
            with _bar(trainer.steps, f"episode {trainer.episode + 1}", "batch") as bar:
                bar.update(trainer.step)

                def tick(bar: tqdm = bar) -> None:
                    bar.update(trainer.step - bar.n if trainer.step > bar.n else 0)
                    self.stop.check()

                try:
                    record = trainer.run_episode(tick, save)
                except Stopped:
                    save(now=True)
                    say(f"saved {model} after {trainer.episode} episodes and {trainer.step} batches")
                    raise
            timing = _timing(trainer.timing, self.parts.compute.device)
            # write the line first: a checkpoint that counts an episode must not lack its line
            log.append(record, timing)
            say(episode_line(record, timing, self.parts.action_space.class_names(), args.max_episodes))
            save(now=trainer.finished(args.max_episodes))

    def test(self, trainer: Trainer, splits: loading.Splits) -> Optional[dict[str, Any]]:
        """The scores over the test set; None without a test set."""
        if not splits.runs["test"]:
            say("no test set: results.json has no test scores")
            return None
        test = self.read("test", splits, self.config.validation_subsample)
        return trainer.evaluate(test, self.stop.check)

    def finish(
        self,
        trainer: Trainer,
        log: TrainingLog,
        where: Path,
        val: Optional[dict[str, Any]],
        test: Optional[dict[str, Any]],
        config: dict[str, Any],
    ) -> None:
        """Write results.json and print the scores and its path."""
        last = log.last(trainer.episode) or {}
        if test:
            log.test(test, trainer.updates)
        results = {
            "network": self.parts.network,
            "parameters": nets.parameter_count(trainer.net),
            "episodes": trainer.episode,
            "updates": trainer.updates,
            "classes": self.parts.action_space.class_names(),
            "train": last.get("train"),
            "val": val or last.get("val"),
            "test": test,
            "timing": log.mean_timing(),
            "config": config,
        }
        atomic_write(where / folder.RESULTS_FILE, to_json(results), "--summary_dir")
        for part, values in (("val", val), ("test", test)):
            if values:
                say(
                    f"{part} accuracy {values['accuracy']:.3f} (majority {values['majority_accuracy']:.3f}, "
                    f"balanced {values['balanced_accuracy']:.3f}), imitation loss "
                    f"{values['imitation_loss']:.4f}"
                )
        say(f"results: {where / folder.RESULTS_FILE}")


def _warn_of_differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    for key in ("versions", "device", "threads"):
        if before.get(key) != now[key]:
            say(
                f"warning: {key} {now[key]}, was {before.get(key)}: training resumes, but its last bits may "
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


def _bar(total: int, label: str, unit: str) -> tqdm:
    """A progress bar on a terminal; disabled elsewhere."""
    return tqdm(total=total, desc=label, unit=unit, leave=False, disable=not sys.stderr.isatty())
