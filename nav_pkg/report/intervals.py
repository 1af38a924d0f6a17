"""Bootstrap intervals over seeds: the likely range of the mean over many more seeds.

The unit of resampling is the seed (or the pair of runs), because frames of one training are not independent.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple, Sequence

import numpy as np

from nav_pkg.core import UsageError

RESAMPLES = 10_000
EXACT = 6
"""Up to this many values, every resample is enumerated (6^6 = 46,656) and nothing is random."""


class Interval(NamedTuple):
    """A mean and its interval; for a single value, low and high equal the mean."""

    mean: float
    low: float
    high: float
    values: int


def bootstrap_mean(values: Sequence[float], confidence: float = 0.95, seed: int = 0) -> Interval:
    """Compute the mean of values and its percentile bootstrap interval.

    B. Efron, "Bootstrap Methods: Another Look at the Jackknife", Annals of Statistics 7 (1979). For a paired
    comparison, pass the differences. With three seeds the interval is not reliable: it never exceeds the
    range of the values.

    Args:
        values: one per seed or pair.
        confidence: in (0, 1).
        seed: of the resamples, for more than `EXACT` values.

    Raises:
        UsageError: no value given.
    """
    given = np.asarray(values, np.float64)
    if not len(given):
        raise UsageError("no values to take a mean of")
    n = len(given)
    if n <= EXACT:
        chosen = np.array(list(itertools.product(range(n), repeat=n)))
    else:
        chosen = np.random.default_rng(seed).integers(0, n, (RESAMPLES, n))
    means = given[chosen].mean(axis=1)
    tail = 50 * (1 - confidence)
    low, high = np.percentile(means, [tail, 100 - tail])
    return Interval(float(given.mean()), float(low), float(high), n)
