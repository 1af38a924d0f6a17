"""The method of learning that the flags select; checked before any data is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional

from torch import nn

from nav_pkg import nets
from nav_pkg.core import UsageError
from nav_pkg.learn.batches.batch_sampler import (
    BalancedSampler,
    BatchSampler,
    RandomWindowSampler,
    ShuffledSampler,
    SlidingWindowSampler,
    WholeRunSampler,
    WindowSampler,
)
from nav_pkg.learn.batches.preprocess import Preprocessing
from nav_pkg.learn.batches.samples import Samples
from nav_pkg.learn.methods.compute import ComputeSettings
from nav_pkg.learn.methods.losses import Loss
from nav_pkg.learn.methods.method import FrameMethod, Method
from nav_pkg.learn.methods.recurrent import InitState, RecurrentMethod

TIME_LENGTH = 10
"""Default number of frames in a window (`--time_length`)."""


@dataclass(frozen=True)
class MethodFlags:
    """The flags that select a method of learning.

    Attributes:
        batch_size: samples, windows or runs in a batch.
        seed: of the order.
        balanced: equal shares of left, straight and right in training batches.
        n_frames: frames that a network takes at once; 0 for one image, or for a recurrent network.
        recurrent: whether the network keeps a state.
        time_length: frames in a window; -1 for whole runs.
        sliding: use S-TBPTT.
        slide: frames that a window of S-TBPTT moves forward by.
        accumulate: S-TBPTT takes a gradient step only at the end of a slide.
        init_state: initial state of WW-TBPTT's windows.
    """

    batch_size: int
    seed: int
    balanced: bool = False
    n_frames: int = 0
    recurrent: bool = False
    time_length: int = TIME_LENGTH
    sliding: bool = False
    slide: int = 1
    accumulate: bool = False
    init_state: InitState = InitState()

    @staticmethod
    def from_flags(network: str, args: Any) -> MethodFlags:
        """The method that the command line selects.

        Args:
            network: the network's name in the registry.
            args: the values of all flags as attributes.

        Raises:
            UsageError: a flag would have no effect, or flags exclude each other.
        """
        spec = nets.spec(network)
        recurrent = spec.kind == "recurrent"
        if network == "inception_net" and args.batch_size == 1 and not args.feature_extract:
            raise UsageError(
                "--batch_size 1: inception_net normalises over a batch in training: give 2 or more"
            )
        if recurrent:
            _check_recurrent(network, args)
        else:
            for flag in ("time_length", "sliding_tbptt", "sliding_step_size", "init_state", "accum_grads"):
                if getattr(args, flag):
                    raise UsageError(f"--{flag}: {network} keeps no state from frame to frame: leave it out")
        return MethodFlags(
            batch_size=args.batch_size,
            seed=args.random_seed,
            balanced=args.normalized_output,
            n_frames=(args.n_frames or dict(spec.options)["n_frames"]) if spec.kind == "frames" else 0,
            recurrent=recurrent,
            time_length=args.time_length or TIME_LENGTH,
            sliding=args.sliding_tbptt,
            slide=args.sliding_step_size or 1,
            accumulate=args.accum_grads,
            init_state=InitState.from_flag(args.init_state) if args.init_state else InitState(),
        )


def _check_recurrent(network: str, args: Any) -> None:
    if args.normalized_output:
        raise UsageError(f"--normalized_output balances frames, {network} learns sequences: leave it out")
    for flag, verb in (("subsample", "learn from"), ("validation_subsample", "be scored on")):
        if getattr(args, flag) != 1:
            raise UsageError(
                f"--{flag} {getattr(args, flag)}: {network} flies every frame and has to {verb} every frame: "
                "leave it out (long runs fit into memory anyway)"
            )
    if not args.sliding_tbptt:
        for flag in ("sliding_step_size", "accum_grads"):
            if getattr(args, flag):
                raise UsageError(f"--{flag} has no effect without --sliding_tbptt: add it or leave it out")
    if args.sliding_tbptt and args.time_length == -1 and args.sliding_step_size:
        raise UsageError("--sliding_step_size: a window of a whole run does not slide: leave it out")
    if args.init_state and (args.sliding_tbptt or args.time_length == -1):
        reason = (
            "--sliding_tbptt keeps the state between windows"
            if args.sliding_tbptt
            else "whole runs begin with zero"
        )
        raise UsageError(f"--init_state {' '.join(args.init_state)}: {reason}: leave it out")


def make_method(
    flags: MethodFlags,
    net: nn.Module,
    compute: ComputeSettings,
    preprocessing: Preprocessing,
    loss: Loss,
    train: Samples,
) -> Method:
    """Create the method.

    Args:
        flags: select the method.
        net: the network, already placed by `compute`.
        compute: device, precision and memory format of the computation.
        preprocessing: turns images into the network's input.
        loss: the loss to minimise.
        train: the training set.

    Raises:
        UsageError: the training set is too small for the batch or the window, or lacks a class.
    """
    common = (net, compute, preprocessing, loss)
    if not flags.recurrent:
        sampler: BatchSampler
        if flags.balanced:
            sampler = BalancedSampler(train.yaw[train.frames], flags.batch_size, flags.seed)
        else:
            sampler = ShuffledSampler(len(train), flags.batch_size, flags.seed)
        return FrameMethod(*common, sampler, train, flags.n_frames)
    windows: WindowSampler
    init_state: Optional[InitState] = None
    if flags.sliding:
        windows = SlidingWindowSampler(train, flags.batch_size, flags.time_length, flags.slide, flags.seed)
    elif flags.time_length == -1:
        windows = WholeRunSampler(train, flags.batch_size, flags.seed)
    else:
        init_state = flags.init_state
        grid = init_state.kind == "carried"
        windows = RandomWindowSampler(train, flags.batch_size, flags.time_length, flags.seed, grid)
    return RecurrentMethod(
        *common,
        windows,
        train,
        init_state=init_state or InitState("zero", 0),
        slide=flags.slide,
        accumulate=flags.accumulate,
    )
