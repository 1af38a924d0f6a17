"""The conditions of an evaluation: checkpoint, world, direction, control delay and perturbation."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Sequence

DIRECTIONS = {"forward": ("forward",), "reverse": ("reverse",), "both": ("forward", "reverse")}
"""The directions of travel along the route for each value of `--directions`."""


@dataclass(frozen=True)
class Condition:
    """One condition of an evaluation.

    Attributes:
        label: short name of the checkpoint.
        world: world name.
        direction: `forward` or `reverse` along the route.
        control_delay: simulated seconds from an image to the execution of its command.
        perturbation: `none` or KIND:STRENGTH.
    """

    label: str
    world: str
    direction: str
    control_delay: float
    perturbation: str

    @property
    def name(self) -> str:
        """Folder name of the condition, without the checkpoint."""
        text = self.perturbation.replace(":", "")
        return f"{self.world}_{self.direction}_delay{self.control_delay:g}_{text}"

    @property
    def folder(self) -> str:
        """The condition's folder within the evaluation's folder."""
        return f"{self.label}/{self.name}"


def conditions(
    labels: Sequence[str],
    worlds: Sequence[str],
    directions: Sequence[str],
    control_delays: Sequence[float],
    perturbations: Sequence[str],
) -> List[Condition]:
    """All combinations without duplicates, in a fixed order."""
    combinations = itertools.product(labels, worlds, directions, control_delays, perturbations)
    return list(dict.fromkeys(Condition(*values) for values in combinations))


def labels(checkpoints: Sequence[str]) -> Dict[str, str]:
    """Create a short label for each checkpoint, valid as a folder name; no two checkpoints share one.

    The label of a relative path is its parts joined with `_`, that of an absolute path its last two parts.
    `my-model` is left out.
    """
    by_checkpoint: Dict[str, str] = {}
    for checkpoint in dict.fromkeys(checkpoints):
        path = Path(checkpoint).expanduser()
        parts = [part for part in path.parts if part not in ("/", ".", "..")]
        if len(parts) > 1 and parts[-1] == "my-model":
            parts.pop()
        parts = parts[-2:] if path.is_absolute() else parts
        text = "_".join(parts).strip(".-") or "checkpoint"
        text = "".join(c if c.isalnum() and c.isascii() or c in "_.+-" else "_" for c in text)
        label, number = text, 2
        while label in by_checkpoint.values():
            label, number = f"{text}_{number}", number + 1
        by_checkpoint[checkpoint] = label
    return by_checkpoint
