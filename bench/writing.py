"""Frames per second that one process writes to runs with a file for each image, and to runs with tars."""

from __future__ import annotations

import shutil
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Dict, List, NamedTuple, Sequence, Tuple

import numpy as np

from nav_pkg.config.session import FILES, STORAGES, TAR
from nav_pkg.core import Actor, Command, Frame, Pose, Velocity
from nav_pkg.data.writer import RunWriter, create_dataset

if TYPE_CHECKING:
    from bench.bench import Bench

FRAMES, ROUNDS = 3000, 3
RGB_SIZE, DEPTH_SIZE, RAYS = (120, 160), (90, 160), 360

Images = Sequence[Tuple[np.ndarray, np.ndarray]]
"""Colour image, uint8 (height, width, 3), and depth image, float32 (height, width), metres."""


class Written(NamedTuple):
    """Seconds from the first frame to the committed run: by the clock, and of processor time."""

    wall: float
    processor: float


def images(count: int = 50) -> Images:
    """Images like those of a corridor: smooth surfaces with edges, a little noise; the same at every call."""
    random = np.random.default_rng(1)
    made = []
    for _ in range(count):
        depth, rgb = (_surfaces(random, size) for size in (DEPTH_SIZE, RGB_SIZE))
        colour = 40 + 200 * rgb[..., None] * random.uniform(0.6, 1, 3) + random.normal(0, 3, (*RGB_SIZE, 3))
        made.append((np.clip(colour, 0, 255).astype(np.uint8), (0.5 + 9 * depth).astype(np.float32)))
    return made


def _surfaces(random: np.random.Generator, size: Tuple[int, int]) -> np.ndarray:
    """Ten tilted rectangles, one over the other: float64 (height, width), 0 to 1."""
    height, width = size
    y, x = np.mgrid[0:height, 0:width]
    picture = y / height
    for _ in range(10):
        top, left = random.integers(0, height - 10), random.integers(0, width - 10)
        area = slice(top, top + random.integers(10, 60)), slice(left, left + random.integers(10, 60))
        tilt = random.uniform(0, 1) + random.uniform(-0.3, 0.3) * (x / width) + 0.2 * (y / height)
        picture[area] = np.clip(tilt, 0, 1)[area]
    return picture


def write(folder: Path, storage: str, given: Images, frames: int = FRAMES) -> Written:
    """Write and commit a run in a new dataset, and measure it."""
    dataset = create_dataset(folder, {"robot": "drone", "control_rate": 10})
    scan = np.linspace(0.2, 5, RAYS, dtype=np.float32)
    command, velocity = Command(x=0.8, yaw=0.1), Velocity(0.8)
    wall, processor = time.monotonic(), time.process_time()
    writer = RunWriter(dataset, "00000_esatv3", {"world": "esatv3"}, storage=storage)
    for i in range(frames):
        pose = Pose(0.08 * i, 1 / 3, 1.0)
        row = Frame(i, i * 100_000_000, command, None, command, Actor.EXPERT, pose, velocity, 2.0, 0.08 * i)
        writer.add(row, *given[i % len(given)], scan)
    writer.commit({"outcome": "success"})
    return Written(time.monotonic() - wall, time.process_time() - processor)


def in_turns(folder: Path, given: Images) -> Dict[str, List[Written]]:
    """Write a run of each storage, `ROUNDS` times."""
    measured: Dict[str, List[Written]] = {storage: [] for storage in STORAGES}
    for number in range(ROUNDS):
        for storage in STORAGES:
            # a new folder each time: ext4 creates files slowly just after thousands of files were deleted
            measured[storage].append(write(folder / f"{storage}{number}", storage, given))
    return measured


def writing(bench: Bench) -> None:
    """Measure writer and commit without a simulator."""
    measured = in_turns(bench.work / "writing", images())
    shutil.rmtree(bench.work / "writing")
    wall, processor = (
        {kind: FRAMES / statistics.median(row[column] for row in rows) for kind, rows in measured.items()}
        for column in (0, 1)
    )
    bench.report(
        "tar_over_files", wall[TAR] / wall[FILES], "ratio", bench.command("bench.py", "--only", "writing"),
        f"frames/s with commit: tar {wall[TAR]:,.0f}, files {wall[FILES]:,.0f}; per processor second: "
        f"tar {processor[TAR]:,.0f}, files {processor[FILES]:,.0f}; "
        f"160x120 RGB + 160x90 depth + scan, runs of {FRAMES}, median of {ROUNDS}, in turns",
    )  # fmt: skip


def recording(bench: Bench) -> None:
    """Measure Gazebo's loop at the same sizes, in turns: recorded in tars, in files, not recorded."""
    height, width = RGB_SIZE
    arguments = ("--start", "exact", "--max_duration", 120, "--width", width, "--height", height)
    kinds: Dict[str, Tuple[str, ...]] = {kind: ("-ds", "--storage", kind) for kind in STORAGES}
    kinds["not recorded"] = ()
    speeds: Dict[str, List[float]] = {kind: [] for kind in kinds}
    for number in range(bench.repeats):
        for kind, extra in kinds.items():
            run = bench.fly(f"recording{number}{kind[:3]}", *arguments, *extra)[0]
            speeds[kind].append(10 * run["simulated_seconds"] / run["wall_seconds"])
    middle = {kind: statistics.median(values) for kind, values in speeds.items()}
    rates = ", ".join(f"{kind} {speed:.1f}" for kind, speed in middle.items())
    bench.report(
        "tar_over_files_gazebo", middle[TAR] / middle[FILES], "ratio",
        bench.command("bench.py", "--only", "recording"),
        f"frames/s: {rates}; {width}x{height} RGB + 160x90 depth + scan, median of {bench.repeats}, in turns",
    )  # fmt: skip


MEASUREMENTS = {"writing": writing, "recording": recording}
