"""Learning on without forgetting: memory aware synapses, at the plateaus of the loss.

Aljundi et al. 2018, "Memory Aware Synapses" (importance of a weight: how much the squared norm of the
outputs changes with it), and Aljundi et al. 2019, "Task-Free Continual Learning" (importance is taken
when the loss has settled, again only after it has risen meanwhile).
"""

from __future__ import annotations

import collections
from typing import Any, Callable, Deque, Dict, Iterable, List, Optional

import numpy as np
import torch
from torch import nn


class PlateauDetector:
    """Tells when the loss has settled.

    The loss has settled when the mean and the standard deviation of the last `length` losses are both
    below their thresholds. It counts once; again only after the mean was above its threshold meanwhile.

    Args:
        length: losses in the window.
        mean: threshold of their mean.
        deviation: threshold of their standard deviation.
    """

    def __init__(self, length: int, mean: float, deviation: float):
        self._mean, self._deviation = mean, deviation
        self._losses: Deque[float] = collections.deque(maxlen=length)
        self._risen = True

    def settled(self, loss: float) -> bool:
        """Take a loss; whether a plateau begins with it."""
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
        """For a checkpoint."""
        return {"losses": list(self._losses), "risen": self._risen}

    def restore(self, state: Dict[str, Any]) -> None:
        """Take over a `state()`."""
        self._losses.extend(state["losses"])
        self._risen = state["risen"]


class MemoryAwareSynapses:
    """Holds the weights that mattered for what was learned: a penalty on their change.

    Args:
        parameters: that are learned.
        strength: lambda of the penalty, lambda / 2 * sum of importance * (weight - anchor)^2.

    Attributes:
        updates: plateaus at which importance was taken.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], strength: float):
        self._parameters = list(parameters)
        self._strength = strength
        self.updates = 0
        self.importance: List[torch.Tensor] = []
        self._anchor: List[torch.Tensor] = []

    def penalty(self) -> float:
        """The penalty at the present weights."""
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
        """Add the gradient of the penalty, lambda * importance * (weight - anchor), to the parameters'."""
        for p, weight, anchor in zip(self._parameters, self.importance, self._anchor):
            if p.grad is not None:
                p.grad.add_(weight * (p - anchor), alpha=self._strength)

    def take(
        self, outputs: Callable[[Any], torch.Tensor], samples: Iterable[Any], tick: Callable[[], None]
    ) -> None:
        """Take the importance over samples: the mean of |d ||outputs||^2 / d weight|, sample by sample.

        It is averaged with those of earlier plateaus; the present weights become the anchor.

        Args:
            outputs: gives a sample's outputs with their graph.
            samples: at least one.
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
        """For a checkpoint."""
        on_cpu = [[value.cpu() for value in values] for values in (self.importance, self._anchor)]
        return {"importance": on_cpu[0], "anchor": on_cpu[1], "updates": self.updates}

    def restore(self, state: Dict[str, Any]) -> None:
        """Take over a `state()`."""
        device = self._parameters[0].device
        self.importance = [value.to(device) for value in state["importance"]]
        self._anchor = [value.to(device) for value in state["anchor"]]
        self.updates = state["updates"]
