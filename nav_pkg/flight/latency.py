"""Latency of a learner's answers in wall time; kept separate from results that a seed determines."""

from __future__ import annotations

from typing import Any, Dict, List

import numpy as np

from nav_pkg.core import CONTROL_PERIOD_NS

DEADLINE = 0.5e-9 * CONTROL_PERIOD_NS
"""Limit on the time of an answer, wall seconds: a free-running flight waits this long for one."""


class Latencies:
    """The times from image to command of one run, wall seconds."""

    def __init__(self) -> None:
        self._seconds: List[float] = []

    def clear(self) -> None:
        """Reset at the beginning of a run."""
        self._seconds = []

    def add(self, seconds: float) -> None:
        """Add the time of an answer."""
        self._seconds.append(float(seconds))

    def statistics(self) -> Dict[str, Any]:
        """Statistics for the run log; empty without answers.

        `inference_p50` and `inference_p99` are percentiles in seconds. `deadline_misses` counts the
        answers that took longer than DEADLINE (in lock-step, simulated time waits for them; on a
        robot they would have been too late).
        """
        seconds = np.array(self._seconds)
        if not len(seconds):
            return {}
        low, high = np.percentile(seconds, [50, 99])
        return {
            "inference_frames": len(seconds),
            "inference_p50": round(float(low), 6),
            "inference_p99": round(float(high), 6),
            "deadline_misses": int((seconds > DEADLINE).sum()),
        }
