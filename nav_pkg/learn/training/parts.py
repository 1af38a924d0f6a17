"""The parts of a training, built from its settings: network, method, loss, optimiser, initial weights."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, Mapping, Optional

import torch
from torch import nn

from nav_pkg import nets
from nav_pkg.config import paths
from nav_pkg.config.learner import LearnerConfig
from nav_pkg.core import DataError, UsageError
from nav_pkg.learn.action import ActionSpace
from nav_pkg.learn.batches.preprocess import Preprocessing
from nav_pkg.learn.checkpoints import checkpoint
from nav_pkg.learn.checkpoints.checkpoint import Checkpoint
from nav_pkg.learn.deployment.pilot import resolve_device
from nav_pkg.learn.methods.compute import ComputeSettings
from nav_pkg.learn.methods.losses import make_loss
from nav_pkg.learn.methods.method_flags import MethodFlags
from nav_pkg.learn.methods.optimizers import make_lr_schedule, make_optimizer
from nav_pkg.learn.training import determinism, folder
from nav_pkg.learn.training.log import say
from nav_pkg.learn.training.trainer import plain_state

FLIGHT = "flight"
"""Name of a flight in place of a dataset's name, in the facts of what is learned from."""


class TrainingParts:
    """The parts of a training, built before any data is read or a log folder is touched.

    Args:
        config: the settings of main.py.
        where: the log folder, already open and emptied if that was requested; None for the folder that the
            flags name, which is not open yet.

    Raises:
        UsageError: flags exclude each other or would have no effect.
        DataError: requested ImageNet weights are missing.
    """

    def __init__(self, config: LearnerConfig, where: Optional[Path] = None):
        self.config = args = config
        # reject bad settings before any data is read or a log folder is touched
        self.network = nets.canonical(args.network)
        self.method_flags = MethodFlags.from_flags(self.network, args)
        # absolute: a resumed training uses a log folder in it as its --checkpoint_path
        chosen = Path(args.summary_dir).expanduser() if args.summary_dir else paths.summary_dir()
        self.summary_dir = chosen.absolute()
        self.threads = args.num_threads or determinism.cores()
        determinism.prepare(args.random_seed, self.threads)
        self.compute = ComputeSettings(resolve_device(args.device), amp=args.amp, compile=args.compile)
        speeds = {"speed": args.speed, "turn_speed": args.turn_speed}
        self.action_space = ActionSpace(
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
        self.lr_schedule = make_lr_schedule(
            args.lr_schedule, args.learning_rate, args.lr_decay, args.lr_decay_every
        )
        if args.compile and self.method_flags.recurrent:
            raise UsageError(
                f"--compile: not for {self.network}, whose sequences differ in length: leave it out"
            )
        # a resumed training has its weights in my-model; the checkpoint that it started from may be deleted
        if where is None:
            where = folder.resumable_folder(self.summary_dir, args.log_tag, args.owr)
        self.resumes = where is not None and folder.can_resume(where)
        self.criterion = make_loss(args.loss, self.action_space)
        self.net = self.build()

    def build(self) -> nn.Module:
        """Build the network with the initial weights that training uses without a checkpoint."""
        args = self.config
        net = nets.build(
            self.network, outputs=self.action_space.outputs, seed=args.random_seed, **self.net_options
        )
        if args.checkpoint_path and (args.pretrained or args.pretrained_weights):
            raise UsageError(
                f"--pretrained: --checkpoint_path {args.checkpoint_path} names the weights to start "
                "from: give one of them"
            )
        if (args.pretrained or args.pretrained_weights) and not self.resumes:
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

    def untrained_checkpoint(self) -> Checkpoint:
        """Create a checkpoint of the untrained weights."""
        return Checkpoint(
            network=self.network,
            outputs=self.action_space.outputs,
            net_options=self.net_options,
            action_space=self.action_space,
            preprocessing=self.preprocessing,
            model_state_dict=plain_state(self.net),
        )

    def start_weights(self, facts: Mapping[str, Any], write: bool = True) -> Optional[Checkpoint]:
        """Load the checkpoint at --checkpoint_path; create a missing scratch checkpoint from the seed.

        Args:
            facts: facts of the dataset, or of the flight (its name is `FLIGHT`), to learn from.
            write: whether to write a missing scratch checkpoint; if not, return None for it.

        Raises:
            UsageError: the checkpoint was created or trained with other flags.
            DataError: the checkpoint is missing, damaged or of another network, or its training cannot
                continue with images of this camera.
        """
        args = self.config
        if not args.checkpoint_path:
            return None
        file = checkpoint.locate(args.checkpoint_path, self.summary_dir)
        names = {f"{name}_scratch" for name in (self.network, args.network)}
        if not file.is_file() and Path(args.checkpoint_path).name in names and not args.evaluate:
            if not write:
                return None
            written = self.untrained_checkpoint().save(file, replace=False)
            if written:
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
                ("the action space", bins(start.action_space), bins(self.action_space)),
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
        """Compare the camera of the dataset or flight with the camera that a checkpoint was trained with."""
        was, now = start.dataset.get("camera"), facts["camera"]
        if not was or was == now:
            return
        subject, cure = f"--dataset {self.config.dataset}", "give a dataset of the same camera"
        if facts["name"] == FLIGHT:
            subject, cure = "this flight", f"give --width {was[0]} --height {was[1]}"
        text = (
            f"{file} was trained with a camera of {was[0]}x{was[1]}, {subject} has one of {now[0]}x{now[1]}"
        )
        if self.config.continue_training or self.config.evaluate:
            raise DataError(f"{text}: {cure}")
        say(f"warning: {text}")


def bins(space: ActionSpace) -> dict[str, Any]:
    """The part of an action space that a network's outputs depend on: all but the speeds."""
    return {key: value for key, value in space.state().items() if "speed" not in key}
