"""The conditions of an evaluation: which checkpoint flies, where, which way round, how late, seeing what."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Sequence

DIRECTIONS = {"forward": ("forward",), "reverse": ("reverse",), "both": ("forward", "reverse")}
"""The directions of travel along the route that a `--directions` means."""


@dataclass(frozen=True)
class Condition:
    """One condition.

    Attributes:
        label: short name of the checkpoint.
        world: world name.
        direction: `forward` or `reverse` along the route.
        control_delay: simulated seconds from an image to its command.
        perturbation: `none` or KIND:STRENGTH.
    """

    label: str
    world: str
    direction: str
    control_delay: float
    perturbation: str

    @property
    def name(self) -> str:
        """All but the checkpoint, as a folder's name."""
        text = self.perturbation.replace(":", "")
        return f"{self.world}_{self.direction}_delay{self.control_delay:g}_{text}"

    @property
    def folder(self) -> str:
        """Its folder within the evaluation's."""
        return f"{self.label}/{self.name}"


def conditions(
    labels: Sequence[str],
    worlds: Sequence[str],
    directions: Sequence[str],
    control_delays: Sequence[float],
    perturbations: Sequence[str],
) -> List[Condition]:
    """All combinations, in a fixed order, each once."""
    found = itertools.product(labels, worlds, directions, control_delays, perturbations)
    return list(dict.fromkeys(Condition(*values) for values in found))


def labels(checkpoints: Sequence[str]) -> Dict[str, str]:
    """A short name for each checkpoint, fit for a folder; different checkpoints never share one.

    A relative path stays as it is with `_` between its parts, of an absolute one the last two parts
    are taken; `my-model` is left out.
    """
    found: Dict[str, str] = {}
    for checkpoint in dict.fromkeys(checkpoints):
        path = Path(checkpoint).expanduser()
        parts = [part for part in path.parts if part not in ("/", ".", "..")]
        if len(parts) > 1 and parts[-1] == "my-model":
            parts.pop()
        parts = parts[-2:] if path.is_absolute() else parts
        text = "_".join(parts).strip(".-") or "checkpoint"
        text = "".join(c if c.isalnum() and c.isascii() or c in "_.+-" else "_" for c in text)
        label, number = text, 2
        while label in found.values():
            label, number = f"{text}_{number}", number + 1
        found[checkpoint] = label
    return found
