"""Perturbations of images: what they do, the same bytes from the same seed, refusals."""

import zlib

import numpy as np
import pytest

from nav_pkg.control.seeds import generator
from nav_pkg.core import UsageError
from nav_pkg.learn.deployment.perturbation import Perturbation

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


def test_bytes_are_the_same_on_every_build_of_opencv():
    """Seen to be those of 4.6 (Debian) and 5.0 (PyPI); light's and noise's are also NumPy's."""
    image = np.random.default_rng(0).integers(0, 256, (36, 64, 3), np.uint8)
    image.flags.writeable = False  # as a message's
    sums = {}
    for text in ("light:0.3", "noise:0.1", "blur:0.5", "blur:2", "blur:20"):
        perturbation = Perturbation.parse(text)
        perturbation.reset(7, 2)
        sums[text] = zlib.crc32(perturbation.apply(image).tobytes())
    assert sums == {
        "light:0.3": 181060853,
        "noise:0.1": 2418759535,
        "blur:0.5": 3510145993,
        "blur:2": 2688210297,
        "blur:20": 3771878025,
    }


def test_noise_rounds_as_numpy_does():
    image = np.random.default_rng(0).integers(0, 256, (360, 640, 3), np.uint8)
    perturbation = Perturbation.parse("noise:0.1")
    perturbation.reset(7, 2)
    noise = generator(7, "image noise", 2, 0).standard_normal(image.shape, dtype=np.float32)
    expected = np.clip(np.rint(image + np.float32(25.5) * noise), 0, 255).astype(np.uint8)
    assert np.array_equal(perturbation.apply(image), expected)
