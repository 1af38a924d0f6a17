"""Import ROS 1 bags: make the same dataset that the recorder would have written.

Messages are joined by exact stamp, as in the recorder, and pass through the same conversion (`messages`)
and the same `RunWriter`. The import needs no ROS installation.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict, deque
from pathlib import Path
from typing import Any, Callable, Iterable, NamedTuple, Optional, Sequence

from nav_pkg.config.dataset import BAG_TOPICS
from nav_pkg.config.paths import PathLike
from nav_pkg.config.session import TAR
from nav_pkg.core import DataError
from nav_pkg.data import format as fmt
from nav_pkg.data import messages
from nav_pkg.data.bagfile import Bag, Connection, Deserialiser
from nav_pkg.data.writer import RunWriter, create_dataset

MAX_LATER_EPISODES = 20
"""Number of later /episode messages after which an incomplete frame is dropped."""

_MAX_MISSING_FRAMES = 100_000
"""Maximum number of consecutive frames missing from a bag: nearly three hours."""

_MAX_PENDING_STAMPS = 64
"""Maximum number of stamps whose messages wait for their /episode message."""


class DroppedFrame(NamedTuple):
    """A frame that could not be placed in a run: its run, index, stamp (ns, bag clock) and the reason."""

    run: str
    index: int
    stamp: int
    why: str

    def __str__(self) -> str:
        return (
            f"{self.run} frame {self.index} at {self.stamp // 10**9}.{self.stamp % 10**9:09d} s: {self.why}"
        )


class ImportResult(NamedTuple):
    """The result of an import."""

    dataset: Path
    runs: list[Path]
    frames: int
    dropped: list[DroppedFrame]
    notes: list[str]


class _RunImporter:
    """Turns placed frames and /episode messages, in order, into runs."""

    def __init__(self, path: Path, overwrite: bool, storage: str):
        self._path = path
        self._storage = storage
        self._overwrite = overwrite
        self._writer: Optional[RunWriter] = None
        self._next = 0
        self._missing: list[dict] = []
        self.runs: list[Path] = []
        self.frames = 0
        self.dropped: list[DroppedFrame] = []
        self.notes: list[str] = []

    def add_episode(self, episode: Any, parts: dict[str, Any], why: str) -> None:
        """Process the next /episode message.

        Args:
            episode: the message.
            parts: the other messages of its stamp, by kind.
            why: what the frame lacks; empty if it is complete.
        """
        if self._writer is not None and (
            episode.name != self._writer.name or 0 <= episode.index < self._next
        ):
            self._abort("its end is not in the bag")
        if self._writer is None:
            if episode.index < 0:
                return
            self._begin_run(episode)
        stamp = messages.stamp_ns(episode.header.stamp)
        if episode.index - self._next > _MAX_MISSING_FRAMES:
            raise DataError(
                f"{episode.name}: frame {episode.index} follows frame {self._next - 1}; the bag is damaged"
            )
        for index in range(self._next, episode.index):
            self._drop(DroppedFrame(episode.name, index, stamp, f"no {BAG_TOPICS['episode']} message"))
        if episode.index >= 0:
            self._next = episode.index + 1
            if why:
                self._drop(DroppedFrame(episode.name, episode.index, stamp, why))
            else:
                self._add(episode, parts)
        if episode.state == "ended":
            self._end(episode)

    def _begin_run(self, episode: Any) -> None:
        description, facts = messages.run_facts(episode)
        create_dataset(self._path, description, overwrite=self._overwrite)
        self._overwrite = False
        quality = description.get("jpeg_quality") or 95
        self._writer = RunWriter(self._path, episode.name, facts, jpeg_quality=quality, storage=self._storage)
        self._next = 0
        self._missing = []

    def _drop(self, dropped: DroppedFrame) -> None:
        self.dropped.append(dropped)
        self._missing.append({"index": dropped.index, "why": dropped.why})

    def _add(self, episode: Any, parts: dict[str, Any]) -> None:
        frame = messages.frame_from_messages(
            episode, parts["odometry"], parts["expert"], parts.get("learner")
        )
        # indices close the gap of a missing frame; run.json lists the missing frames
        frame = type(frame)(**{**frame.__dict__, "index": self._writer.frames})
        rgb, depth, scan = (parts.get(name) for name in ("rgb", "depth", "scan"))
        self._writer.add(
            frame,
            None if rgb is None else messages.image_to_array(rgb),
            None if depth is None else messages.image_to_array(depth),
            None if scan is None else messages.scan_to_array(scan),
            {
                camera: messages.image_to_array(parts[fmt.side_sensor(camera)])
                for camera in fmt.SIDE_CAMERAS
                if fmt.side_sensor(camera) in parts
            },
        )

    def _end(self, episode: Any) -> None:
        _, facts = messages.run_facts(episode)
        self._finish({"outcome": episode.outcome, **facts}, commit=True)

    def _abort(self, why: str) -> None:
        self.notes.append(f"{self._writer.name}: {why}; its outcome is aborted")
        self._finish({"reason": why}, commit=False)

    def _finish(self, facts: dict, commit: bool) -> None:
        writer, self._writer = self._writer, None
        if self._missing:
            facts = {**facts, "missing": self._missing}
        frames = writer.frames
        path = writer.commit(facts) if commit and frames else writer.abort(facts)
        if path is None:
            self.notes.append(f"{writer.name}: no frame could be placed; no run was made")
        else:
            self.runs.append(path)
            self.frames += frames

    def close(self) -> None:
        """End the open run, if any, as aborted."""
        if self._writer is not None:
            self._abort("the bag ends before the run does")

    def abort_after_error(self) -> None:
        """After an error, end the open run, if any, as aborted; its frames so far are kept."""
        if self._writer is not None:
            with contextlib.suppress(DataError):
                self._writer.abort()


class _StampSynchronizer:
    """Joins messages by stamp and passes frames to `_RunImporter` in the order of their /episode messages."""

    def __init__(self, expected: set[str], read: Deserialiser, runs: _RunImporter):
        self._expected = expected - {"episode", "learner"}
        self._read = read
        self._runs = runs
        self._parts: OrderedDict[int, dict[str, Any]] = OrderedDict()
        self._queue: deque = deque()

    def add(self, kind: str, connection: Connection, data: bytes) -> None:
        """Add one message."""
        message = self._read(connection, data)
        stamp = messages.stamp_ns(message.header.stamp)
        if kind != "episode":
            self._parts.setdefault(stamp, {})[kind] = message
            while len(self._parts) > _MAX_PENDING_STAMPS + len(self._queue):
                self._parts.popitem(last=False)
        elif message.index < 0 and message.state != "ended":
            self._parts.pop(stamp, None)
        else:
            self._queue.append([message, stamp, 0])
        if kind == "episode":
            for entry in self._queue:
                entry[2] += 1
        self.emit()

    def emit(self, everything: bool = False) -> None:
        """Pass on frames that are complete or have waited too long; with `everything`, all frames."""
        while self._queue:
            episode, stamp, waited = self._queue[0]
            parts = self._parts.get(stamp, {})
            needed = self._expected | ({"learner"} if episode.has_learner else set())
            missing = sorted(needed - set(parts)) if episode.index >= 0 else []
            if missing and waited <= MAX_LATER_EPISODES and not everything:
                return
            self._queue.popleft()
            self._parts.pop(stamp, None)
            why = "no message of " + ", ".join(missing) if missing else ""
            self._runs.add_episode(episode, parts, why)


def bag_to_dataset(
    bags: Sequence[PathLike],
    path: PathLike,
    overwrite: bool = False,
    topics: Optional[dict[str, str]] = None,
    progress: Callable[[Iterable], Iterable] = iter,
    storage: str = TAR,
) -> ImportResult:
    """Make a dataset from bags.

    Args:
        bags: ROS 1 bags; the bags of one recording (`--split`) in their order.
        path: the dataset's folder; runs are added to an existing dataset.
        overwrite: remove an existing dataset first (when the first run begins).
        topics: topic names that differ from `BAG_TOPICS`.
        progress: wraps the stream of messages.
        storage: how the new runs keep their images, as of `RunWriter`.

    Returns:
        The dataset, its new runs, every frame that could not be placed, and notes (a truncated bag, a run
        without end).

    Raises:
        DataError: a bag is missing, empty, damaged or has no /episode messages, or the dataset cannot be
            written.
    """
    names = {**BAG_TOPICS, **(topics or {})}
    kinds = {topic: kind for kind, topic in names.items()}
    files = [Bag(bag) for bag in bags]
    in_bags: dict[str, None] = {}
    for bag in files:
        for connection in bag.connections():
            in_bags[connection.topic] = None
    expected = {kinds[topic] for topic in in_bags if topic in kinds}
    where = ", ".join(str(bag.path) for bag in files)
    if not in_bags:
        raise DataError(f"{where}: no messages; the bag is empty or is cut before the first one")
    needed = [names[kind] for kind in ("episode", "expert", "odometry") if kind not in expected]
    if needed:
        raise DataError(
            f"{where}: no {' and no '.join(needed)} among its topics ({', '.join(sorted(in_bags))}); "
            "record with record_bag.launch, or name the topics with --topic"
        )
    runs = _RunImporter(Path(path), overwrite, storage)
    join = _StampSynchronizer(expected | {"episode", "expert", "odometry"}, Deserialiser(), runs)
    notes = []
    try:
        for bag in files:
            for connection, data in progress(bag.messages()):
                kind = kinds.get(connection.topic)
                if kind is not None:
                    join.add(kind, connection, data)
            if bag.truncated_at is not None:
                notes.append(f"{bag.path}: is cut at byte {bag.truncated_at}; the messages before were read")
            elif not bag.closed:
                notes.append(f"{bag.path}: was never closed; its last seconds may be missing")
        join.emit(everything=True)
        runs.close()
    except BaseException:
        runs.abort_after_error()
        raise
    if not runs.runs:
        raise DataError(f"{where}: holds no frame of a running episode; no run was made")
    return ImportResult(Path(path), runs.runs, runs.frames, runs.dropped, notes + runs.notes)
