"""Packs: the colour images of a run, resized to a network's input size, as a memory-mapped uint8 array.

A pack belongs to the images of a run, not to a dataset. Its key is a hash of the images' checksums, the
size and the resize method. Datasets that share runs therefore share packs, and only new runs are packed.
This module verifies everything that it opens: images against the SHA-256 checksums of their commit, packs
against the CRC of each frame. It repeats a verification only after a file has changed (see
`verified_images` and `PackFile.stamp`).
"""

from __future__ import annotations

import contextlib
import mmap
import time
from pathlib import Path
from typing import Any, Callable, Optional, Sequence

import numpy as np

from nav_pkg.config import paths
from nav_pkg.config.paths import PathLike
from nav_pkg.core import DataError
from nav_pkg.data import files, progress
from nav_pkg.data.packfile import Damaged, PackFile, PackLock, PackWriter
from nav_pkg.data.reader import Run
from nav_pkg.data.verified_images import CommittedImages
from nav_pkg.data.workers import POLL, Workers

PATIENCE = 1800.0
"""Seconds to wait for another process that makes a pack while its temporary file does not grow."""


class Pack:
    """The images of a run at a network's input size.

    Attributes:
        path: the file, an ordinary .npy file.
        images: uint8 (frames, height, width, 3), RGB, mapped from the file and read-only.
    """

    def __init__(self, path: PathLike):
        self.path = Path(path)
        try:
            self.images: np.memmap = np.load(self.path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise DataError(f"{self.path}: cannot read: {error}; run the same command again") from error

    def __repr__(self) -> str:
        return f"Pack({str(self.path)!r})"

    @property
    def frames(self) -> int:
        """Number of images."""
        return len(self.images)

    def release(self) -> None:
        """Release the memory of pages already read; they stay readable through the page cache."""
        mapping = getattr(self.images, "_mmap", None)
        advice = getattr(mmap, "MADV_DONTNEED", None)
        if mapping is not None and advice is not None and hasattr(mapping, "madvise"):
            mapping.madvise(advice)


def _nothing(_frames: int) -> None:
    pass


def open_packs(
    runs: Sequence[Run],
    size: tuple[int, int],
    cache: Optional[PathLike] = None,
    source: Optional[PathLike] = None,
    workers: int = 0,
    bar: Callable[[int, str], Any] = progress.Bar,
    tick: Callable[[int], None] = _nothing,
    say: Callable[[str], None] = progress.say,
    camera: str = "",
) -> list[Pack]:
    """Open the packs of runs; make the missing packs first.

    Several processes may open the same packs at the same time; they share the work. A call that is
    stopped or killed leaves its finished packs. The next call makes only the others.

    Args:
        runs: any committed runs with colour images.
        size: height and width, pixels.
        cache: the folder of all packs; None for `paths.cache_dir`.
        source: another folder of packs; a pack found there is copied instead of made from images.
        workers: number of threads; 0 for one per core available to this process.
        bar: makes a progress bar from a total and a unit, like `progress.Bar`.
        tick: called in this thread several times a second with the number of frames just done (0 while
            waiting). It may raise an exception to stop the work; unfinished files are then removed.
        say: prints a line about a problem or a wait.
        camera: `left` or `right` for the images of that side camera; empty for the first camera.

    Returns:
        One pack per run, in order.

    Raises:
        DataError: an image differs from its commit, the disk has too little space, the file system
            refuses, or another process makes a pack and makes no progress.
    """
    cache, size = _folder(cache), (int(size[0]), int(size[1]))
    source = None if source is None else Path(source).expanduser()
    jobs: dict[Path, _Job] = {}
    with Workers(workers, bar, tick, say) as work:
        for run in runs:
            if run.path not in jobs:
                jobs[run.path] = _Job(run, size, cache, source, camera)
                tick(0)
        lacking: dict[str, _Job] = {}
        for job in jobs.values():
            if job.pack.key not in lacking and not _is_whole(job.pack, work, aloud=True):
                lacking[job.pack.key] = job
        # making these packs also verifies their images
        read = [job for job in lacking.values() if not job.can_copy]
        _compare_images([job for job in jobs.values() if job not in read], work)
        if lacking:
            _make_all(list(lacking.values()), work)
            # if another process made the pack, this process has not verified its images
            _compare_images(read, work)
    return [Pack(jobs[run.path].pack.path) for run in runs]


def verify_packs(
    runs: Sequence[Run],
    size: tuple[int, int],
    cache: Optional[PathLike] = None,
    workers: int = 0,
    bar: Callable[[int, str], Any] = progress.Bar,
    tick: Callable[[int], None] = _nothing,
    camera: str = "",
) -> list[str]:
    """Compare every image of the runs with its checksum and every frame of their packs with its CRC.

    A damaged image or pack loses its verified mark: `open_packs` then verifies or makes it again.

    Args:
        runs: as in `open_packs`, like all other arguments.
        size: height and width, pixels.
        cache: the folder of all packs.
        workers: number of threads.
        bar: makes a progress bar.
        tick: called with the number of frames just done.
        camera: as in `open_packs`.

    Returns:
        The problems, one line each; a missing pack is a problem. Empty if no problem was found.
    """
    cache, size = _folder(cache), (int(size[0]), int(size[1]))
    problems: list[str] = []
    with Workers(workers, bar, tick, problems.append) as work, work.shown(
        sum(len(run) for run in runs), "images compared"
    ) as done:
        for run in runs:
            problems += _problems(run, size, cache, work, done, camera)
    return problems


def remove_packs(
    runs: Sequence[Run], size: tuple[int, int], cache: Optional[PathLike] = None, camera: str = ""
) -> tuple[int, int]:
    """Remove the packs of runs; other datasets that share these runs lose them, too.

    Args:
        runs: as in `open_packs`, like all other arguments.
        size: height and width, pixels.
        cache: the folder of all packs.
        camera: as in `open_packs`.

    Returns:
        The number of removed packs and their size in bytes.

    Raises:
        DataError: another process is making one of them, or the file system refuses.
    """
    cache, size = _folder(cache), (int(size[0]), int(size[1]))
    count = total = 0
    for run in runs:
        images = CommittedImages(run, camera)
        pack = PackFile(cache, images.key(size), len(images), size)
        if not pack.folder.is_dir():
            continue
        lock = _lock(pack)
        if lock is None:
            raise DataError(f"{pack.path}: {PackLock.holder(pack)} is making it; wait for it or end it")
        try:
            there = pack.remove()
        finally:
            lock.release()
        count, total = count + bool(there), total + there
    return count, total


def _folder(cache: Optional[PathLike]) -> Path:
    return paths.cache_dir() if cache is None else Path(cache).expanduser()


class _Job:
    """A run and the pack of its images."""

    def __init__(self, run: Run, size: tuple[int, int], cache: Path, source: Optional[Path], camera: str):
        self.run = run
        self.size = size
        self.images = CommittedImages(run, camera)
        self.known = self.images.known(cache)
        if not self.known and source is not None and self.images.known(source):
            self.images.remember(cache)
            self.known = True
        place = (self.images.key(size), len(self.images), size)
        self.pack = PackFile(cache, *place)
        self.source = None if source is None else PackFile(source, *place)

    @property
    def can_copy(self) -> bool:
        """Whether the source has this pack; checks only header, length and .json."""
        try:
            return self.source is not None and self.source.facts() is not None
        except Damaged:
            return False


def _is_whole(pack: PackFile, work: Workers, aloud: bool) -> bool:
    """Whether the pack exists and is verified; compare its CRCs if the file changed since the last check."""
    try:
        facts = pack.facts()
        if facts is None:
            return False
        if facts.get("verified") != pack.stamp():
            _compare_pack(pack, facts, work)
    except Damaged as error:
        if aloud:
            work.say(f"{error}; it is made again")
        return False
    return True


def _compare_pack(pack: PackFile, facts: dict, work: Workers) -> None:
    """Compare each frame with its CRC and record this in the .json.

    Raises:
        Damaged: a frame differs.
    """
    stamp = pack.stamp()
    with pack.open() as stream:
        work.each(pack.frames, pack.reader(facts, stream), lambda count: work.tick(0))
    with contextlib.suppress(DataError):  # for example, the cache of another user
        pack.write_facts(facts["crc32"], stamp)


def _compare_images(jobs: Sequence[_Job], work: Workers) -> None:
    """Verify the images of runs whose files have not been verified in their present state."""
    unknown = [job for job in jobs if not (job.known or job.images.known(job.pack.cache))]
    if not unknown:
        return
    with work.shown(sum(len(job.images) for job in unknown), "images compared") as done:
        for job in unknown:
            work.each(len(job.images), job.images.read, done)
            job.images.remember(job.pack.cache)
            job.known = True


def _make_all(jobs: list[_Job], work: Workers) -> None:
    """Make the missing packs; wait for packs that another process makes."""
    cache = jobs[0].pack.cache
    needed, free = sum(job.pack.bytes for job in jobs), files.free_bytes(cache)
    if free is not None and needed > free:
        raise DataError(
            f"{cache}: the packs of {len(jobs)} runs take {needed / 1e6:,.0f} MB, {free / 1e6:,.0f} MB are "
            f"free; free some space or set {paths.cache_variable(cache)} to another folder"
        )
    others = _Others(work)
    work.start_helpers(sum(len(job.images) for job in jobs if not job.can_copy))
    with work.shown(sum(len(job.images) for job in jobs), "images packed") as done:
        while jobs:
            held = [job for job in jobs if not _make_unless_held(job, work, done)]
            work.settle()  # other processes may wait for this pack
            if len(held) == len(jobs):
                others.wait(held)
            jobs = held


def _make_unless_held(job: _Job, work: Workers, done: Callable[[int], None]) -> bool:
    """Make a missing pack; False if another process holds its lock."""
    lock = _lock(job.pack)
    if lock is None:
        return False
    try:
        whole = _is_whole(job.pack, work, aloud=False)
    except BaseException:
        lock.release()
        raise
    if whole:  # made by another process meanwhile
        lock.release()
        done(len(job.images))
        return True
    writer = PackWriter(job.pack, lock)
    try:
        if not (job.can_copy and _copy(job, writer, work, done)):
            _decode(job, writer, work, done)
        work.finish(writer.commit)
    except BaseException:
        writer.abandon()
        raise
    return True


def _problems(
    run: Run, size: tuple[int, int], cache: Path, work: Workers, done: Callable[[int], None], camera: str
) -> list[str]:
    """Compare a run's images and its pack, even if verified before; return a line for each problem."""
    found = []
    try:
        job = _Job(run, size, cache, None, camera)
    except DataError as error:
        return [str(error)]
    try:
        work.each(len(job.images), job.images.read, done)
        job.images.remember(cache)
    except DataError as error:
        job.images.forget(cache)
        found.append(str(error))
    try:
        facts = job.pack.facts()
        if facts is None:
            found.append(f"{run.path}: has no pack of this size; dataset.py pack makes it")
        else:
            _compare_pack(job.pack, facts, work)
    except Damaged as error:
        job.pack.invalidate()
        found.append(f"{error}; dataset.py pack makes it again")
    return found


def _lock(pack: PackFile) -> Optional[PackLock]:
    try:
        return PackLock.take(pack)
    except OSError as error:
        raise files.disk_error(pack.path, error, paths.cache_variable(pack.cache)) from error


def _copy(job: _Job, writer: PackWriter, work: Workers, done: Callable[[int], None]) -> bool:
    """Copy a pack from the source; False if the source's pack is damaged."""
    try:
        facts = job.source.facts()
        with job.source.open() as stream:
            read = job.source.reader(facts, stream)
            work.each(len(job.images), lambda i: writer.put(i, read(i)), done)
    except (Damaged, OSError) as error:
        work.say(f"{error}; it is made from its images")
        return False
    return True


def _decode(job: _Job, writer: PackWriter, work: Workers, done: Callable[[int], None]) -> None:
    """Make a pack from its images and compare each image with its checksum."""
    work.each(
        len(job.images),
        lambda i: writer.put(i, job.images.decode(i, job.size)),
        done,
        lambda helper, first, last: writer.submit(helper, job.images, first, last),
    )
    job.images.remember(job.pack.cache)
    job.known = True


class _Others:
    """Waits for packs that other processes are making."""

    def __init__(self, work: Workers):
        self._work = work
        self._seen: dict[str, tuple[float, list]] = {}

    def wait(self, jobs: Sequence[_Job]) -> None:
        """Wait for one polling period.

        Raises:
            DataError: a pack has not grown for `PATIENCE` seconds.
        """
        now = time.monotonic()
        for job in jobs:
            key, state = job.pack.key, job.pack.writer_state()
            if key not in self._seen:
                self._work.say(f"{job.run.path}: waiting for {PackLock.holder(job.pack)}, which packs it")
            if key not in self._seen or self._seen[key][1] != state:
                self._seen[key] = (now, state)
            idle = now - self._seen[key][0]
            if idle > PATIENCE:
                raise DataError(
                    f"{job.run.path}: waited {idle / 60:.0f} minutes for {PackLock.holder(job.pack)}, which "
                    f"holds {PackLock.path(job.pack)} and does not get on; end it and run this again"
                )
        self._work.tick(0)
        time.sleep(POLL)
