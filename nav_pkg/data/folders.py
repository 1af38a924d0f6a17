"""Run folders: locks on unfinished runs, quarantine, scan headers, and the final commit step of a run."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
from pathlib import Path
from typing import BinaryIO, Iterator, Optional

import numpy as np

from nav_pkg.config.paths import PathLike
from nav_pkg.core import DataError, UsageError
from nav_pkg.data import files
from nav_pkg.data import format as fmt
from nav_pkg.locks import flock

START_FILE = "start.json"
"""The facts known at a run's start; ignored if run.json is complete."""
CONVERTED = ".convert"
"""End of the hidden name of a run that `dataset.py convert` makes."""


def lock_partial(partial: PathLike, flag: str = "--dataset") -> int:
    """Lock the folder of an unfinished run; the kernel releases the lock when the process ends.

    Args:
        partial: the folder.
        flag: the flag that selects another dataset, for the message.

    Returns:
        The file descriptor that holds the lock until it is closed.

    Raises:
        DataError: a live process writes this run.
    """
    fd = os.open(partial, os.O_RDONLY | os.O_DIRECTORY)
    if flock(fd) is False:
        os.close(fd)
        raise DataError(
            f"{partial}: another process is writing this run; wait for it or choose another {flag}"
        )
    return fd


def check_no_writers(dataset: PathLike, flag: str = "--dataset") -> None:
    """Raise a DataError if a live process writes a run of this dataset; call this before removing it."""
    for partial in sorted(Path(dataset).glob(f"*{fmt.PARTIAL}")):
        os.close(lock_partial(partial, flag))


@contextlib.contextmanager
def locked_datasets(*paths: Path) -> Iterator[None]:
    """Hold the locks of datasets: no session can then record into them and no command can replace them.

    Raises:
        UsageError: a session holds one of the locks; it also does so between two runs.
        DataError: the file system refuses.
    """
    locks = []
    try:
        for path in paths:
            try:
                lock = files.lock_folder(path)
            except OSError as error:
                raise files.disk_error(path, error) from error
            if lock is None:
                raise UsageError(f"{path} is in use by a session; wait for it to end")
            locks.append(lock)
        yield
    finally:
        for path, lock in zip(paths, locks):
            with contextlib.suppress(OSError):
                files.lock_path(path).unlink()
            os.close(lock)


def quarantine(run: PathLike, reason: str) -> Path:
    """Move a run (or another entry of a dataset's folder) to `<dataset>/quarantine/` and write the reason.

    Returns:
        The new path. The reason is in the file of the same name plus `.reason.txt`.

    Raises:
        DataError: the file system refuses.
    """
    run = Path(run)
    folder = run.parent / fmt.QUARANTINE
    try:
        folder.mkdir(exist_ok=True)
        for number in range(1, 10**6):
            target = folder / (run.name if number == 1 else f"{run.name}.{number}")
            if not target.exists():
                break
        files.atomic_write(f"{target}.reason.txt", reason + "\n")
        os.rename(run, target)
        files.fsync(run.parent)
    except OSError as error:
        raise files.disk_error(folder, error) from error
    return target


def scan_header(frames: int, rays: int) -> bytes:
    """The header of scan.npy; always 128 bytes."""
    return npy_header("<f4", (frames, rays))


def npy_header(descr: str, shape: tuple[int, int]) -> bytes:
    """The header of a .npy file (format 1.0, as `numpy.save` writes it); always 128 bytes."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": descr, "fortran_order": False, "shape": shape})
    header = buffer.getvalue()
    if len(header) < 128:  # some NumPy releases pad the header less
        header = header[:8] + (118).to_bytes(2, "little") + header[10:-1].ljust(117) + b"\n"
    return header


_SHAPE = re.compile(rb"'shape': \((\d{1,18}), (\d{1,18})\), \}\s*\Z")


def read_scan_header(stream: BinaryIO) -> Optional[tuple[int, int]]:
    """Number of frames and rays from the header of a scan.npy; None if `scan_header` did not write it.

    The stream's position is then the first range.
    """
    head = stream.read(128)
    shape = _SHAPE.search(head)
    if shape is None:
        return None
    frames, rays = int(shape.group(1)), int(shape.group(2))
    return (frames, rays) if head == scan_header(frames, rays) else None


def file_sha256(path: PathLike) -> bytes:
    """The SHA-256 of a file.

    Raises:
        DataError: the file cannot be read or is not a regular file.
    """
    total = hashlib.sha256()
    with files.open_regular(path, follow=False) as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            total.update(block)
    return total.digest()


def remove_start_file(partial: Path) -> None:
    """Remove start.json; call this only when run.json, which holds the same facts, is on disk."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(partial / START_FILE)
