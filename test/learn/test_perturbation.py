"""Perturbations of images: what they do, the same bytes from the same seed, refusals."""

import numpy as np
import pytest

from nav_pkg.core import UsageError
from nav_pkg.learn.perturbation import Perturbation

IMAGE = np.full((24, 32, 3), 100, np.uint8)
IMAGE[:, 16:] = 200


def flown(text, seed, run, images=3):
    perturbation = Perturbation.parse(text)
    perturbation.reset(seed, run)
    return [perturbation.apply(IMAGE).tobytes() for _ in range(images)]


@pytest.mark.parametrize("text", ["none", "light:0.3", "blur:1.5", "noise:0.1"])
def test_a_seed_gives_the_same_bytes(text):
    before = IMAGE.copy()
    assert flown(text, 7, 2) == flown(text, 7, 2)
    assert np.array_equal(IMAGE, before)


def test_noise_differs_between_frames_runs_and_seeds_and_has_its_strength():
    first = flown("noise:0.1", 7, 2)
    assert len({*first, *flown("noise:0.1", 7, 3), *flown("noise:0.1", 8, 2)}) == 9
    grey = np.full((200, 200, 3), 128, np.uint8)
    noise = Perturbation.parse("noise:0.1").apply(grey).astype(float) - 128
    assert noise.std() == pytest.approx(25.5, rel=0.02)
    assert noise.mean() == pytest.approx(0, abs=0.3)


def test_light_darkens_some_runs_and_brightens_the_others():
    values = {np.frombuffer(flown("light:0.5", 7, run, 1)[0], np.uint8)[0] for run in range(20)}
    assert values == {50, 200}
    assert len(set(flown("light:0.5", 7, 4))) == 1


def test_blur_mixes_neighbours_only():
    blurred = Perturbation.parse("blur:1").apply(IMAGE)
    assert 100 < blurred[12, 15, 0] < 200
    assert (blurred[:, 0] == 100).all()
    assert (blurred[:, -1] == 200).all()


def test_none_leaves_the_image():
    assert Perturbation.parse("none").apply(IMAGE) is IMAGE


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fog:0.1", "no perturbation is called 'fog'"),
        ("nois:0.1", "did you mean 'noise'"),
        ("noise", "strength is missing"),
        ("noise:", "strength is ''"),
        ("noise:0", "strength is '0'"),
        ("noise:nan", "strength is 'nan'"),
        ("light:1", "at most 0.95"),
        ("blur:-1", "strength is '-1'"),
    ],
)
def test_refused(text, message):
    with pytest.raises(UsageError, match=message):
        Perturbation.parse(text)


def test_text_reads_back():
    for text in ("none", "light:0.5", "blur:2", "noise:0.05"):
        assert str(Perturbation.parse(text)) == text
