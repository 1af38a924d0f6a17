"""Independent random streams.

Every use of randomness draws from its own named stream: adding one (noise, say) never changes the draws of
another (start poses, mixing). A stream depends only on the seed and its names.
"""

from __future__ import annotations

import hashlib
import operator
from typing import Union

import numpy as np

from nav_pkg.core import UsageError

Word = Union[str, int]


def _number(value: int, subject: str) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise UsageError(f"{subject} must be a whole number, not {value!r}") from None
    if number < 0:
        raise UsageError(f"{subject} must not be negative, not {number}")
    return number


def _hash(stream: tuple) -> list[int]:
    """Hash the names of a stream to eight 32-bit words.

    The hash is SHA-256, because Python's `hash` differs between processes. Each name is hashed with its type
    and length: ('a', 'b') and ('ab',), or 1 and '1', are different streams.
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
    """Create the generator of a named stream.

    Args:
        seed: not negative.
        stream: names of the stream, words or numbers; ('start', 3) and ('start', 4) are different streams.

    Returns:
        A new PCG64 generator, seeded through numpy's SeedSequence; the same on every platform.

    Raises:
        UsageError: the seed is negative or not an integer, or a name is neither a word nor an integer.
    """
    return np.random.Generator(np.random.PCG64(_sequence(seed, stream)))


def run_seed(seed: int, run: int) -> int:
    """The seed of one run, 32 bits; neighbouring seeds and runs give unrelated values.

    Raises:
        UsageError: a number is negative or not an integer.
    """
    return int(_sequence(seed, ("run", _number(run, "the run number"))).generate_state(1)[0])


def _sequence(seed: int, stream: tuple) -> np.random.SeedSequence:
    return np.random.SeedSequence([_number(seed, "the seed"), *_hash(stream)])
