"""Offline training, from the values of main.py's flags to results.json: puts the parts together."""

from __future__ import annotations

import functools
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
from nav_pkg.data.reader import load_dataset
from nav_pkg.learn import checkpoint, determinism, folder, loading
from nav_pkg.learn.action import ActionSpace
from nav_pkg.learn.arithmetic import Arithmetic
from nav_pkg.learn.checkpoint import MODEL_FILE, Checkpoint
from nav_pkg.learn.log import RunLog, episode_line
from nav_pkg.learn.losses import make_loss
from nav_pkg.learn.method_flags import MethodFlags, make_method
from nav_pkg.learn.optimizers import make_optimizer, make_schedule
from nav_pkg.learn.pilot import resolve_device
from nav_pkg.learn.preprocess import Preprocessing
from nav_pkg.learn.samples import Samples
from nav_pkg.learn.stop import Stop, Stopped
from nav_pkg.learn.trainer import Timing, Trainer, plain_state

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
        # whatever can be refused is refused before data is read or a log folder is touched
        self.network = nets.canonical(args.network)
        self.method_flags = MethodFlags.from_flags(self.network, args)
        self.summary_dir = Path(args.summary_dir).expanduser() if args.summary_dir else paths.summary_dir()
        self.threads = args.num_threads or determinism.cores()
        determinism.prepare(args.random_seed, self.threads)
        self.arithmetic = Arithmetic(resolve_device(args.device), amp=args.amp, compile=args.compile)
        speeds = {"speed": args.speed, "turn_speed": args.turn_speed}
        self.space = ActionSpace(
            discrete=args.discrete,
            quantity=args.action_quantity,
            bound=args.action_bound,
            stochastic=args.stochastic,
            **{key: value for key, value in speeds.items() if value is not None},
        )
        self.preprocessing = Preprocessing.from_flags(
            nets.spec(self.network).input_size,
            shifted_input=args.shifted_input,
            scaled_input=args.scaled_input,
            scale_means=args.scale_means,
            scale_stds=args.scale_stds,
        )
        given = {key: getattr(args, key) for key in ("dropout", "n_frames")}
        given["batch_norm"] = args.batch_norm or None
        self.net_options = nets.complete_options(
            self.network, **{key: value for key, value in given.items() if value is not None}
        )
        self.make_optimizer = functools.partial(
            make_optimizer,
            args.optimizer,
            learning_rate=args.learning_rate,
            weight_decay=args.weight_decay,
            momentum=args.momentum,
        )
        self.make_optimizer([nn.Parameter(torch.zeros(1))])
        self.schedule = None
        if args.lr_schedule != "constant":
            if not args.lr_decay_every:
                raise UsageError(f"--lr_schedule {args.lr_schedule}: give --lr_decay_every, gradient steps")
            self.schedule = make_schedule(
                args.lr_schedule, args.learning_rate, args.lr_decay, args.lr_decay_every
            )
        self.loss = make_loss(args.loss, self.space)
        self.net = self.build()

    def build(self) -> nn.Module:
        """The network with the weights that training starts from when no checkpoint says others."""
        args = self.args
        net = nets.build(self.network, outputs=self.space.outputs, seed=args.random_seed, **self.net_options)
        if args.pretrained or args.pretrained_weights:
            if args.checkpoint_path:
                raise UsageError(
                    f"--pretrained: --checkpoint_path {args.checkpoint_path} names the weights to start "
                    "from: give one of them"
                )
            file = Path(args.pretrained_weights).expanduser() if args.pretrained_weights else None
            say(f"ImageNet weights from {nets.load_pretrained(net, self.network, file, **self.net_options)}")
        if args.feature_extract:
            nets.freeze_features(net, self.network, **self.net_options)
            drops = any(isinstance(part, (nn.Dropout, nn.LSTM)) and part.training for part in net.modules())
            if args.dropout and not drops:
                raise UsageError(
                    f"--dropout {args.dropout:g}: {self.network} drops within its feature layers, which "
                    "--feature_extract keeps as they are: leave one of them out"
                )
        return net

    def scratch(self) -> Checkpoint:
        """A checkpoint of the weights that nothing has been learned by yet."""
        return Checkpoint(
            network=self.network,
            outputs=self.space.outputs,
            net_options=self.net_options,
            action_space=self.space,
            preprocessing=self.preprocessing,
            model_state_dict=plain_state(self.net),
        )

    def create_scratch(self) -> None:
        """Save fresh weights to the log folder."""
        where = folder.open_folder(self.summary_dir, self.args.log_tag, self.args.owr)
        if folder.can_resume(where):
            raise UsageError(f"{where / MODEL_FILE}: is there already: give --owr, or another --log_tag")
        self.scratch().save(where / MODEL_FILE)
        say(f"fresh {self.network} from seed {self.args.random_seed}: {where / MODEL_FILE}")

    def run(self) -> None:
        """Train, or go on training, to the end."""
        args = self.args
        dataset = load_dataset(args.dataset, args.data_root)
        splits = loading.Splits(dataset)
        start = self.start_weights(splits.facts)
        where = folder.open_folder(self.summary_dir, args.log_tag, args.owr)
        config = {
            "flags": self.flags,
            "dataset": splits.facts,
            "threads": self.threads,
            "device": self.arithmetic.device,
            "versions": checkpoint.versions(),
        }
        resumed: Optional[Checkpoint] = None
        if folder.can_resume(where):
            before = folder.check_config(where, config, self.free)
            resumed = checkpoint.load(where, network=self.network)
            if not args.num_threads:
                self.threads = config["threads"] = before.get("threads", self.threads)
            _warn_of_differences(before, config)
        folder.write_config(where, config)
        (where / folder.RESULTS_FILE).unlink(missing_ok=True)
        determinism.prepare(args.random_seed, self.threads)

        train_samples = self.read("train", splits, args.subsample)
        val_samples = self.read("val", splits)
        for line in loading.warnings(train_samples, self.space, self.preprocessing):
            say(f"warning: {line}")
        trainer = self.trainer(train_samples, val_samples, splits.facts, start)
        if resumed:
            trainer.resume(resumed)
        elif start and (args.continue_training or args.evaluate):
            self.continue_training(trainer, start)
        log = RunLog(where, self.space.class_names(), args.tensorboard, trainer.episode)
        say(
            f"{self.network} ({nets.parameter_count(trainer.net):,} parameters) on {dataset.name}: "
            f"{len(train_samples)} frames to train, {len(val_samples)} to validate; "
            f"{self.arithmetic.device}, {self.threads} threads; log {where}"
        )
        if resumed:
            say(f"going on after {trainer.episode} episodes and {trainer.step} batches")
        try:
            val = None
            if args.evaluate:
                val = trainer.evaluate(val_samples, self.stop.check)
            else:
                self.loop(trainer, log, where)
            # one split at a time: the training set is let go of before the test set is read
            trainer.release()
            del train_samples, val_samples
            self.finish(trainer, log, where, val, self.test(trainer, splits), config)
        finally:
            log.close()

    def start_weights(self, facts: Mapping[str, Any]) -> Optional[Checkpoint]:
        """What --checkpoint_path names; made from the seed when it is a scratch that is not there."""
        args = self.args
        if not args.checkpoint_path:
            return None
        file = checkpoint.locate(args.checkpoint_path, self.summary_dir)
        names = {f"{name}_scratch" for name in (self.network, args.network)}
        if not file.is_file() and Path(args.checkpoint_path).name in names and not args.evaluate:
            made = self.scratch().save(file, replace=False)
            if made:
                say(f"{file}: was not there: made from seed {args.random_seed}")
        start = checkpoint.load(args.checkpoint_path, self.summary_dir, self.network)
        for key, value in self.net_options.items():
            was = start.net_options.get(key, value)
            # dropout has no weights
            if key != "dropout" and was != value:
                raise UsageError(f"{file}: was made with {key} {was}, not {value}: give the same flags")
        checkpoint.check_weights(self.net, start.model_state_dict, f"--checkpoint_path {file}")
        if start.updates:
            for flag, was, now in (
                ("the preprocessing", start.preprocessing.state(), self.preprocessing.state()),
                ("the action space", _bins(start.action_space), _bins(self.space)),
            ):
                if was != now:
                    raise UsageError(f"{file}: was trained with {flag} {was}, not {now}: give the same flags")
            self.check_camera(file, start, facts)
            if args.continue_training and start.optimizer != args.optimizer:
                raise UsageError(
                    f"{file}: was trained with {start.optimizer}, so --continue_training needs "
                    f"--optimizer {start.optimizer}, not {args.optimizer}"
                )
        return start

    def check_camera(self, file: Path, start: Checkpoint, facts: Mapping[str, Any]) -> None:
        """Compare the camera of the dataset with the one that a checkpoint was trained with."""
        was, now = start.dataset.get("camera"), facts["camera"]
        if not was or was == now:
            return
        text = (
            f"{file} was trained with a camera of {was[0]}x{was[1]}, --dataset {self.args.dataset} has one "
            f"of {now[0]}x{now[1]}"
        )
        if self.args.continue_training or self.args.evaluate:
            raise DataError(f"{text}: give a dataset of the same camera")
        say(f"warning: {text}")

    def continue_training(self, trainer: Trainer, start: Checkpoint) -> None:
        """Take over the optimiser state and the counts of a checkpoint that has been trained."""
        if not start.updates:
            return
        if start.episode >= self.args.max_episodes and not self.args.evaluate:
            raise UsageError(
                f"--max_episodes {self.args.max_episodes}: {self.args.checkpoint_path} has been trained for "
                f"{start.episode} episodes already, and all count: give more"
            )
        trainer.continue_from(start)

    def read(self, part: str, splits: loading.Splits, subsample: int = 1) -> Samples:
        """The samples of a split, with progress where packs are made."""
        args = self.args
        return loading.load_samples(
            splits.runs[part],
            self.preprocessing,
            source=args.labels,
            subsample=subsample,
            copy=args.copy_dataset,
            in_memory=args.load_data_in_ram,
            tick=lambda frames: self.stop.check(),
        )

    def trainer(
        self,
        train_samples: Samples,
        val_samples: Samples,
        facts: dict[str, Any],
        start: Optional[Checkpoint],
    ) -> Trainer:
        """The trainer at its beginning."""
        args = self.args
        if start:
            self.net.load_state_dict(start.model_state_dict)
        net = self.arithmetic.place(self.net)
        method = make_method(
            self.method_flags, net, self.arithmetic, self.preprocessing, self.loss, train_samples
        )
        return Trainer(
            network=self.network,
            net=net,
            net_options=self.net_options,
            action_space=self.space,
            preprocessing=self.preprocessing,
            arithmetic=self.arithmetic,
            method=method,
            loss=self.loss,
            optimizer_name=args.optimizer,
            make_optimizer=self.make_optimizer,
            schedule=self.schedule,
            train=train_samples,
            val=val_samples,
            dataset=facts,
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
            timing = _timing(trainer.timing, self.arithmetic.device)
            # the line first: a checkpoint that knows of an episode must not lack its line
            log.append(record, timing)
            say(episode_line(record, timing, self.space.class_names(), args.max_episodes))
            if time.monotonic() - saved >= SAVE_SECONDS or trainer.finished(args.max_episodes):
                trainer.checkpoint().save(model)
                saved = time.monotonic()

    def test(self, trainer: Trainer, splits: loading.Splits) -> Optional[dict[str, Any]]:
        """The scores over the test set; None when there is none."""
        if not splits.runs["test"]:
            say("no test set: results.json goes without")
            return None
        return trainer.evaluate(self.read("test", splits), self.stop.check)

    def finish(
        self,
        trainer: Trainer,
        log: RunLog,
        where: Path,
        val: Optional[dict[str, Any]],
        test: Optional[dict[str, Any]],
        config: dict[str, Any],
    ) -> None:
        """Write results.json and say where."""
        last = log.records[-1] if log.records else {}
        if test:
            log.test(test, trainer.updates)
        results = {
            "network": self.network,
            "parameters": nets.parameter_count(trainer.net),
            "episodes": trainer.episode,
            "updates": trainer.updates,
            "classes": self.space.class_names(),
            "train": last.get("train"),
            "val": val or last.get("val"),
            "test": test,
            "timing": log.mean_timing(),
            "config": config,
        }
        atomic_write(where / folder.RESULTS_FILE, to_json(results))
        for part, values in (("val", val), ("test", test)):
            if values:
                say(
                    f"{part} accuracy {values['accuracy']:.3f} (majority {values['majority_accuracy']:.3f}, "
                    f"balanced {values['balanced_accuracy']:.3f}), imitation loss "
                    f"{values['imitation_loss']:.4f}"
                )
        say(f"results: {where / folder.RESULTS_FILE}")


def _bins(space: ActionSpace) -> dict[str, Any]:
    """What of an action space a network's outputs depend on: all but the speeds."""
    return {key: value for key, value in space.state().items() if "speed" not in key}


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
