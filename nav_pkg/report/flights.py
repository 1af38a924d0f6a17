"""Evaluation of recorded flights: agreement with the expert, turns over time."""

from __future__ import annotations

import csv
import io
from typing import Any, Dict, List, Optional, Sequence

import numpy as np

from nav_pkg.data.reader import Run
from nav_pkg.learn.action import ActionSpace
from nav_pkg.learn.methods.metrics import confusion_matrix
from nav_pkg.report import style


def agreement(runs: Sequence[Run], space: ActionSpace, majority: int) -> Optional[Dict[str, Any]]:
    """Compare the network's class with the expert's in flight, frame by frame.

    The measures are those of `nav_pkg.learn.methods.metrics.scores`, on the states of the network's own
    flights, but without a loss, since only commands are recorded in flight.

    Args:
        runs: flights with a learner's commands.
        space: the network's action space.
        majority: the most frequent class of the training set.

    Returns:
        The scores; None if no frame has both commands.
    """
    pairs = [_turns(run) for run in runs]
    expert = np.concatenate([pair[0] for pair in pairs]) if pairs else np.empty(0)
    learner = np.concatenate([pair[1] for pair in pairs]) if pairs else np.empty(0)
    both = np.isfinite(expert) & np.isfinite(learner)
    expert, learner = expert[both], learner[both]
    if not len(expert):
        return None
    true, chosen = space.classes(expert), space.classes(learner)
    confusion = confusion_matrix(true, chosen, space.quantity)
    occurs = confusion.sum(axis=1)
    recall = [float(confusion[i, i] / n) if n else None for i, n in enumerate(occurs)]
    return {
        "frames": len(true),
        "accuracy": float((true == chosen).mean()),
        "balanced_accuracy": float(np.mean([value for value in recall if value is not None])),
        "majority_accuracy": float((true == majority).mean()),
        "recall": recall,
        "imitation_loss": float(np.mean((learner - expert) ** 2)),
        "confusion": confusion.tolist(),
    }


def _turns(run: Run) -> tuple:
    return run.frames.expert_yaw, run.frames.learner_yaw


@style.styled
def turns_figure(
    runs: Sequence[Run], source: str, seconds: float, titles: Sequence[str], last: bool = False
) -> Any:
    """Draw the expert's turn and another turn over time, one strip per run.

    Args:
        runs: at least one.
        source: `learner` or `applied`.
        seconds: duration of the shown part of each run.
        titles: of the strips.
        last: show the end of the run instead of a part from its middle on.
    """
    figure, axes = style.new_figure(9.0, 1.2 + 1.15 * len(runs), nrows=len(runs), squeeze=False)
    colour = style.BLUE if source == "learner" else style.APPLIED
    for strip, run, title in zip(axes[:, 0], runs, titles):
        t, here = _window(run, seconds, last)
        expert, other = run.frames.expert_yaw[here], run.frames[f"{source}_yaw"][here]
        strip.step(t, expert, where="post", color=style.EXPERT, label="expert would", linewidth=1.3)
        strip.step(t, other, where="post", color=colour, label=_WHO[source], linewidth=1.3, alpha=0.9)
        strip.fill_between(
            t, -1.6, 1.6, where=_classes(expert) != _classes(other), step="post", color="#f4dcd0", linewidth=0
        )
        strip.set_ylim(-1.6, 1.6)
        strip.set_xlim(t[0], t[-1] + 1e-9 if len(t) > 1 else t[0] + 1)
        strip.set_yticks([-1, 0, 1])
        strip.set_ylabel("turn [rad/s]", fontsize=8.5)
        strip.set_title(title, fontsize=9, loc="left")
    axes[-1, 0].set_xlabel("time in the run [s]")
    axes[0, 0].legend(loc="lower right", bbox_to_anchor=(1.0, 0.98), ncol=2, borderaxespad=0.1)
    return figure


_WHO = {"learner": "network", "applied": "executed"}


def _classes(yaw: np.ndarray) -> np.ndarray:
    """The classes of three bins: right, straight, left as -1, 0, 1."""
    return np.where(yaw > 0.5, 1, np.where(yaw <= -0.5, -1, 0))


def _window(run: Run, seconds: float, last: bool) -> tuple:
    t = run.frames.stamp / 1e9
    end = t[-1] if last else min(t[-1], t[len(t) // 2] + seconds)
    here = (t >= end - seconds) & (t <= end)
    return t[here], here


def turns_csv(runs: Sequence[Run], seconds: float, last: bool = False) -> str:
    """The data of the strips as CSV: run, time, the three turns, nearest obstacle, progress."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["run", "seconds", "expert_yaw", "learner_yaw", "applied_yaw", "nearest", "progress"])
    for run in runs:
        t, here = _window(run, seconds, last)
        names = ("expert_yaw", "learner_yaw", "applied_yaw", "nearest", "progress")
        columns = [run.frames[name][here] for name in names]
        for row in zip(t, *columns):
            writer.writerow(
                [run.name, f"{row[0]:.1f}", *("" if np.isnan(v) else f"{v:.4f}" for v in row[1:])]
            )
    return out.getvalue()


def last_indices(run: Run, count: int, seconds: float) -> List[int]:
    """Indices of frames evenly spread over a run's last seconds, including the last frame."""
    stamps = run.frames.stamp
    first = int(np.searchsorted(stamps, stamps[-1] - round(seconds * 1e9)))
    return sorted({round(i) for i in np.linspace(first, len(run) - 1, count)})
