"""Smaller datasets out of a dataset: nested, split as it is, made of links, and each whole or not there.

The training runs stand in an order that a seed fixes; every subset takes frames from its front. So a
smaller subset's frames are all in a larger one. Runs for validation and test are the dataset's own.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from itertools import accumulate
from pathlib import Path
from typing import Any, Callable, Iterable, NamedTuple, Optional, Sequence

from nav_pkg.core import DataError, UsageError
from nav_pkg.data import files
from nav_pkg.data import format as fmt
from nav_pkg.data.cut import cut_run
from nav_pkg.data.folders import lock_partial, refuse_writers
from nav_pkg.data.info import order_key
from nav_pkg.data.reader import Dataset, Run
from nav_pkg.data.verify import read_sums

SIZES = (100_000, 50_000, 20_000, 10_000, 5_000, 1_000, 500)
"""Frames to train on of the subsets that are made when nobody says."""

NEAR = 10
"""Whole runs are taken when their frames differ from what was asked for by at most a tenth of it."""

_PLAN = "plan.json"


def subset_name(name: str, frames: int) -> str:
    """The name of a subset: `esatv3_10K`, `esatv3_2500`."""
    return f"{name}_{frames // 1000}K" if frames % 1000 == 0 else f"{name}_{frames}"


def choose(lengths: Sequence[int], frames: int) -> list[int]:
    """How many frames to take of each run.

    Whole runs where possible: as many as come nearest to what is asked for, when that is near
    enough. Else all whole runs that fit, and the first frames of the next. More frames asked for
    never give less of any run, so subsets are nested.

    Args:
        lengths: frames of each run, in order.
        frames: asked for, at least 1 and at most the sum.

    Returns:
        Frames from the front of each run; runs of which nothing is taken are left out at the end.
    """
    sums = list(accumulate(lengths))
    nearest = min(range(len(sums)), key=lambda i: (abs(sums[i] - frames), i))
    if abs(sums[nearest] - frames) * NEAR <= frames:
        return list(lengths[: nearest + 1])
    taken = []
    for length in lengths:
        taken.append(min(length, frames))
        frames -= taken[-1]
        if not frames:
            break
    return taken


class Taken(NamedTuple):
    """The first `frames` frames of a run, for a part of the split."""

    part: str
    run: Run
    frames: int


class Subset:
    """A subset to make.

    Args:
        dataset: a dataset with splits.
        frames: asked for, to train on.
        destination: the subset's folder.
        seed: of the order of the training runs.

    Attributes:
        taken: what it holds, in the order of its lists.

    Raises:
        UsageError: the training set has fewer frames.
        DataError: the dataset's lists or runs are damaged.
    """

    def __init__(self, dataset: Dataset, frames: int, destination: Path, seed: int = 123):
        self.dataset, self.frames, self.destination, self.seed = dataset, frames, destination, seed
        runs = sorted(dataset.split("train"), key=lambda run: (order_key(seed, run.name), run.name))
        lengths = [len(run) for run in runs]
        if frames < 1:
            raise UsageError(f"--frames {frames}: a subset has at least 1 frame to train on")
        if frames > sum(lengths):
            raise UsageError(
                f"--frames {frames}: the training set of {dataset.path} has only {sum(lengths)} frames; "
                "ask for fewer"
            )
        self.taken = [Taken("train", run, n) for run, n in zip(runs, choose(lengths, frames))]
        for part in ("val", "test"):
            self.taken += [Taken(part, run, len(run)) for run in dataset.split(part)]
        names = [item.run.name for item in self.taken]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise DataError(
                f"{dataset.path}: its lists name two runs {twice[0]!r}; clean_dataset.py renames them"
            )
        self._work = destination.with_name(f".{destination.name}.subset")
        self._lock: Optional[int] = None

    @property
    def training_frames(self) -> int:
        """Frames to train on."""
        return sum(item.frames for item in self.taken if item.part == "train")

    def check(self, overwrite: bool) -> None:
        """Refuse a destination that is there and may not be replaced.

        Raises:
            UsageError: it exists.
            DataError: a recorder is writing into it.
        """
        if not self.destination.exists():
            return
        if not (self.destination / fmt.DATASET_FILE).exists():
            raise UsageError(f"{self.destination}: exists and is no dataset; choose another --destination")
        if self.destination.resolve() == self.dataset.path.resolve():
            raise UsageError(f"{self.destination}: is the dataset itself; choose another --destination")
        if not overwrite:
            raise UsageError(
                f"{self.destination}: exists; choose another --destination, or --owr to replace it"
            )
        refuse_writers(self.destination, "--destination")

    def prepare(self, overwrite: bool, progress: Callable[[Iterable[Taken]], Iterable[Taken]] = iter) -> None:
        """Make all of it beside its destination, out of sight; what a killed command left is used.

        Args:
            overwrite: start anew instead.
            progress: wraps the sequence of runs.

        Raises:
            DataError: the dataset is damaged, or the file system refuses; nothing is left.
        """
        try:
            self._open(overwrite)
            for item in progress(self.taken):
                self._make(item)
            for part in fmt.SPLITS:
                names = [item.run.name for item in self.taken if item.part == part]
                files.atomic_write(self._work / f"{part}_set.txt", "".join(f"{name}\n" for name in names))
            origin = {"dataset": self.dataset.name, "frames": self.frames, "random_seed": self.seed}
            description = {**self.dataset.description, fmt.SUBSET_OF: origin}
            files.atomic_write(self._work / fmt.DATASET_FILE, files.to_json(description))
        except OSError as error:
            self.abandon()
            raise files.disk_error(self.destination, error) from error
        except BaseException:
            self.abandon()
            raise

    def _open(self, overwrite: bool) -> None:
        """Take the hidden folder for this process; empty, or with runs of the same plan."""
        while self._lock is None:
            self._work.mkdir(parents=True, exist_ok=True)
            lock = lock_partial(self._work, "--destination")
            with contextlib.suppress(FileNotFoundError):
                if os.fstat(lock).st_ino == os.stat(self._work).st_ino:
                    self._lock = lock
                    break
            os.close(lock)  # it was just put in place by another process
        plan = files.to_json(
            {
                "dataset": str(self.dataset.path.resolve()),
                "frames": self.frames,
                "random_seed": self.seed,
                "runs": [[i.part, str(i.run.path), i.frames, i.run.content_hash()] for i in self.taken],
            }
        )
        present = self._work / _PLAN
        if overwrite or not present.exists() or present.read_text(encoding="utf-8") != plan:
            for path in self._work.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            files.atomic_write(present, plan)
        for path in [*self._work.glob(f"*{fmt.PARTIAL}"), *self._work.glob(".*.tmp")]:
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _make(self, item: Taken) -> None:
        """Make one run, unless it is there."""
        final = self._work / item.run.name
        if final.exists():
            return
        partial = self._work / f"{item.run.name}{fmt.PARTIAL}"
        sums = read_sums(item.run.path)
        if sums is None:
            raise DataError(f"{item.run.path / fmt.SUMS_FILE}: missing or damaged; see dataset.py repair")
        if item.frames == len(item.run):
            _link_run(item.run, partial, list(sums))
        else:
            origin = {
                "dataset": self.dataset.name,
                "run": item.run.name,
                "frames": item.frames,
                "of": len(item.run),
            }
            cut_run(partial, item.run.name, item.run, 0, item.frames, sums, {"cut": origin}, _Placer().place)
        os.rename(partial, final)
        files.fsync(self._work)

    def commit(self, overwrite: bool) -> Path:
        """Put what was prepared in place.

        Args:
            overwrite: replace a dataset that is there.

        Raises:
            UsageError: one is there, and may not be replaced.
            DataError: the file system refuses; what was there is there still.
        """
        old = self.destination.with_name(f".{self.destination.name}.{os.getpid()}.removed")
        try:
            self.check(overwrite)  # again, since that may have changed meanwhile
            (self._work / _PLAN).unlink()
            if self.destination.exists():
                os.rename(self.destination, old)
            os.rename(self._work, self.destination)
            files.fsync(self.destination.parent)
            shutil.rmtree(old, ignore_errors=True)
        except OSError as error:
            raise files.disk_error(self.destination, error) from error
        finally:
            if old.exists() and not self.destination.exists():
                os.rename(old, self.destination)
            self.abandon()
        return self.destination

    def abandon(self) -> None:
        """Remove what is not in place, if it is this process's own."""
        if self._lock is not None:
            shutil.rmtree(self._work, ignore_errors=True)
            os.close(self._lock)
            self._lock = None


def make_subsets(
    subsets: Sequence[Subset],
    overwrite: bool = False,
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> None:
    """Make subsets: all of them are there at the end, or none is new.

    Args:
        subsets: with destinations of their own.
        overwrite: replace datasets that exist.
        progress: wraps the sequence of runs.

    Raises:
        UsageError: a destination exists.
        DataError: a dataset is damaged, a destination is being written, or the file system refuses.
    """
    for subset in subsets:
        subset.check(overwrite)
    places = [subset.destination for subset in subsets]
    for place in places:
        if places.count(place) > 1:
            raise UsageError(f"{place}: is asked for twice; name each number of --frames once")
    try:
        for subset in subsets:
            subset.prepare(overwrite, progress)
        for subset in subsets:
            subset.commit(overwrite)
    finally:
        for subset in subsets:
            subset.abandon()


class _Placer:
    """Puts files in place by hard links, or copies them where the file system cannot link."""

    def __init__(self):
        self.copied: list[Path] = []

    def place(self, source: Path, target: Path) -> None:
        try:
            os.link(source, target)
        except FileNotFoundError:
            raise DataError(f"{source}: missing; see dataset.py verify") from None
        except OSError:
            shutil.copyfile(source, target)
            self.copied.append(target)


def _link_run(run: Run, target: Path, names: Iterable[str]) -> None:
    """A whole run at another place: the same files, by the names that its sums list."""
    target.mkdir()
    placer = _Placer()
    names = [*names, fmt.SUMS_FILE, fmt.RUN_FILE]
    folders = {target, *(target / Path(name).parent for name in names)}
    for folder in sorted(folders):
        folder.mkdir(exist_ok=True)
    for name in names:
        placer.place(run.path / name, target / name)
    files.fsync_all(placer.copied)
    for folder in sorted(folders, reverse=True):
        files.fsync(folder)
