"""Make the packs that are missing, alone or together with other processes."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Callable, Optional, Sequence

from nav_pkg.config import paths
from nav_pkg.core import DataError
from nav_pkg.data import files
from nav_pkg.data.packs.committed_images import CommittedImages
from nav_pkg.data.packs.lock import PackLock
from nav_pkg.data.packs.store import PackDamaged, PackFile
from nav_pkg.data.packs.workers import POLL, Workers
from nav_pkg.data.packs.writer import PackWriter
from nav_pkg.data.reader import Run

STALL_TIMEOUT = 1800.0
"""Seconds to wait for another process that makes a pack while its temporary file does not grow."""


class PackRequest:
    """A run and the pack of its images, which may be missing.

    Args:
        run: the run.
        size: height and width, pixels.
        cache: the folder of all packs.
        source: another folder of packs, to copy from; None for no such folder.
        camera: as of `CommittedImages`.

    Raises:
        DataError: as of `CommittedImages`; or an image is missing.
    """

    def __init__(self, run: Run, size: tuple[int, int], cache: Path, source: Optional[Path], camera: str):
        self.run = run
        self.images = CommittedImages(run, camera)
        self.images_verified = self.images.is_verified(cache)
        if not self.images_verified and source is not None and self.images.is_verified(source):
            self.mark_verified(cache)
        key = self.images.key(size)
        self.pack = PackFile(cache, key, len(self.images), size)
        self.source = None if source is None else PackFile(source, key, len(self.images), size)

    def mark_verified(self, cache: Path) -> None:
        """Record that all images were compared with their checksums."""
        self.images.record_verified(cache)
        self.images_verified = True

    @property
    def can_copy(self) -> bool:
        """Whether the source has this pack; checks only header, length and .json."""
        try:
            return self.source is not None and self.source.read_metadata() is not None
        except PackDamaged:
            return False


def build(requests: Sequence[PackRequest], work: Workers) -> None:
    """Make the missing packs and verify the images of all.

    Raises:
        DataError: as of `open_packs`.
    """
    missing: dict[str, PackRequest] = {}
    for request in requests:
        if request.pack.key not in missing and not _is_complete(request.pack, work, say=True):
            missing[request.pack.key] = request
    # making a pack from images also verifies them
    decoded = [request for request in missing.values() if not request.can_copy]
    _verify_images([request for request in requests if request not in decoded], work)
    if missing:
        _make_all(list(missing.values()), work)
        # if another process made the pack, this process has not verified its images
        _verify_images(decoded, work)


def find_problems(request: PackRequest, work: Workers, done: Callable[[int], None]) -> list[str]:
    """Compare a run's images and its pack, even if verified before; return a line for each problem."""
    images, pack = request.images, request.pack
    problems = []
    try:
        work.for_each(len(images), images.read, done)
        images.record_verified(pack.cache)
    except DataError as error:
        images.forget_verified(pack.cache)
        problems.append(str(error))
    try:
        metadata = pack.read_metadata()
        if metadata is None:
            problems.append(f"{request.run.path}: has no pack of this size; dataset.py pack makes it")
        else:
            _verify_pack(pack, metadata, work)
    except PackDamaged as error:
        pack.invalidate()
        problems.append(f"{error}; dataset.py pack makes it again")
    return problems


def _is_complete(pack: PackFile, work: Workers, say: bool) -> bool:
    """Whether the pack exists and is verified; compare its CRCs if the file changed since the last check."""
    try:
        metadata = pack.read_metadata()
        if metadata is None:
            return False
        if metadata.get("verified") != pack.file_state():
            _verify_pack(pack, metadata, work)
    except PackDamaged as error:
        if say:
            work.say(f"{error}; it is made again")
        return False
    return True


def _verify_pack(pack: PackFile, metadata: dict, work: Workers) -> None:
    """Compare each frame with its CRC and record this in the .json.

    Raises:
        PackDamaged: a frame differs.
    """
    state = pack.file_state()
    with pack.open() as stream:
        work.for_each(pack.frames, pack.frame_reader(metadata, stream), lambda _: work.tick(0))
    with contextlib.suppress(DataError):  # for example, the cache of another user
        pack.write_metadata(metadata["crc32"], state)


def _verify_images(requests: Sequence[PackRequest], work: Workers) -> None:
    """Verify the images of runs whose files have not been verified in their present state."""
    unverified = [
        request
        for request in requests
        if not (request.images_verified or request.images.is_verified(request.pack.cache))
    ]
    if not unverified:
        return
    with work.shown(sum(len(request.images) for request in unverified), "images compared") as done:
        for request in unverified:
            work.for_each(len(request.images), request.images.read, done)
            request.mark_verified(request.pack.cache)


def _make_all(requests: list[PackRequest], work: Workers) -> None:
    """Make the missing packs; wait for packs that another process makes."""
    cache = requests[0].pack.cache
    needed, free = sum(request.pack.bytes for request in requests), files.free_bytes(cache)
    if free is not None and needed > free:
        raise DataError(
            f"{cache}: the packs of {len(requests)} runs take {needed / 1e6:,.0f} MB, {free / 1e6:,.0f} MB "
            f"are free; free some space or set {paths.cache_variable(cache)} to another folder"
        )
    work.start_processes(sum(len(request.images) for request in requests if not request.can_copy))
    others = _OtherBuilders(work)
    with work.shown(sum(len(request.images) for request in requests), "images packed") as done:
        while requests:
            waiting = [request for request in requests if not _make_unless_held(request, work, done)]
            work.wait_for_commit()  # other processes may wait for this pack
            if len(waiting) == len(requests):
                others.wait(waiting)
            requests = waiting


def _make_unless_held(request: PackRequest, work: Workers, done: Callable[[int], None]) -> bool:
    """Make a missing pack; False if another process holds its lock."""
    lock = PackLock.acquire(request.pack)
    if lock is None:
        return False
    try:
        complete = _is_complete(request.pack, work, say=False)
    except BaseException:
        lock.release()
        raise
    if complete:  # made by another process meanwhile
        lock.release()
        done(len(request.images))
        return True
    writer = PackWriter(request.pack, lock)
    try:
        if not (request.can_copy and _copy(request, writer, work, done)):
            _decode(request, writer, work, done)
        work.commit(writer.commit)
    except BaseException:
        writer.abort()
        raise
    return True


def _copy(request: PackRequest, writer: PackWriter, work: Workers, done: Callable[[int], None]) -> bool:
    """Copy a pack from the source; False if the source's pack is damaged."""
    source = request.source

    def copy(i: int) -> None:
        frame = read(i)
        with writer.translated_errors():
            writer.write(i, frame)

    try:
        metadata = source.read_metadata()
        with source.open() as stream:
            read = source.frame_reader(metadata, stream)
            work.for_each(source.frames, copy, done)
        writer.add(0, metadata["crc32"])
    except (PackDamaged, OSError) as error:
        work.say(f"{error}; it is made from its images")
        return False
    return True


def _decode(request: PackRequest, writer: PackWriter, work: Workers, done: Callable[[int], None]) -> None:
    """Make a pack from its images and compare each image with its checksum."""

    def add(first: int, last: int, crcs: list[int]) -> None:
        writer.add(first, crcs)
        done(last - first)

    work.run(len(request.images), writer.task(request.images), add)
    request.mark_verified(request.pack.cache)


class _OtherBuilders:
    """Waits for packs that other processes are making."""

    def __init__(self, work: Workers):
        self._work = work
        self._progress: dict[str, tuple[float, list]] = {}

    def wait(self, requests: Sequence[PackRequest]) -> None:
        """Wait for one polling period.

        Raises:
            DataError: a pack has not grown for `STALL_TIMEOUT` seconds.
        """
        now = time.monotonic()
        for request in requests:
            pack, run = request.pack, request.run.path
            state = pack.temporary_state()
            if pack.key not in self._progress:
                self._work.say(f"{run}: waiting for {PackLock.holder(pack)}, which packs it")
            if pack.key not in self._progress or self._progress[pack.key][1] != state:
                self._progress[pack.key] = (now, state)
            idle = now - self._progress[pack.key][0]
            if idle > STALL_TIMEOUT:
                raise DataError(
                    f"{run}: waited {idle / 60:.0f} minutes for {PackLock.holder(pack)}, which holds "
                    f"{PackLock.path(pack)} and makes no progress; end it and run this again"
                )
        self._work.tick(0)
        time.sleep(POLL)
