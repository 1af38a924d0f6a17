"""The losses and their targets."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch.nn import functional

from nav_pkg.core import UsageError, nearest_name
from nav_pkg.learn.action import LOG_VARIANCE, ActionSpace


class Loss(Protocol):
    """Interface of the loss of a batch."""

    def targets(self, yaw: np.ndarray) -> torch.Tensor:
        """The target outputs for frames with these labels (float64 (batch,), rad/s)."""

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Compute the mean loss over the batch, a scalar, from outputs float32 (batch, outputs)."""

    def per_frame(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The loss of each sample, (batch,); their mean is the loss of the batch."""


class CrossEntropy:
    """Cross entropy between the softmax of the outputs and the bin of the label; discrete only."""

    def __init__(self, action_space: ActionSpace):
        """Raise UsageError for a continuous action space."""
        if not action_space.discrete:
            raise UsageError("--loss CrossEntropy needs classes: add --discrete, or give --loss MSE")
        self._space = action_space

    def targets(self, yaw: np.ndarray) -> torch.Tensor:
        """Bins, int64 (batch,)."""
        return torch.from_numpy(self._space.classes(yaw))

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The mean over the batch."""
        return functional.cross_entropy(outputs, targets)

    def per_frame(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The loss of each sample, (batch,)."""
        return functional.cross_entropy(outputs, targets, reduction="none")


class MSE:
    """Mean squared error between outputs and one-hot bin, or between the value and the clipped label.

    The mean is over the batch and, in a discrete space, over the outputs.
    """

    def __init__(self, action_space: ActionSpace):
        self._space = action_space

    def targets(self, yaw: np.ndarray) -> torch.Tensor:
        """One-hot bins or clipped labels, float32 (batch, outputs)."""
        if self._space.discrete:
            hot = np.eye(self._space.quantity, dtype=np.float32)
            return torch.from_numpy(hot[self._space.classes(yaw)])
        return torch.from_numpy(self._space.clip(yaw).astype(np.float32)[:, None])

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The mean over the batch."""
        return functional.mse_loss(outputs, targets)

    def per_frame(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The loss of each sample, (batch,)."""
        return ((outputs - targets) ** 2).mean(dim=1)


class GaussianNLL:
    """Negative log likelihood of the clipped label under the normal distribution of the outputs.

    The outputs are the mean and the logarithm of the variance (Nix and Weigend 1994; Kendall and Gal 2017,
    eq. 8). The constant ln(2 pi) / 2 is left out.
    """

    def __init__(self, action_space: ActionSpace):
        self._space = action_space

    def targets(self, yaw: np.ndarray) -> torch.Tensor:
        """Clipped labels, float32 (batch,)."""
        return torch.from_numpy(self._space.clip(yaw).astype(np.float32))

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The mean over the batch."""
        return self.per_frame(outputs, targets).mean()

    def per_frame(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The loss of each sample, (batch,)."""
        mean, log_variance = outputs.unbind(1)
        log_variance = log_variance.clamp(-LOG_VARIANCE, LOG_VARIANCE)
        return ((mean - targets) ** 2 * torch.exp(-log_variance) + log_variance) / 2


LOSSES = {"CrossEntropy": CrossEntropy, "MSE": MSE}


def make_loss(name: str, action_space: ActionSpace) -> Loss:
    """The loss for a `--loss`; with `--stochastic` squared errors are weighted by the variance.

    Raises:
        UsageError: the loss is unknown, or not possible in this action space.
    """
    if name not in LOSSES:
        raise UsageError(f"--loss {name!r}: no such loss{nearest_name(name, list(LOSSES))}")
    if action_space.stochastic:
        if name != "MSE":
            raise UsageError(f"--loss {name}: --stochastic has a loss of its own: leave --loss out")
        return GaussianNLL(action_space)
    return LOSSES[name](action_space)
