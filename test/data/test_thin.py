"""Runs without their images, and the images kept of them."""

import numpy as np
import pytest

from nav_pkg.core import Actor, Command, DataError, Frame, Pose, Velocity
from nav_pkg.data import thin
from nav_pkg.data.reader import Run
from nav_pkg.data.verify import verify_run
from nav_pkg.data.writer import RunWriter, create_dataset


@pytest.fixture
def run(tmp_path):
    folder = create_dataset(tmp_path / "flights", {"robot": {"name": "drone"}, "control_rate": 10})
    with RunWriter(folder, "00002_esatv3") as writer:
        for i in range(12):
            command = Command(0.8, 0, 0, 0.1 * i)
            pose, velocity = Pose(0.08 * i, 0, 1), Velocity(0.8)
            frame = Frame(
                i, i * 100_000_000, command, command, command, Actor.LEARNER, pose, velocity, 2.0, 0.08 * i
            )
            rgb = np.full((24, 32, 3), 20 * i, np.uint8)
            writer.add(frame, rgb, np.full((9, 16), 2.0, np.float32), np.ones(8, np.float32))
        writer.commit({"outcome": "collision", "reason": "by hand", "world": "esatv3"})
    return Run(folder / "00002_esatv3")


def test_a_thin_run_is_whole_and_says_the_same(run):
    before = {name: run.frames[name].copy() for name in ("stamp", "x", "applied_yaw", "learner_yaw", "actor")}
    facts, scan = dict(run.facts), run.scan.copy()
    thinned = thin.strip_images(run)
    assert verify_run(Run(thinned.path)).problems == []
    for name, column in before.items():
        assert np.array_equal(thinned.frames[name], column), name
    assert np.array_equal(thinned.scan, scan)
    differing = {key for key in {*facts, *thinned.facts} if facts.get(key) != thinned.facts.get(key)}
    assert differing <= {"sensors", "content", "jpeg_quality", "sha256"}
    names = {path.name for path in thinned.path.iterdir()}
    assert names == {"frames.csv", "run.json", "scan.npy", "sha256sums.txt"}
    assert sorted(path.name for path in thinned.path.parent.iterdir() if path.name.startswith("00")) == [
        run.name
    ]


def test_thin_twice_is_thin_once(run):
    first = thin.strip_images(run)
    content = (first.path / "run.json").read_bytes()
    assert (thin.strip_images(Run(first.path)).path / "run.json").read_bytes() == content


def test_kept_pictures_outlive_the_run(run, tmp_path):
    image = run.rgb(7).copy()
    kept = thin.keep_images(run, tmp_path / "pictures" / run.name, [7, 3, 7])
    thin.strip_images(run)
    assert kept.indices == [3, 7]
    assert np.array_equal(kept.rgb(7), image)
    assert 7 in kept
    assert 5 not in kept


def test_pictures_are_all_there_or_not_at_all(run, tmp_path):
    (run.path / "RGB.tar").unlink()
    folder = tmp_path / "pictures" / run.name
    with pytest.raises(DataError, match=r"RGB\.tar: cannot read: no such file"):
        thin.keep_images(run, folder, [3, 7])
    assert not folder.exists()
