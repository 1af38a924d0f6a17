"""How long a learner took to answer: what the wall clock says, apart from what a seed decides."""

from __future__ import annotations

from typing import Any, Dict, List

import numpy as np

from nav_pkg.core import CONTROL_PERIOD_NS

DEADLINE = 0.5e-9 * CONTROL_PERIOD_NS
"""Wall seconds within which an answer has to come: what a free-running flight waits for one."""


class Latencies:
    """The times from image to command of one run, wall seconds."""

    def __init__(self) -> None:
        self._seconds: List[float] = []

    def clear(self) -> None:
        """A run begins."""
        self._seconds = []

    def add(self, seconds: float) -> None:
        """An image was answered."""
        self._seconds.append(float(seconds))

    def facts(self) -> Dict[str, Any]:
        """For the run log; empty when nothing was answered.

        `inference_p50` and `inference_p99` are percentiles in seconds, `deadline_misses` counts the
        answers that took longer than DEADLINE (in lock-step simulated time waits for them; on a
        robot they would have come too late).
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
