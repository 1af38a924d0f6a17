"""Small datasets with a task that is easy to learn: the bright half says where to turn."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
import torch

from nav_pkg.core import Actor, Command, Frame, Pose, Velocity
from nav_pkg.data.packs.pack import open_packs
from nav_pkg.data.reader import Dataset
from nav_pkg.data.writer import RunWriter, create_dataset

DESCRIPTION = {"camera": {"width": 64, "height": 36}, "robot": "drone", "control_rate": 10}
YAWS = (-0.9, 0.0, 0.0, 0.0, 0.9, 0.1)


def picture(yaw: float, random: np.random.RandomState) -> np.ndarray:
    """A noisy image, uint8 (36, 64, 3): bright left for a left turn, right for a right one."""
    image = random.randint(0, 90, (36, 64, 3))
    if yaw > 0.5:
        image[:, :32] += 150
    elif yaw < -0.5:
        image[:, 32:] += 150
    return image.astype(np.uint8)


def _write_run(dataset, name: str, frames: int, seed: int, yaws=YAWS) -> None:
    """Write a run of the easy task."""
    random = np.random.RandomState(seed)
    writer = RunWriter(dataset, name, {"world": "esatv3", "outcome": "success"})
    for i in range(frames):
        yaw = yaws[random.randint(len(yaws))]
        command = Command(x=0.8, yaw=yaw)
        frame = Frame(
            index=i,
            stamp=i * 100_000_000,
            expert=command,
            learner=None,
            applied=command,
            actor=Actor.EXPERT,
            pose=Pose(0.08 * i, 0.0, 1.0),
            velocity=Velocity(0.8),
            nearest=2.0,
            progress=0.08 * i,
        )
        writer.add(frame, rgb=picture(yaw, random))
    writer.commit({"outcome": "success"})


def _write_dataset(root, name: str = "easy", runs: int = 3, frames: int = 90, yaws=YAWS):
    """Write a dataset with `runs` training runs, one validation run and one test run."""
    dataset = create_dataset(root / name, DESCRIPTION)
    names = [f"{i:05d}_esatv3" for i in range(runs + 2)]
    for seed, run in enumerate(names):
        _write_run(dataset, run, frames, seed, yaws)
    for part, members in (("train", names[:-2]), ("val", names[-2:-1]), ("test", names[-1:])):
        (dataset / f"{part}_set.txt").write_text("".join(f"{run}\n" for run in members))
    return dataset


@pytest.fixture
def write_run():
    """A function that writes a run: `_write_run`."""
    return _write_run


@pytest.fixture
def write_dataset():
    """A function that writes a dataset: `_write_dataset`."""
    return _write_dataset


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """A folder of packs for these tests alone, also in the processes that they start."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("packs")
        patch.setenv("NAV_PKG_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def data_root(tmp_path_factory, cache):
    """A data root with the dataset `easy`: 270 training frames, 90 each to validate and test.

    Its packs for networks of 128x128 pixels are there.
    """
    root = tmp_path_factory.mktemp("data")
    dataset = Dataset(_write_dataset(root))
    for part in ("train", "val", "test"):
        open_packs(dataset.split(part), (128, 128))
    return root


@pytest.fixture(autouse=True)
def torch_settings():
    """Training sets torch up for itself; what others find is put back."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    state = torch.get_rng_state()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)
    torch.set_flush_denormal(False)
    torch.set_rng_state(state)
    # Training keeps the memory that it frees; tests side by side would fill a small machine.
    ctypes.CDLL(None).malloc_trim(0)
