"""Means, deviations and shares, by hand."""

import numpy as np
import pytest

from nav_pkg.core import DataError
from nav_pkg.data import statistics
from nav_pkg.data.info import channel_statistics
from nav_pkg.data.progress import Bar, say
from nav_pkg.data.reader import Dataset
from nav_pkg.data.statistics import dataset_statistics, evenly_spaced_frames


def test_channels_of_images():
    images = np.zeros((2, 1, 2, 3), np.uint8)
    images[..., 0] = [[[0, 255]], [[0, 255]]]
    images[..., 1] = 51
    images[1, ..., 2] = 102
    means, stds = channel_statistics(images)
    assert means == (0.5, 0.2, 0.2) and stds == (0.5, 0.0, 0.2)


def test_portions_make_no_difference(tmp_path):
    images = np.random.default_rng(3).integers(0, 256, (150, 5, 4, 3), dtype=np.uint8)
    np.save(tmp_path / "a.npy", images)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    flat = images.reshape(-1, 3) / 255
    for array in (images, mapped, mapped[::2][:75]):
        means, stds = channel_statistics(array)
        some = flat if len(array) == 150 else (images[::2].reshape(-1, 3) / 255)
        assert means == pytest.approx(some.mean(0).tolist(), abs=1e-6)
        assert stds == pytest.approx(some.std(0).tolist(), abs=1e-6)


@pytest.mark.parametrize(
    "lengths, count, places",
    [
        ([4, 2], 3, [(0, 0), (0, 2), (1, 0)]),
        ([4, 2], 6, [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1)]),
        ([4, 2], 99, [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1)]),
        ([1, 1, 1, 1], 2, [(0, 0), (2, 0)]),
        ([10, 10], 4, [(0, 0), (0, 5), (1, 0), (1, 5)]),
        ([3], 1, [(0, 0)]),
    ],
)
def test_frames_are_spread_evenly(lengths, count, places):
    runs = [range(1000 * k, 1000 * k + length) for k, length in enumerate(lengths)]
    assert [(runs.index(run), i) for run, i in evenly_spaced_frames(runs, count)] == places


def test_colours_are_those_of_the_training_set_and_classes_of_all(samples, dataset):
    whole = dataset_statistics(Dataset(dataset))
    assert whole["rgb"]["of"] == "all" and whole["rgb"]["images"] == 24 and list(whole["parts"]) == ["all"]
    for part, numbers in (("train", (2, 0)), ("val", (1,)), ("test", ())):
        (dataset / f"{part}_set.txt").write_text("".join(f"{n:05d}_esatv3\n" for n in numbers))
    results = dataset_statistics(Dataset(dataset))
    pixels = np.concatenate(
        [run.rgb(i)[::4, ::4].reshape(-1, 3) for run in Dataset(dataset).split("train") for i in range(8)]
    )
    assert results["rgb"]["mean"] == pytest.approx((pixels.mean(0) / 255).tolist(), abs=1e-6)
    assert results["rgb"]["std"] == pytest.approx((pixels.std(0) / 255).tolist(), abs=1e-6)
    assert results["rgb"]["images"] == 16 and results["rgb"]["of"] == "train"
    assert results["parts"]["train"] == {
        "runs": 2,
        "frames": 16,
        "classes": {"left": 4, "straight": 8, "right": 4},
        "shares": {"left": 0.25, "straight": 0.5, "right": 0.25},
    }
    assert results["parts"]["test"]["frames"] == 0 and results["parts"]["test"]["shares"]["left"] is None
    assert dataset_statistics(Dataset(dataset), 5)["rgb"]["images"] == 5
    text = statistics.as_text(results)
    assert "train        2 runs      16 frames: left 25.0 %, straight 50.0 %, right 25.0 %" in text
    means = " ".join(f"{v:.3f}" for v in results["rgb"]["mean"])
    assert f"--scaled_input --scale_means {means} --scale_stds " in text


def test_images_of_one_colour_give_no_flags():
    assert statistics.scale_flags({"mean": [0.1, 0.2, 0.3], "std": [0.1, 0.0, 0.2]}) is None


def test_damage_and_a_lack_of_images_are_named(samples, dataset):
    (dataset / "00001_esatv3/RGB/0000000003.jpg").write_bytes(b"")
    with pytest.raises(DataError, match="0000000003.jpg: no whole JPEG.*; see dataset.py verify"):
        dataset_statistics(Dataset(dataset))
    writer = samples.writer(dataset, "00003_esatv3")
    writer.add(samples.frame(0))
    writer.commit({"outcome": "success"})
    with pytest.raises(DataError, match="00003_esatv3: the run has no colour images"):
        dataset_statistics(Dataset(dataset), 25)


def test_a_bar_tells_now_and_then(capsys, monkeypatch):
    with Bar(10, "things") as bar:
        bar.add(4)
        assert capsys.readouterr().err == ""
        monkeypatch.setattr("nav_pkg.data.progress.EVERY", 0.0)
        bar.add(2)
    assert capsys.readouterr().err.startswith("6 of 10 things, ")
    say("a line")
    assert capsys.readouterr().err == "a line\n"


def test_a_bar_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with Bar(10, "things") as bar:
        bar.add(4)
        say("a line")
        bar.add(6)
    text = capsys.readouterr().err
    assert "10/10" in text and "a line\n" in text
