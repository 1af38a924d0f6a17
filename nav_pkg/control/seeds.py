"""Random streams that do not disturb each other.

Every use of chance draws from its own named stream, so that adding one (noise, say) never shifts
the draws of another (start poses, mixing). A stream is found from the seed and its words alone.
"""

from __future__ import annotations

import hashlib
import operator
from typing import Union

import numpy as np

from nav_pkg.core import UsageError

Word = Union[str, int]


def _number(value: int, what: str) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise UsageError(f"{what} must be a whole number, not {value!r}") from None
    if number < 0:
        raise UsageError(f"{what} must not be negative, not {number}")
    return number


def _words(stream: tuple) -> list[int]:
    """Eight 32-bit words that stand for the names of a stream.

    SHA-256 rather than Python's `hash`, which differs between processes. Each name is written with
    its type and length, so that ('a', 'b') and ('ab',), or 1 and '1', are different streams.
    """
    digest = hashlib.sha256()
    for word in stream:
        if isinstance(word, str):
            data = word.encode()
            kind = "s"
        else:
            try:
                data = str(operator.index(word)).encode()
            except TypeError:
                raise UsageError(f"a stream is named by words and numbers, not {word!r}") from None
            kind = "i"
        digest.update(f"{kind}{len(data)}:".encode() + data)
    return [int(word) for word in np.frombuffer(digest.digest(), dtype="<u4")]


def generator(seed: int, *stream: Word) -> np.random.Generator:
    """The generator of a named stream.

    Args:
        seed: not negative.
        stream: names of the stream, words or numbers; ('start', 3) is another stream than ('start', 4).

    Returns:
        A fresh PCG64 generator, seeded through numpy's SeedSequence; the same on every platform.

    Raises:
        UsageError: the seed is negative or not a whole number, or a name is neither word nor number.
    """
    return np.random.Generator(np.random.PCG64(_sequence(seed, stream)))


def run_seed(seed: int, run: int) -> int:
    """The seed of one run, 32 bits: far apart for neighbouring seeds and runs.

    Raises:
        UsageError: a number is negative or not whole.
    """
    return int(_sequence(seed, ("run", _number(run, "the run number"))).generate_state(1)[0])


def _sequence(seed: int, stream: tuple) -> np.random.SeedSequence:
    return np.random.SeedSequence([_number(seed, "the seed"), *_words(stream)])
