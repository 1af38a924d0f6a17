"""Open, verify and remove the packs of runs: their colour images at a network's input size.

A pack is a memory-mapped uint8 array. It belongs to the images of a run, not to a dataset. Its key is a hash
of the images' checksums, the size and the resize method. Datasets that share runs therefore share packs, and
only new runs are packed. This package verifies everything that it opens: images against the SHA-256
checksums of their commit, packs against the CRC of each frame. It repeats a verification only after a file
has changed (see `committed_images` and `PackFile.file_state`).
"""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any, Callable, Optional, Sequence

import numpy as np

from nav_pkg.config import paths
from nav_pkg.config.paths import PathLike
from nav_pkg.core import DataError
from nav_pkg.data import progress
from nav_pkg.data.packs import builder
from nav_pkg.data.packs.committed_images import CommittedImages
from nav_pkg.data.packs.lock import PackLock
from nav_pkg.data.packs.store import PackFile
from nav_pkg.data.packs.workers import Workers
from nav_pkg.data.reader import Run


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


def _no_tick(_frames: int) -> None:
    pass


def open_packs(
    runs: Sequence[Run],
    size: tuple[int, int],
    cache: Optional[PathLike] = None,
    source: Optional[PathLike] = None,
    workers: int = 0,
    bar: Callable[[int, str], Any] = progress.Bar,
    tick: Callable[[int], None] = _no_tick,
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
        workers: number of threads, or of processes and one thread where there are many images; 0 for one
            per core available to this process.
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
    requests: dict[Path, builder.PackRequest] = {}
    with Workers(workers, bar, tick, say) as work:
        for run in runs:
            if run.path not in requests:
                requests[run.path] = builder.PackRequest(run, size, cache, source, camera)
                tick(0)
        builder.build(list(requests.values()), work)
    return [Pack(requests[run.path].pack.path) for run in runs]


def verify_packs(
    runs: Sequence[Run],
    size: tuple[int, int],
    cache: Optional[PathLike] = None,
    workers: int = 0,
    bar: Callable[[int, str], Any] = progress.Bar,
    tick: Callable[[int], None] = _no_tick,
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
            try:
                request = builder.PackRequest(run, size, cache, None, camera)
            except DataError as error:
                problems.append(str(error))
            else:
                problems += builder.find_problems(request, work, done)
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
        lock = PackLock.acquire(pack)
        if lock is None:
            raise DataError(f"{pack.path}: {PackLock.holder(pack)} is making it; wait for it or end it")
        try:
            removed = pack.remove()
        finally:
            lock.release()
        count, total = count + bool(removed), total + removed
    return count, total


def _folder(cache: Optional[PathLike]) -> Path:
    return paths.cache_dir() if cache is None else Path(cache).expanduser()
