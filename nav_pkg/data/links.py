"""Datasets made of links to the runs of other datasets; each is made atomically.

A dataset is prepared in a hidden folder beside its destination and put in place by a rename. If a command
is killed, the same command resumes from that folder. Images are hard links, or copies if the file system
cannot link.
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
from nav_pkg.data.folders import check_no_writers, lock_partial, locked_datasets
from nav_pkg.data.reader import Dataset, Run

_PLAN = "plan.json"


class RunSelection(NamedTuple):
    """The first `frames` frames of a run for the new dataset.

    Attributes:
        part: part of the split; '' for none.
        run: the source run.
        frames: number of frames.
        rename: name in the new dataset; None keeps the run's name.
    """

    part: str
    run: Run
    frames: int
    rename: Optional[str] = None

    @property
    def name(self) -> str:
        """The run's name in the new dataset."""
        return self.rename or self.run.name


class LinkedDataset:
    """A dataset to be made from runs of other datasets.

    Args:
        destination: its folder.
        selected_runs: its runs, in the order of its lists.
        sources: the datasets of these runs; the destination is not among them.
        description: entries of dataset.json.
        origin: the request (plain JSON types). `prepare` resumes earlier work only if request and runs are
            the same.

    Raises:
        DataError: two runs have the same name.
    """

    def __init__(
        self,
        destination: Path,
        selected_runs: Sequence[RunSelection],
        sources: Sequence[Dataset],
        description: Mapping[str, Any],
        origin: Mapping[str, Any],
    ):
        self.destination, self.selected_runs = destination, list(selected_runs)
        self._sources, self._description, self._origin = list(sources), dict(description), dict(origin)
        names = [item.name for item in self.selected_runs]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise DataError(
                f"{sources[0].path}: its lists name two runs {twice[0]!r}; clean_dataset.py renames them"
            )
        self._work = destination.with_name(f".{destination.name}.links")
        self._lock: Optional[int] = None

    @property
    def training_frames(self) -> int:
        """Number of training frames."""
        return sum(item.frames for item in self.selected_runs if item.part == "train")

    def warnings(self) -> list[str]:
        """Problems of the split, one line each."""
        return overlap.warnings(
            overlap.run_images(i.run, i.part, i.frames) for i in self.selected_runs if i.part
        )

    def check(self, overwrite: bool) -> None:
        """Check that the destination can be written.

        Raises:
            UsageError: it exists and must not be replaced, or a session uses it.
            DataError: a recorder writes into it.
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
        with locked_datasets(self.destination):
            check_no_writers(self.destination, "--destination")

    def prepare(
        self, overwrite: bool, progress: Callable[[Iterable[RunSelection]], Iterable[RunSelection]] = iter
    ) -> None:
        """Make the dataset in a hidden folder beside its destination; resume the work of a killed command.

        Args:
            overwrite: start again instead of resuming.
            progress: wraps the sequence of runs.

        Raises:
            DataError: a source is damaged, or the file system refuses; the hidden folder is then removed.
        """
        try:
            self._open(overwrite)
            for item in progress(self.selected_runs):
                self._make_run(item)
            sizes = None
            if any(item.part for item in self.selected_runs):
                sizes = {part: sum(item.part == part for item in self.selected_runs) for part in fmt.SPLITS}
            for part in sizes or ():
                names = [item.name for item in self.selected_runs if item.part == part]
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
        """Lock the hidden folder; remove its content unless it belongs to the same plan."""
        while self._lock is None:
            self._work.mkdir(parents=True, exist_ok=True)
            lock = lock_partial(self._work, "--destination")
            with contextlib.suppress(FileNotFoundError):
                if os.fstat(lock).st_ino == os.stat(self._work).st_ino:
                    self._lock = lock
                    break
            os.close(lock)  # another process has just renamed this folder to its destination
        runs = [[i.part, str(i.run.path), i.frames, i.run.content_hash(), i.name] for i in self.selected_runs]
        plan = files.to_json({**self._origin, "runs": runs})
        present = self._work / _PLAN
        if overwrite or _text(present) != plan:
            for path in self._work.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            files.atomic_write(present, plan)
        for path in [*self._work.glob(f"*{fmt.PARTIAL}"), *self._work.glob(".*.tmp")]:
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _make_run(self, item: RunSelection) -> None:
        """Make one run, unless it exists."""
        final = self._work / item.name
        if final.exists():
            return
        partial = self._work / f"{item.name}{fmt.PARTIAL}"
        sums = item.run.sums
        if item.frames == len(item.run) and item.rename is None:
            _link_run(item.run, partial)
        else:
            facts: dict[str, Any] = {}
            if item.frames < len(item.run):
                of = {"frames": item.frames, "of": len(item.run)}
                facts["cut"] = {"dataset": item.run.path.parent.name, "run": item.run.name, **of}
            cut_run(partial, item.name, item.run, 0, item.frames, sums, facts, _Linker().link)
        os.rename(partial, final)
        files.fsync(self._work)

    def commit(self, overwrite: bool) -> Path:
        """Rename the prepared dataset to its destination.

        Args:
            overwrite: replace an existing dataset.

        Returns:
            The destination.

        Raises:
            UsageError: the destination exists and must not be replaced, or a session uses it.
            DataError: a recorder writes into the destination, or the file system refuses; an existing
                dataset then stays.
        """
        try:
            self.check(overwrite)  # again, because the destination may have changed
            with locked_datasets(self.destination):
                if self.destination.exists():
                    check_no_writers(self.destination, "--destination")
                (self._work / _PLAN).unlink()
                files.replace_folder(self._work, self.destination)
        except OSError as error:
            raise files.disk_error(self.destination, error) from error
        finally:
            self.abandon()
        return self.destination

    def abandon(self) -> None:
        """Remove the hidden folder if this process holds its lock."""
        if self._lock is not None:
            shutil.rmtree(self._work, ignore_errors=True)
            os.close(self._lock)
            self._lock = None


def make_datasets(
    datasets: Sequence[LinkedDataset],
    overwrite: bool = False,
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> None:
    """Make several datasets; prepare all of them before the first is put in place.

    Args:
        datasets: the datasets, with distinct destinations.
        overwrite: replace existing datasets.
        progress: wraps the sequence of runs.

    Raises:
        UsageError: a destination exists or is used by a session, or two destinations are the same.
        DataError: a dataset is damaged, a destination is being written, or the file system refuses.
    """
    for dataset in datasets:
        dataset.check(overwrite)
    destinations = [dataset.destination for dataset in datasets]
    for destination in destinations:
        if destinations.count(destination) > 1:
            raise UsageError(f"{destination}: is requested twice; give each number of --frames once")
    try:
        for dataset in datasets:
            dataset.prepare(overwrite, progress)
        for dataset in datasets:
            dataset.commit(overwrite)
    finally:
        for dataset in datasets:
            dataset.abandon()


def _text(path: Path) -> Optional[str]:
    """A file's text; None if it cannot be read."""
    with contextlib.suppress(DataError):
        return files.read_text(path, follow=False)
    return None


class _Linker:
    """Puts files in place by hard links, or by copies if the file system cannot link."""

    def __init__(self):
        self.copied: list[Path] = []

    def link(self, source: Path, target: Path) -> None:
        if source.is_symlink():
            commit.refuse_link(source)
        try:
            os.link(source, target)
        except FileNotFoundError:
            raise DataError(f"{source}: missing; see dataset.py verify") from None
        except OSError:
            shutil.copyfile(source, target)
            self.copied.append(target)


def _link_run(run: Run, target: Path) -> None:
    """Link a complete run into another folder: all its files."""
    target.mkdir()
    placer = _Linker()
    names = run.files()
    folders = {target, *(target / Path(name).parent for name in names)}
    for folder in sorted(folders):
        folder.mkdir(exist_ok=True)
    for name in names:
        placer.link(run.path / name, target / name)
    files.fsync_all(placer.copied)
    for folder in sorted(folders, reverse=True):
        files.fsync(folder)
