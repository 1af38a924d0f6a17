"""Datasets made of links to the runs of others, each whole or not there.

All of it is prepared beside its destination, out of sight, and put in place by a rename; what a killed
command left is used by the same one. Images are hard links, or copies where the file system cannot link.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import Any, Callable, Iterable, Mapping, NamedTuple, Optional, Sequence

from nav_pkg.core import DataError, UsageError
from nav_pkg.data import commit, files, overlap
from nav_pkg.data import format as fmt
from nav_pkg.data.cut import cut_run
from nav_pkg.data.folders import held, lock_partial, refuse_writers
from nav_pkg.data.reader import Dataset, Run

_PLAN = "plan.json"


class Taken(NamedTuple):
    """The first `frames` frames of a run, for a part of the split ('': none), named anew (None: not)."""

    part: str
    run: Run
    frames: int
    rename: Optional[str] = None

    @property
    def name(self) -> str:
        """The run's name in the new dataset."""
        return self.rename or self.run.name


class LinkedDataset:
    """A dataset to make of other datasets' runs.

    Args:
        destination: its folder.
        taken: what it holds, in the order of its lists.
        sources: the datasets that the runs are of; none of them is the destination.
        description: of dataset.json.
        origin: what was asked for (plain JSON types), which together with the runs tells whether work
            that was left is of the same command.

    Raises:
        DataError: two runs bear the same name.
    """

    def __init__(
        self,
        destination: Path,
        taken: Sequence[Taken],
        sources: Sequence[Dataset],
        description: Mapping[str, Any],
        origin: Mapping[str, Any],
    ):
        self.destination, self.taken = destination, list(taken)
        self._sources, self._description, self._origin = list(sources), dict(description), dict(origin)
        names = [item.name for item in self.taken]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise DataError(
                f"{sources[0].path}: its lists name two runs {twice[0]!r}; clean_dataset.py renames them"
            )
        self._work = destination.with_name(f".{destination.name}.links")
        self._lock: Optional[int] = None

    @property
    def training_frames(self) -> int:
        """Frames to train on."""
        return sum(item.frames for item in self.taken if item.part == "train")

    def warnings(self) -> list[str]:
        """What is wrong with the split, a line each."""
        return overlap.warnings(overlap.images_of(i.run, i.part, i.frames) for i in self.taken if i.part)

    def check(self, overwrite: bool) -> None:
        """Refuse a destination that is there and may not be replaced.

        Raises:
            UsageError: it exists.
            DataError: a recorder is writing into it.
        """
        if not os.path.lexists(self.destination):
            return
        if not os.path.exists(self.destination / fmt.DATASET_FILE):
            raise UsageError(f"{self.destination}: exists and is no dataset; choose another --destination")
        if self.destination.resolve() in [source.path.resolve() for source in self._sources]:
            raise UsageError(f"{self.destination}: is the dataset itself; choose another --destination")
        if not overwrite:
            raise UsageError(
                f"{self.destination}: exists; choose another --destination, or --owr to replace it"
            )
        with held(self.destination):
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
            sizes = None
            if any(item.part for item in self.taken):
                sizes = {part: sum(item.part == part for item in self.taken) for part in fmt.SPLITS}
            for part in sizes or ():
                names = [item.name for item in self.taken if item.part == part]
                files.atomic_write(self._work / fmt.split_file(part), "".join(f"{name}\n" for name in names))
            text = commit.description_text(self._description, sizes)
            files.atomic_write(self._work / fmt.DATASET_FILE, text)
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
        runs = [[i.part, str(i.run.path), i.frames, i.run.content_hash(), i.name] for i in self.taken]
        plan = files.to_json({**self._origin, "runs": runs})
        present = self._work / _PLAN
        if overwrite or _text(present) != plan:
            for path in self._work.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            files.atomic_write(present, plan)
        for path in [*self._work.glob(f"*{fmt.PARTIAL}"), *self._work.glob(".*.tmp")]:
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _make(self, item: Taken) -> None:
        """Make one run, unless it is there."""
        final = self._work / item.name
        if final.exists():
            return
        partial = self._work / f"{item.name}{fmt.PARTIAL}"
        sums = item.run.sums
        if item.frames == len(item.run) and item.rename is None:
            _link_run(item.run, partial, list(sums))
        else:
            facts: dict[str, Any] = {}
            if item.frames < len(item.run):
                of = {"frames": item.frames, "of": len(item.run)}
                facts["cut"] = {"dataset": item.run.path.parent.name, "run": item.run.name, **of}
            cut_run(partial, item.name, item.run, 0, item.frames, sums, facts, _Placer().place)
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
        try:
            self.check(overwrite)  # again, since that may have changed meanwhile
            with held(self.destination):
                if self.destination.exists():
                    refuse_writers(self.destination, "--destination")
                (self._work / _PLAN).unlink()
                files.put_in_place(self._work, self.destination)
        except OSError as error:
            raise files.disk_error(self.destination, error) from error
        finally:
            self.abandon()
        return self.destination

    def abandon(self) -> None:
        """Remove what is not in place, if it is this process's own."""
        if self._lock is not None:
            shutil.rmtree(self._work, ignore_errors=True)
            os.close(self._lock)
            self._lock = None


def make_datasets(
    datasets: Sequence[LinkedDataset],
    overwrite: bool = False,
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> None:
    """Make datasets: all of them are there at the end, or none is new.

    Args:
        datasets: with destinations of their own.
        overwrite: replace datasets that exist.
        progress: wraps the sequence of runs.

    Raises:
        UsageError: a destination exists.
        DataError: a dataset is damaged, a destination is being written, or the file system refuses.
    """
    for one in datasets:
        one.check(overwrite)
    places = [one.destination for one in datasets]
    for place in places:
        if places.count(place) > 1:
            raise UsageError(f"{place}: is asked for twice; name each number of --frames once")
    try:
        for one in datasets:
            one.prepare(overwrite, progress)
        for one in datasets:
            one.commit(overwrite)
    finally:
        for one in datasets:
            one.abandon()


def _text(path: Path) -> Optional[str]:
    """A file's text; None where there is none."""
    with contextlib.suppress(DataError):
        return files.read_text(path, follow=False)
    return None


class _Placer:
    """Puts files in place by hard links, or copies them where the file system cannot link."""

    def __init__(self):
        self.copied: list[Path] = []

    def place(self, source: Path, target: Path) -> None:
        if source.is_symlink():
            commit.refuse_link(source)
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
