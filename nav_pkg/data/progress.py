"""Progress of long commands on stderr: a bar on a terminal, otherwise plain lines at intervals."""

from __future__ import annotations

import sys
import time
from typing import Iterable, Iterator, TypeVar

Item = TypeVar("Item")

EVERY = 10.0
"""Seconds between plain lines."""


def progress(items: Iterable[Item], unit: str) -> Iterator[Item]:
    """Yield the items and show on stderr their count, and the total if known."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(items, unit=f" {unit}")
        return
    total = f" of {len(items)}" if hasattr(items, "__len__") else ""
    printed_at = time.monotonic()
    for done, item in enumerate(items):
        if time.monotonic() - printed_at >= EVERY:
            print(f"{done}{total} {unit}", file=sys.stderr, flush=True)
            printed_at = time.monotonic()
        yield item


def say(text: str) -> None:
    """Print a line on stderr immediately, above a progress bar if there is one."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        tqdm.write(text, file=sys.stderr)
    else:
        print(text, file=sys.stderr, flush=True)


class Bar:
    """Shows on stderr the progress of work of known length; a context manager.

    Args:
        total: number of items to process.
        unit: name of the items, e.g. `images`.

    Attributes:
        unit: name of the items.
    """

    def __init__(self, total: int, unit: str):
        self._total, self.unit = total, unit
        self._done = 0
        self._bar = None
        self._start = self._printed_at = time.monotonic()

    def __enter__(self) -> Bar:
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=self._total, unit=f" {self.unit}")
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def add(self, count: int) -> None:
        """Count `count` more items as done."""
        self._done += count
        if self._bar is not None:
            self._bar.update(count)
            return
        now = time.monotonic()
        if now - self._printed_at >= EVERY:
            self._printed_at = now
            rate = self._done / (now - self._start)
            say(f"{self._done} of {self._total} {self.unit}, {rate:.0f}/s")
