"""How far a long job is: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Iterable, Iterator, TypeVar

Item = TypeVar("Item")

EVERY = 10.0
"""Seconds between plain lines."""


def progress(items: Iterable[Item], unit: str) -> Iterator[Item]:
    """Pass items on and show on stderr how many there were, of how many when that is known."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(items, unit=f" {unit}")
        return
    total = f" of {len(items)}" if hasattr(items, "__len__") else ""
    told = time.monotonic()
    for done, item in enumerate(items):
        if time.monotonic() - told >= EVERY:
            print(f"{done}{total} {unit}", file=sys.stderr, flush=True)
            told = time.monotonic()
        yield item
