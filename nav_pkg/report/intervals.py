"""Bootstrap intervals over seeds: where the mean over many more seeds may lie.

The unit of resampling is the seed (or the pair of runs): frames of one training are not independent.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple, Sequence

import numpy as np

from nav_pkg.core import UsageError

RESAMPLES = 10_000
EXACT = 6
"""Up to this many values every resample is formed (6^6 = 46,656), so that nothing is random."""


class Interval(NamedTuple):
    """A mean and its interval; low and high are the mean where there is one value alone."""

    mean: float
    low: float
    high: float
    values: int


def bootstrap_mean(values: Sequence[float], confidence: float = 0.95, seed: int = 0) -> Interval:
    """The mean of values and its percentile bootstrap interval.

    B. Efron, "Bootstrap Methods: Another Look at the Jackknife", Annals of Statistics 7 (1979). For a paired
    comparison give the differences. Three seeds tell little: the interval is never wider than the values
    lie apart.

    Args:
        values: one for each seed or pair.
        confidence: in (0, 1).
        seed: of the resamples, where there are more than `EXACT` values.

    Raises:
        UsageError: no value.
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
