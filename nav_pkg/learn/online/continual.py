"""Continual learning without forgetting: memory aware synapses at the plateaus of the loss.

Aljundi et al. 2018, "Memory Aware Synapses": the importance of a weight is how much the squared norm of the
outputs changes with it. Aljundi et al. 2019, "Task-Free Continual Learning": the importance is computed when
the loss has settled, and again only after the loss has risen in between.
"""

from __future__ import annotations

import collections
from typing import Any, Callable, Deque, Dict, Iterable, List, Optional

import numpy as np
import torch
from torch import nn


class PlateauDetector:
    """Detects when the loss has settled.

    The loss has settled when the mean and the standard deviation of the last `length` losses are both
    below their thresholds. A plateau counts once. The next one counts only after the mean was above its
    threshold.

    Args:
        length: losses in the window.
        mean: threshold of their mean.
        deviation: threshold of their standard deviation.
    """

    def __init__(self, length: int, mean: float, deviation: float):
        self._mean, self._deviation = mean, deviation
        self._losses: Deque[float] = collections.deque(maxlen=length)
        self._risen = True

    def plateau_begins(self, loss: float) -> bool:
        """Add a loss; return whether a plateau begins with it."""
        self._losses.append(loss)
        if len(self._losses) < (self._losses.maxlen or 0):
            return False
        mean = float(np.mean(self._losses))
        if mean >= self._mean:
            self._risen = True
        elif self._risen and float(np.std(self._losses)) < self._deviation:
            self._risen = False
            return True
        return False

    def state(self) -> Dict[str, Any]:
        """Return the state for a checkpoint."""
        return {"losses": list(self._losses), "risen": self._risen}

    def restore(self, state: Dict[str, Any]) -> None:
        """Restore a `state()`."""
        self._losses.extend(state["losses"])
        self._risen = state["risen"]


class MemoryAwareSynapses:
    """Penalises changes of weights that were important for earlier training.

    Args:
        parameters: the trainable parameters.
        strength: lambda of the penalty, lambda / 2 * sum of importance * (weight - anchor)^2.

    Attributes:
        updates: number of plateaus at which the importance was computed.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], strength: float):
        self._parameters = list(parameters)
        self._strength = strength
        self.updates = 0
        self.importance: List[torch.Tensor] = []
        self._anchor: List[torch.Tensor] = []

    def penalty(self) -> float:
        """The penalty at the current weights."""
        return (
            self._strength
            / 2
            * sum(
                float((weight * (p.detach() - anchor) ** 2).sum())
                for p, weight, anchor in zip(self._parameters, self.importance, self._anchor)
            )
        )

    @torch.no_grad()
    def add_gradients(self) -> None:
        """Add the gradient of the penalty, lambda * importance * (weight - anchor), to the gradients."""
        for p, weight, anchor in zip(self._parameters, self.importance, self._anchor):
            if p.grad is not None:
                p.grad.add_(weight * (p - anchor), alpha=self._strength)

    def update_importance(
        self, outputs: Callable[[Any], torch.Tensor], samples: Iterable[Any], tick: Callable[[], None]
    ) -> None:
        """Compute the importance over samples: the mean of |d ||outputs||^2 / d weight|, sample by sample.

        It is averaged with those of earlier plateaus. The current weights become the anchor.

        Args:
            outputs: computes a sample's outputs with their graph.
            samples: the samples; without any, nothing changes.
            tick: called between samples; may raise, and nothing is changed then.
        """
        sums: Optional[List[torch.Tensor]] = None
        count = 0
        for sample in samples:
            tick()
            gradients = torch.autograd.grad(outputs(sample).pow(2).sum(), self._parameters, allow_unused=True)
            sizes = [
                torch.zeros_like(p) if g is None else g.abs() for p, g in zip(self._parameters, gradients)
            ]
            sums = sizes if sums is None else [total.add_(size) for total, size in zip(sums, sizes)]
            count += 1
        if sums is None:
            return
        fresh = [total / count for total in sums]
        if self.updates:
            share = 1 / (self.updates + 1)
            fresh = [(1 - share) * old + share * new for old, new in zip(self.importance, fresh)]
        self.importance = fresh
        self._anchor = [p.detach().clone() for p in self._parameters]
        self.updates += 1

    def state(self) -> Dict[str, Any]:
        """Return the state for a checkpoint."""
        on_cpu = [[value.cpu() for value in values] for values in (self.importance, self._anchor)]
        return {"importance": on_cpu[0], "anchor": on_cpu[1], "updates": self.updates}

    def restore(self, state: Dict[str, Any]) -> None:
        """Restore a `state()`."""
        device = self._parameters[0].device
        self.importance = [value.to(device) for value in state["importance"]]
        self._anchor = [value.to(device) for value in state["anchor"]]
        self.updates = state["updates"]
