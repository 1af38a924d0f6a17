"""Scores of a network's outputs for frames with known labels."""

from __future__ import annotations

from typing import Any

import numpy as np

from nav_pkg.learn.action import ActionSpace


def confusion_matrix(true: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Count frames by true class (rows) and predicted class (columns): int64 (classes, classes)."""
    return np.bincount(true * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def scores(
    action_space: ActionSpace, outputs: np.ndarray, yaw: np.ndarray, loss: float, majority_class: int
) -> dict[str, Any]:
    """Compute the scores of a network's outputs.

    Args:
        action_space: meaning of the outputs.
        outputs: floating (frames, outputs), finite.
        yaw: float64 (frames,), the expert's yaw rates, rad/s, not clipped.
        loss: mean loss over the frames.
        majority_class: the most frequent class of the training set.

    Returns:
        Plain values:
            frames: number of frames.
            loss: the mean loss given by the caller.
            imitation_loss: mean squared difference between the yaw rate that the network would fly
                and the expert's, (rad/s)^2; flights are compared by this measure.
            accuracy: share of frames in the right bin.
            balanced_accuracy: mean recall of the classes that occur.
            majority_accuracy: the accuracy of always predicting `majority_class`.
            recall: per class, in order; None for a class that does not occur.
            confusion: rows true, columns predicted, frames.
    """
    predicted_yaw = action_space.yaw(outputs)
    true, predicted = action_space.classes(yaw), action_space.classes(predicted_yaw)
    confusion = confusion_matrix(true, predicted, action_space.quantity)
    frames = len(yaw)
    occurs = confusion.sum(axis=1)
    recall = [float(confusion[i, i] / n) if n else None for i, n in enumerate(occurs)]
    present = [value for value in recall if value is not None]
    return {
        "frames": frames,
        "loss": float(loss),
        "imitation_loss": float(np.mean((predicted_yaw - yaw) ** 2)),
        "accuracy": float(np.trace(confusion) / frames),
        "balanced_accuracy": float(np.mean(present)),
        "majority_accuracy": float(np.mean(true == majority_class)),
        "recall": recall,
        "confusion": confusion.tolist(),
    }


def majority_class(action_space: ActionSpace, yaw: np.ndarray) -> int:
    """The most frequent class among labels (float64 (frames,), rad/s); the lowest of equals."""
    return int(np.bincount(action_space.classes(yaw), minlength=action_space.quantity).argmax())
