"""Small runs and datasets to test with."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from nav_pkg.core import Actor, Command, Frame, Pose, Velocity
from nav_pkg.data import commit, files
from nav_pkg.data.image_tar import ImageTar
from nav_pkg.data.writer import RunWriter, create_dataset

ROOT = Path(__file__).resolve().parents[2]
PERIOD = 100_000_000


class Samples:
    """Makes frames, images, runs and datasets that depend on their numbers alone.

    Args:
        storage: how the runs keep their images, `tar` or `files`.
    """

    def __init__(self, storage="files"):
        self.storage = storage

    @staticmethod
    def film(path):
        """The pictures of a film, one after the other: uint8 (height, width, 3), RGB."""
        import cv2

        film, pictures = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG), []
        while True:
            more, picture = film.read()
            if not more:
                return pictures
            pictures.append(picture[:, :, ::-1])

    root = ROOT
    description = {
        "camera": {"width": 48, "height": 32},
        "robot": "drone",
        "action_space": "velocity",
        "control_rate": 10,
    }

    @staticmethod
    def frame(i, yaw=None, speed=0.8, learner=False):
        yaw = (0.0, 0.9, -0.9, 0.1)[i % 4] if yaw is None else yaw
        return Frame(
            index=i,
            stamp=i * PERIOD,
            expert=Command(speed, 0.0, 0.0, yaw),
            learner=Command(0.5, 0.0, 0.0, -yaw) if learner else None,
            applied=Command(speed, 0.0, 0.0, yaw),
            actor=Actor.EXPERT,
            pose=Pose(0.1 + 0.08 * i, 1 / 3, 1.0, 0.0, 0.01, 0.2),
            velocity=Velocity(0.8, 0.0, 0.0, yaw),
            nearest=1.5 + i / 7,
            progress=0.08 * i,
        )

    @staticmethod
    def rgb(i, seed=0):
        rng = np.random.default_rng([seed, i])
        blocks = rng.integers(0, 256, (4, 6, 3), dtype=np.uint8)
        return np.repeat(np.repeat(blocks, 8, axis=0), 8, axis=1)

    @staticmethod
    def depth(i, seed=0):
        depth = np.random.default_rng([seed, i, 1]).uniform(0.3, 9, (16, 24)).astype(np.float32)
        depth[0, :3] = np.inf, np.nan, 70.0
        return depth

    @staticmethod
    def scan(i, seed=0):
        scan = np.random.default_rng([seed, i, 2]).uniform(0.12, 3.5, 12).astype(np.float32)
        scan[0] = np.inf
        return scan

    def writer(self, dataset, name, facts=None, **settings):
        """The writer of a new run."""
        return RunWriter(dataset, name, facts, **{"storage": self.storage, **settings})

    def run(self, dataset, number=0, frames=8, outcome="success", seed=None, world="esatv3", **facts):
        """Write a committed run; its path."""
        seed = number if seed is None else seed
        writer = self.writer(dataset, f"{number:05d}_{world}", {"world": world, "seed": seed, **facts})
        for i in range(frames):
            writer.add(self.frame(i), self.rgb(i, seed), self.depth(i, seed), self.scan(i, seed))
        return writer.commit({"outcome": outcome})

    def dataset(self, path, runs=3, frames=8):
        """A dataset of a few runs; its path."""
        create_dataset(path, self.description)
        for number in range(runs):
            self.run(path, number, frames)
        return path

    @staticmethod
    def edit(run, **facts):
        """Change a run's facts as if they had been committed like that."""
        path = run / "run.json"
        path.write_bytes(commit.json_with_checksum({**json.loads(path.read_bytes()), **facts}))

    @contextlib.contextmanager
    def as_files(self, run):
        """The images of a run as files, to change them; then its tars have what the folders have."""
        tars = sorted(run.glob("*.tar"))
        for path in tars:
            with tarfile.open(path) as tar:
                tar.extractall(run)
            path.unlink()
        yield
        for path in tars:
            folder = path.with_suffix("")
            with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
                for file in sorted(folder.iterdir()) if folder.exists() else ():
                    tar.add(file, f"{folder.name}/{file.name}")
            shutil.rmtree(folder, ignore_errors=True)
            tar = ImageTar(run, folder.name)
            tar.index_path.unlink(missing_ok=True)  # the file may have other names
            tar.index_path.write_bytes(tar.index_from_headers())

    @staticmethod
    def age(dataset):
        """Make a dataset one of format 1, whose facts have no checksum."""
        for path in (dataset / "dataset.json", *dataset.glob("*/run.json")):
            facts = {**json.loads(path.read_bytes()), "format": 1}
            facts.pop("sha256")
            facts.pop("splits", None)
            path.write_text(files.to_json(facts))

    @staticmethod
    def tree(path):
        """Every file below a folder and its bytes."""
        return {str(p.relative_to(path)): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}

    @staticmethod
    def script(name, *args, **env):
        """Run a command as a user does."""
        return subprocess.run(
            [sys.executable, str(ROOT / "scripts" / f"{name}.py"), *map(str, args)],
            capture_output=True,
            text=True,
            env={**os.environ, **env},
            timeout=120,
        )


def pytest_generate_tests(metafunc):
    """Run the tests of a module once for each of its `STORAGES`, if they use samples.

    A test that is about one of them says so: `@pytest.mark.parametrize("storage", ["files"], indirect=True)`.
    """
    given = {mark.args[0] for mark in metafunc.definition.iter_markers("parametrize")}
    if hasattr(metafunc.module, "STORAGES") and {"storage"} & {*metafunc.fixturenames} - given:
        metafunc.parametrize("storage", metafunc.module.STORAGES, indirect=True, scope="session")


@pytest.fixture(scope="session")
def storage(request):
    """How the runs of `samples` keep their images."""
    return getattr(request, "param", "files")


@pytest.fixture(scope="session")
def samples(storage):
    return Samples(storage)


@pytest.fixture(scope="session")
def recorded(samples, tmp_path_factory):
    """A dataset to copy: writing one takes ten times as long."""
    return samples.dataset(tmp_path_factory.mktemp("recorded") / "esat")


@pytest.fixture
def dataset(recorded, tmp_path):
    """The path of a dataset of three runs with eight frames each."""
    return Path(shutil.copytree(recorded, tmp_path / "data" / "esat"))
