"""Optimisers of torch.optim by name, and learning rate schedules; checked before any computation."""

from __future__ import annotations

import contextlib
import inspect
import math
from typing import Any, Callable, Dict, Iterable, Optional, Sequence

import torch

from nav_pkg.core import UsageError, nearest_name

_EXCLUDED = ("Optimizer", "LBFGS", "SparseAdam", "Muon")
"""Unsupported: several gradient steps per batch (LBFGS), sparse gradients, or matrices only (Muon)."""

_FUSED = ("SGD", "Adam", "AdamW")
"""One pass over the memory instead of one per operation: Adam is 1.5 times as fast on two cores."""

LRSchedule = Callable[[int], float]
"""Learning rate as a function of the number of completed gradient steps."""

LR_SCHEDULES = ("constant", "step", "exponential", "cosine")


def make_lr_schedule(name: str, learning_rate: float, factor: float, every: int) -> LRSchedule:
    """The schedule for a `--lr_schedule`, a pure function of the number of gradient steps.

    Args:
        name: `constant`; `step`: multiplied by `factor` after each `every` steps; `exponential`: the same
            decay, spread evenly over the steps; `cosine`: half a cosine from the rate to `factor` times the
            rate at step `every`, constant afterwards (Loshchilov and Hutter 2017, without restarts).
        learning_rate: initial rate.
        factor: of the decay.
        every: number of gradient steps.

    Raises:
        UsageError: the schedule is unknown, or needs `every` and does not have it.
    """
    if name in LR_SCHEDULES and name != "constant" and not every:
        raise UsageError(f"--lr_schedule {name}: give --lr_decay_every, gradient steps")
    schedules: dict[str, LRSchedule] = {
        "constant": lambda step: learning_rate,
        "step": lambda step: learning_rate * factor ** (step // every),
        "exponential": lambda step: learning_rate * factor ** (step / every),
        "cosine": lambda step: (
            learning_rate * (factor + (1 - factor) * (1 + math.cos(math.pi * min(step / every, 1))) / 2)
        ),
    }
    if name not in schedules:
        raise UsageError(f"--lr_schedule {name!r}: no such schedule{nearest_name(name, list(LR_SCHEDULES))}")
    return schedules[name]


def optimizer_names() -> list[str]:
    """The valid names for `--optimizer`, sorted."""
    classes = inspect.getmembers(torch.optim, inspect.isclass)
    return sorted(
        name for name, kind in classes if issubclass(kind, torch.optim.Optimizer) and name not in _EXCLUDED
    )


def make_optimizer(
    name: str,
    parameters: Iterable[torch.nn.Parameter],
    learning_rate: float,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
) -> torch.optim.Optimizer:
    """Create the optimiser for an `--optimizer`.

    Raises:
        UsageError: the name is unknown, the rate is invalid, or this optimiser lacks an option.
    """
    known = optimizer_names()
    if name not in known:
        raise UsageError(f"--optimizer {name!r}: not in torch.optim{nearest_name(name, known)}")
    if not (math.isfinite(learning_rate) and learning_rate > 0):
        raise UsageError(f"--learning_rate {learning_rate}: must be above 0 and finite")
    kind = getattr(torch.optim, name)
    takes = inspect.signature(kind).parameters
    options = {"lr": learning_rate}
    for option, value in (("weight_decay", weight_decay), ("momentum", momentum)):
        if not (math.isfinite(value) and value >= 0):
            raise UsageError(f"--{option} {value}: must be 0 or more and finite")
        if option in takes:
            options[option] = value  # also 0: AdamW's own default is not 0
        elif value:
            raise UsageError(f"--{option}: {name} has no {option}; leave it out or use another --optimizer")
    parameters = list(parameters)
    if name in _FUSED and "fused" in takes:
        with contextlib.suppress(RuntimeError):  # some devices in some versions of torch do not support it
            return kind(parameters, fused=True, **options)
    try:
        return kind(parameters, **options)
    except (ValueError, RuntimeError) as error:
        raise UsageError(f"--optimizer {name}: {str(error).splitlines()[0]}: use another") from error


def optimizer_step(
    optimizer: torch.optim.Optimizer,
    parameters: Sequence[torch.nn.Parameter],
    clip: float = 0.0,
    learning_rate: Optional[float] = None,
) -> None:
    """Take a gradient step.

    Args:
        optimizer: optimiser of the parameters.
        parameters: parameters whose gradients are clipped.
        clip: largest norm of the gradient; 0 for no limit.
        learning_rate: of this step; None for the optimiser's own.
    """
    if clip:
        torch.nn.utils.clip_grad_norm_(parameters, clip)
    if learning_rate is not None:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate
    optimizer.step()


def restore_optimizer(optimizer: torch.optim.Optimizer, state: Dict[str, Any]) -> None:
    """Load an optimiser's state, but keep the optimiser's own options (rate, momentum ...)."""
    own = [
        {key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups
    ]
    optimizer.load_state_dict(state)
    for group, options in zip(optimizer.param_groups, own):
        group.update(options)
