"""Optimisers of torch.optim by name, checked before anything is computed."""

from __future__ import annotations

import inspect
import math
from typing import Iterable

import torch

from nav_pkg.core import UsageError, nearest_name

_EXCLUDED = ("Optimizer", "LBFGS", "SparseAdam")
"""Not one gradient step a batch (LBFGS), or not for dense gradients."""


def optimizer_names() -> list[str]:
    """The names that `--optimizer` takes, sorted."""
    found = inspect.getmembers(torch.optim, inspect.isclass)
    return sorted(
        name for name, kind in found if issubclass(kind, torch.optim.Optimizer) and name not in _EXCLUDED
    )


def make_optimizer(
    name: str,
    parameters: Iterable[torch.nn.Parameter],
    learning_rate: float,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
) -> torch.optim.Optimizer:
    """The optimiser of an `--optimizer`.

    Raises:
        UsageError: unknown name, a rate that can't be, or an option that this optimiser lacks.
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
            options[option] = value  # also when 0: AdamW's own default is not
        elif value:
            raise UsageError(f"--{option}: {name} has no {option}; leave it out or use another --optimizer")
    return kind(parameters, **options)
