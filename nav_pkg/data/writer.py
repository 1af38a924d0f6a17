"""Crash-safe writing of runs: a crash never damages earlier runs, and the open run stays recognisable.

A run is written in `<name>.partial/`. Its commit flushes every file to disk, writes run.json last, renames
the folder to its final name and flushes the dataset's folder. A run is therefore complete or absent.
Threads behind a bounded queue encode and write the images.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Callable, Mapping, Optional, Union

import numpy as np

from nav_pkg.config.paths import PathLike
from nav_pkg.config.session import TAR
from nav_pkg.core import DataError, Frame, Outcome
from nav_pkg.data import codec, commit, files
from nav_pkg.data import format as fmt
from nav_pkg.data.folders import (
    START_FILE,
    check_no_writers,
    file_sha256,
    lock_partial,
    quarantine,
    scan_header,
)
from nav_pkg.data.image_store import ImageWriter, check_storage, image_writer
from nav_pkg.data.new_run import finish_partial
from nav_pkg.data.totals import FRAME_TOTALS, Totals, without_totals

THREADS = 1
MAX_QUEUED_IMAGES = 32
"""Maximum number of images in the queue; a 640x360 colour image and its float depth image take 1.6 MB."""


def create_dataset(path: PathLike, description: dict, overwrite: bool = False) -> Path:
    """Make a dataset, or open an existing dataset with the same description to add runs to it.

    Args:
        path: the dataset's folder.
        description: camera, robot, action_space, control_rate (Hz) and all other facts that hold for
            every run; `format` and a checksum are added.
        overwrite: remove an existing dataset first.

    Returns:
        The dataset's folder.

    Raises:
        DataError: the folder holds other files, has another description, or is not writable; or an entry
            of the description is invalid.
    """
    path = Path(path)
    text = commit.description_text(description)
    marker = path / fmt.DATASET_FILE
    if os.path.exists(path) and not path.is_dir():
        raise DataError(f"{path}: is a file, not a dataset's folder; choose another --dataset")
    if os.path.isdir(path) and not os.path.lexists(marker) and any(p.name[0] != "." for p in path.iterdir()):
        raise DataError(
            f"{path}: holds files but no {fmt.DATASET_FILE}, so it is no dataset; choose another --dataset"
        )
    if overwrite and os.path.exists(path):
        check_no_writers(path)
        files.remove_tree(path)
    if os.path.lexists(marker):
        present = commit.read_description(path).checked()
        wanted = commit.recording_entries(files.parse_json(text, marker))
        differing = [key for key in wanted if present.get(key) != wanted[key]]
        if differing:
            key = differing[0]
            raise DataError(
                f"{marker}: {key} is {present.get(key)!r}, the new runs have {wanted[key]!r}; "
                "choose another --dataset, or --owr to replace this one"
            )
        return path
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise files.disk_error(path, error) from error
    files.atomic_write(marker, text)
    return path


class _Inline:
    """Does work in the thread that submits it."""

    def submit(self, work: Callable[[], None]) -> None:
        work()

    def shutdown(self, wait: bool = True) -> None:
        pass


class RunWriter:
    """Writes one run.

    Args:
        dataset_path: a dataset made with `create_dataset`.
        name: the run's name, e.g. `00003_esatv3`. An unfinished run of this name is replaced now. A run
            that ended as `aborted` or `sim_failure` is replaced at the commit and moves to quarantine/.
        facts: facts known at the start, for run.json.
        jpeg_quality: 1 to 100.
        threads: number of threads that encode and write; 0: `add` does it. The written bytes do not depend
            on it.
        storage: how the run keeps its images: `tar` (one a camera) or `files` (one an image).

    Raises:
        UsageError: the storage is unknown.
        DataError: the name is invalid or belongs to a run with another outcome, a live process writes the
            run, or the file system refuses.
    """

    def __init__(
        self,
        dataset_path: PathLike,
        name: str,
        facts: Optional[dict] = None,
        jpeg_quality: int = 95,
        threads: int = THREADS,
        storage: str = TAR,
    ):
        check_storage(storage)
        self.dataset = Path(dataset_path)
        self.name = name
        self._totals = Totals()
        self._facts = dict(facts or {})
        self._quality = jpeg_quality
        self._storage = storage
        self._images: dict[str, ImageWriter] = {}
        self._final = self.dataset / name
        self._partial = self.dataset / f"{name}{fmt.PARTIAL}"
        self._sums: dict[str, bytes] = {}
        self._sensors: Optional[dict] = None
        self._last: Optional[Frame] = None
        self._error: Optional[BaseException] = None
        self._queue_slots = threading.BoundedSemaphore(MAX_QUEUED_IMAGES)
        self._pool: Union[ThreadPoolExecutor, _Inline, None] = None
        self._open_fds: list[int] = []
        if fmt.parse_run_name(name) is None:
            raise DataError(f"run name {name!r} is not NNNNN_<world>")
        if not os.path.exists(self.dataset / fmt.DATASET_FILE):
            raise DataError(f"{self.dataset}: not a dataset ({fmt.DATASET_FILE} is missing)")
        self._check_final()
        try:
            if self._partial.exists():
                os.close(lock_partial(self._partial))
                files.remove_tree(self._partial)
            self._partial.mkdir()
            self._open_fds.append(lock_partial(self._partial))
            files.write_file(self._partial / START_FILE, files.to_json(self._facts).encode())
            self._csv = self._open(fmt.FRAMES_FILE)
            self._csv_sum = hashlib.sha256()
            self._write_csv(fmt.HEADER)
        except OSError as error:
            self._close()
            raise files.disk_error(self._partial, error) from error
        self._scan: Optional[int] = None
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="images") if threads else _Inline()

    @property
    def frames(self) -> int:
        """Number of frames so far."""
        return self._totals.frames

    def _check_final(self) -> None:
        if not os.path.lexists(self._final):
            return
        outcome = str(commit.read_run(self._final).checked()["outcome"])
        if outcome not in (Outcome.ABORTED.value, Outcome.SIM_FAILURE.value):
            raise DataError(
                f"{self._final}: this run is recorded already ({outcome}); "
                "choose another --dataset, or --owr to replace the dataset"
            )

    def _open(self, name: str) -> int:
        fd = os.open(self._partial / name, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
        self._open_fds.append(fd)
        return fd

    def _write_csv(self, line: str) -> None:
        data = line.encode() + b"\n"
        files.write_all(self._csv, data)
        self._csv_sum.update(data)

    def add(
        self,
        frame: Frame,
        rgb: Optional[np.ndarray] = None,
        depth: Optional[np.ndarray] = None,
        scan: Optional[np.ndarray] = None,
        side_rgb: Optional[Mapping[str, np.ndarray]] = None,
    ) -> None:
        """Add a frame; blocks only while the queue is full.

        Args:
            frame: its index must equal the number of frames so far.
            rgb: uint8 (height, width, 3). Threads read the arrays later: do not change them.
            depth: float32 (height, width), metres, or uint16, millimetres.
            scan: float32 (rays,), metres.
            side_rgb: images of side cameras, by name (`left`, `right`), like `rgb`.

        Raises:
            DataError: the frame does not match the earlier frames, or this or an earlier frame could not
                be written. The run is then lost; call `abort`.
        """
        self._raise()
        if self._pool is None:
            raise DataError(f"{self._partial}: this run is closed")
        if frame.index != self.frames:
            raise DataError(f"{self._partial}: frame {frame.index} where {self.frames} was expected")
        if self._last is not None and frame.stamp <= self._last.stamp:
            raise DataError(
                f"{self._partial}: frame {frame.index} has stamp {frame.stamp} ns, "
                f"not later than its predecessor's {self._last.stamp} ns"
            )
        sensors = {
            "rgb": None if rgb is None else list(rgb.shape[:2]),
            "depth": None if depth is None else list(depth.shape),
            "scan": None if scan is None else int(np.size(scan)),
        }
        sides = dict(side_rgb or {})
        sensors.update({fmt.side_sensor(name): list(image.shape[:2]) for name, image in sides.items()})
        try:
            if self._sensors is None:
                self._create_files(sensors)
            if sensors != self._sensors:
                raise DataError(
                    f"{self._partial}: frame {frame.index} has images of {sensors}, "
                    f"the frames before it of {self._sensors}"
                )
            images = {fmt.RGB_FOLDER: rgb, fmt.DEPTH_FOLDER: depth}
            images.update((fmt.side_folder(name), image) for name, image in sides.items())
            for folder, image in images.items():
                if image is not None:
                    self._submit(folder, frame.index, image)
            if scan is not None:
                files.write_all(self._scan, np.ascontiguousarray(scan, "<f4").reshape(-1))
            self._write_csv(fmt.frame_to_row(frame, rgb is not None, depth is not None))
        except OSError as error:
            self._error = files.disk_error(self._partial, error)
            raise self._error from error
        self._last = frame
        self._totals.add(frame)

    def _create_files(self, sensors: dict) -> None:
        """Make the files that the sensors of the first frame need."""
        cameras = {"rgb": fmt.RGB_FOLDER, "depth": fmt.DEPTH_FOLDER}
        cameras.update((fmt.side_sensor(name), fmt.side_folder(name)) for name in fmt.SIDE_CAMERAS)
        for sensor, folder in cameras.items():
            if sensors.get(sensor):
                self._images[folder] = image_writer(self._partial, folder, self._storage)
        if sensors["scan"]:
            self._scan = self._open(fmt.SCAN_FILE)
            files.write_all(self._scan, scan_header(0, sensors["scan"]))
        self._sensors = sensors

    def _submit(self, folder: str, index: int, image: np.ndarray) -> None:
        name = fmt.image_file(folder, index)

        def work() -> None:
            try:
                if self._error is None:
                    depth = folder == fmt.DEPTH_FOLDER
                    data = codec.encode_depth(image) if depth else codec.encode_rgb(image, self._quality)
                    self._images[folder].add(index, data)
                    self._sums[name] = hashlib.sha256(data).digest()
            except OSError as error:
                self._error = files.disk_error(self._partial / name, error)
            except BaseException as error:  # kept, and raised by the next `add` or `commit`
                self._error = error
            finally:
                self._queue_slots.release()

        self._queue_slots.acquire()
        try:
            self._pool.submit(work)
        except BaseException:
            self._queue_slots.release()
            raise

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _close(self) -> None:
        """Wait for the threads, then close every file, the folder's lock last."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True)
        for images in self._images.values():
            images.close()
        while self._open_fds:
            with contextlib.suppress(OSError):
                os.close(self._open_fds.pop())

    def commit(self, facts: Optional[dict] = None) -> Path:
        """Finish the run: flush all files to disk, then rename the folder to its final name.

        Args:
            facts: facts known at the end. These or the start's facts must hold `outcome`. Totals over
                the frames (distance, labels, ...; see `totals`) come from these facts, else from the
                frames, never from the start's facts. If frames are missing (`missing`), totals that are
                counted by frame always come from the frames.

        Returns:
            The run's folder.

        Raises:
            DataError: the outcome is missing or unknown, the run has no frame, or the file system
                refuses; the unfinished run stays recognisable.
        """
        totals = self._totals.metadata({**self._facts, **(facts or {})})
        facts = {**without_totals(self._facts), **totals, **(facts or {})}
        if facts.get("missing"):
            facts.update({key: totals[key] for key in FRAME_TOTALS})
        outcome = facts.get("outcome")
        if outcome not in [item.value for item in Outcome]:
            raise DataError(f"{self._partial}: outcome {outcome!r} is none; known: {', '.join(Outcome)}")
        if self.frames == 0:
            raise DataError(f"{self._partial}: a run without frames cannot be committed; abort it")
        if self._pool is None and self._error is None:
            raise DataError(f"{self._partial}: this run is closed")
        if self._pool is not None:
            self._pool.shutdown(wait=True)
        self._raise()
        try:
            return self._commit({**facts, "outcome": str(outcome)})
        except OSError as error:
            self._error = files.disk_error(self._partial, error)
            raise self._error from error
        finally:
            self._close()

    def _commit(self, facts: dict) -> Path:
        for images in self._images.values():
            images.finish()
        if self._scan is not None:
            os.pwrite(self._scan, scan_header(self.frames, self._sensors["scan"]), 0)
            self._sums[fmt.SCAN_FILE] = file_sha256(self._partial / fmt.SCAN_FILE)
        self._sums[fmt.FRAMES_FILE] = self._csv_sum.digest()
        facts.pop("dataset", None)  # this description is in dataset.json
        facts["jpeg_quality"] = self._quality
        finish_partial(self._partial, self.name, facts, self.frames, self._sensors, self._sums)
        if self._final.exists():
            self._check_final()
            quarantine(self._final, "did not count (aborted or sim_failure) and was recorded again")
        os.rename(self._partial, self._final)
        files.fsync(self.dataset)
        return self._final

    def abort(self, facts: Optional[dict] = None) -> Optional[Path]:
        """End the run early: commit the recorded frames with the outcome `aborted`.

        Args:
            facts: facts known at the end. An `outcome` given here is kept, e.g. sim_failure. Totals
                always come from the frames, even if stated here.

        Returns:
            The run's folder. None if the run had no frame (its folder is removed) or could not be written
            (the `.partial` folder stays, with the reason in error.txt).
        """
        if self._pool is None and self._error is None:
            return None
        if self.frames == 0 and self._error is None:
            self._close()
            files.remove_tree(self._partial)
            return None
        if self._error is None:
            with contextlib.suppress(DataError):
                facts = {"outcome": Outcome.ABORTED.value, **(facts or {})}
                return self.commit({**facts, **self._totals.metadata({**self._facts, **facts})})
        self._close()
        with contextlib.suppress(OSError):
            files.write_file(self._partial / "error.txt", f"{self._error}\n".encode())
        return None

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.abort()
