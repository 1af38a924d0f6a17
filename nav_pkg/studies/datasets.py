"""Make the missing datasets that studies name."""

from __future__ import annotations

import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import List, Optional

from nav_pkg.children import dying_with_parent
from nav_pkg.config.session import SimulationConfig
from nav_pkg.core import ROOT, DataError
from nav_pkg.data import files
from nav_pkg.studies.runner import StudyFolder

EXPERT = "esatv3_expert"
LAPS = 12
"""Least number of expert laps: one to validate, one to test, and about 24,000 frames to train on."""
FRAMES_A_LAP = 2400
COLLECTION = 6 * 3600.0
"""Seconds to wait while another study makes datasets."""
RECORDED = "studies/recorded"
"""Folder of the recordings from which a study's datasets are made, below the folder of all datasets."""
_SUBSET = re.compile(EXPERT + r"_(\d+)(K?)\Z")

Command = List[str]
"""A script's name and its flags."""


def frames_of(name: str) -> int:
    """Number of training frames of a subset, from its name; 0 for any other dataset."""
    subset = _SUBSET.fullmatch(name)
    if not subset:
        return 0
    frames = int(subset.group(1)) * (1000 if subset.group(2) else 1)
    usual = f"{frames // 1000}K" if frames % 1000 == 0 else str(frames)
    return frames if name == f"{EXPERT}_{usual}" else 0


def recipe(name: str, expert_exists: bool, most: int = 0) -> Optional[List[Command]]:
    """The commands that make a dataset.

    Args:
        name: name of the dataset.
        expert_exists: whether `esatv3_expert` exists, of which the smaller datasets are subsets.
        most: number of training frames that `esatv3_expert` must have if it is collected.

    Returns:
        The commands; None if no recipe for the dataset exists.
    """
    if name == "smoke":
        flags = "--number_of_runs 4 --max_duration 15 --width 160 --height 120 --random_seed 512"
        return _collected(name, flags, "--outcomes success timeout --min_distance 0 --min_rgb 0 --max_rgb -1")
    frames = frames_of(name)
    if name != EXPERT and not frames:
        return None
    laps = max(LAPS, math.ceil(max(frames, most) / FRAMES_A_LAP) + 2)
    commands = [] if expert_exists else _collected(EXPERT, f"--number_of_runs {laps} --random_seed 512", "")
    if frames:
        commands.append(["dataset.py", "subset", EXPERT, "--frames", str(frames)])
    return commands


def _collected(name: str, flags: str, cleaning: str) -> List[Command]:
    session = (
        f"-t studies/datasets/{name} -w esatv3 --alpha 1 --start route -ds --data_location {RECORDED}/{name}"
    )
    clean = f"--sources {RECORDED}/{name} --destination {name} --val_len 1 --test_len 1"
    return [
        ["run_script.py", *session.split(), *flags.split()],
        ["clean_dataset.py", *clean.split(), *cleaning.split()],
    ]


def make_datasets(
    folder: StudyFolder, root: Path, summary: Path, simulator: str = SimulationConfig.simulator
) -> None:
    """Make the missing datasets of a study's trainings, as far as recipes for them exist.

    Args:
        folder: folder of the study.
        root: the folder of all datasets.
        summary: the folder of all logs.
        simulator: in which flights are collected.

    Raises:
        DataError: a command of the recipe fails.
    """
    wanted = [cell.flags.get("dataset") for cell in folder.cells if cell.command == "main.py"]
    names = list(dict.fromkeys(name for name in wanted if isinstance(name, str)))
    missing = [name for name in names if not (root / name).exists()]
    if not missing:
        return
    root.mkdir(parents=True, exist_ok=True)
    lock = _wait_for(root / "studies")
    try:
        for name in missing:
            if (root / name).exists():  # another study has made it since
                continue
            most = max(map(frames_of, names))
            for script, *more in recipe(name, (root / EXPERT).exists(), most) or ():
                line = [*more, "--data_root", str(root)]
                if script == "run_script.py":
                    line += ["--summary_dir", str(summary.expanduser().resolve())]
                    if simulator != SimulationConfig.simulator:
                        line += ["--simulator", simulator, "--jobs", str(len(os.sched_getaffinity(0)))]
                print(f"{folder.tag}: dataset {name}: {script} {' '.join(line)}", flush=True)
                code = subprocess.run(
                    [sys.executable, str(ROOT / "scripts" / script), *line],
                    preexec_fn=dying_with_parent(signal.SIGTERM),
                ).returncode
                if code:
                    raise DataError(f"dataset {name}: {script} ended with {code}: see its output above")
    finally:
        os.close(lock)


def _wait_for(folder: Path) -> int:
    """Lock a folder; wait while another study holds the lock to make datasets.

    Returns:
        The lock.

    Raises:
        DataError: the lock was not released within COLLECTION seconds.
    """
    deadline = time.monotonic() + COLLECTION
    while True:
        lock = files.lock_folder(folder)
        if lock is not None:
            return lock
        if time.monotonic() > deadline:
            raise DataError(f"{folder}: another study has been making datasets for {COLLECTION / 3600:.0f} h")
        time.sleep(1)
