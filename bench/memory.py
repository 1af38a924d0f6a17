"""The measurements of memory; each runs in its own process, whose peak counts."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Iterator

import numpy as np

from bench.learning import Figure, make_trainer, train_step
from nav_pkg.core import LearnerError
from nav_pkg.data.packs.pack import Pack
from nav_pkg.learn.batches.samples import Samples
from nav_pkg.learn.training import determinism

FRAMES_200K = 200_000

LAP = 2450
"""Approximate number of frames of a whole lap at 10 Hz."""


def peak_resident(process: str = "self") -> float:
    """The peak resident memory of a process (`self` or its id), GB.

    getrusage is not suitable: a process inherits its value from the parent.

    Raises:
        OSError: the process has ended.
    """
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    return int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1)) * 1024 / 1e9


def memory(work: Path) -> Iterator[Figure]:
    """Measure the resident memory of a training process on packs of 200,000 frames."""
    folder = work / "200K"
    folder.mkdir()
    random = np.random.default_rng(1)
    block = random.integers(0, 256, (100, 128, 128, 3), dtype=np.uint8)
    try:
        for number in range(80):
            images = np.lib.format.open_memmap(
                folder / f"{number:02d}.npy", "w+", np.uint8, (FRAMES_200K // 80, 128, 128, 3)
            )
            for first in range(0, len(images), len(block)):
                images[first : first + len(block)] = block
            images.flush()
            del images
        command = [sys.executable, "-c", _MEMORY_CODE, str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
        if done.returncode:
            raise LearnerError(f"the measurement of memory failed: {done.stderr.strip()[-300:]}")
        measured = json.loads(done.stdout.splitlines()[-1])
    finally:
        for file in folder.glob("*.npy"):
            file.unlink()
    detail = (
        f"tiny_net, batch 64, {measured['steps']} steps and {measured['evaluated']} frames validated, "
        f"{measured['bytes'] / 1e9:.1f} GB of packs; {measured['before']:.2f} GB before the first batch; "
        f"waiting for data {measured['waiting']:.2%} of the step"
    )
    yield Figure("train_rss_gb", measured["peak"], "GB", detail)


_MEMORY_CODE = """
import sys
from bench.memory import measure_memory
measure_memory(sys.argv[1])
"""


def measure_memory(folder: str) -> None:
    """Train on the packs in a folder and print the peak of resident memory, as JSON."""
    determinism.prepare(123, determinism.cores())
    packs = [Pack(path) for path in sorted(Path(folder).glob("*.npy"))]
    random = np.random.default_rng(2)
    yaw = [random.uniform(-1, 1, pack.frames) for pack in packs]

    samples = Samples([pack.images for pack in packs], yaw)
    trainer = make_trainer("tiny_net", samples)
    val = Samples([pack.images for pack in packs[:8]], yaw[:8])
    before = peak_resident()
    step, steps = train_step(trainer), 400
    for _ in range(steps):
        step()
    waiting = trainer.timing.waiting_share
    trainer.evaluate(val)
    measured = {
        "peak": peak_resident(),
        "before": before,
        "steps": steps,
        "evaluated": len(val),
        "waiting": waiting,
        "bytes": samples.image_bytes,
    }
    print(json.dumps(measured))


def long_run() -> Iterator[Figure]:
    """Measure the memory of F-BPTT over a whole lap of alex_LSTM_net, above that of the process before it."""
    done = subprocess.run(
        [sys.executable, "-c", _LONG_RUN_CODE], capture_output=True, text=True, timeout=1800
    )
    if done.returncode:
        raise LearnerError(f"the measurement of F-BPTT failed: {done.stderr.strip()[-300:]}")
    measured = json.loads(done.stdout.splitlines()[-1])
    detail = (
        f"alex_LSTM_net, one gradient step over {LAP} frames of 224x224 in {measured['seconds']:.0f} s; "
        f"in addition to the {measured['before']:.2f} GB of the process with network, optimiser and images"
    )
    yield Figure("fbptt_memory_gb", measured["peak"] - measured["before"], "GB", detail)


_LONG_RUN_CODE = """
from bench.memory import measure_long_run
measure_long_run()
"""


def measure_long_run() -> None:
    """Learn from one long run; print the peaks of resident memory before and after, as JSON."""
    determinism.prepare(123, determinism.cores())
    random = np.random.default_rng(2)
    images = random.integers(0, 256, (LAP, 224, 224, 3), dtype=np.uint8)
    samples = Samples([images], [random.uniform(-1, 1, LAP)])
    trainer = make_trainer("alex_LSTM_net", samples, time_length=-1)
    before = peak_resident()
    begin = time.perf_counter()
    trainer.train_batch()
    measured = {
        "before": before,
        "seconds": time.perf_counter() - begin,
        "peak": peak_resident(),
    }
    print(json.dumps(measured))
