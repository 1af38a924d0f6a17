"""Films: every picture is in them, in its order and time; one clear line where none can be written."""

import resource

import numpy as np
import pytest

from nav_pkg.core import DataError
from nav_pkg.data import film
from nav_pkg.data.reader import Run
from nav_pkg.data.view import view

cv2 = pytest.importorskip("cv2")


def pictures(count, height=36, width=64):
    """Grey, brighter from one to the next, with a red left half."""
    for number in range(count):
        picture = np.full((height, width, 3), 10 + 8 * number, np.uint8)
        picture[:, : width // 2] = (200, 0, 0)
        yield picture


@pytest.mark.parametrize("codec", film.CODECS)
def test_every_picture_is_in_a_film(samples, tmp_path, monkeypatch, codec):
    """VP9 is what PyPI's OpenCV writes, which has no H.264."""
    monkeypatch.setattr(film, "CODECS", (codec,))
    path = tmp_path / "film.mp4"
    try:
        assert film.write_mp4(path, pictures(25)) == 25
    except DataError as error:
        assert codec == "avc1" and "neither H.264 nor VP9" in str(error)
        pytest.skip("this OpenCV has no H.264")
    shown = samples.film(path)
    assert len(shown) == 25
    for picture, wanted in zip(shown, pictures(25)):
        assert np.abs(picture[:, 40:].astype(int) - wanted[:, 40:]).mean() < 4
        red, green, blue = picture[:, :24].reshape(-1, 3).mean(axis=0)
        assert red > 150 and green < 40 and blue < 40
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(10)
    assert path.read_bytes()[4:8] == b"ftyp"


def test_the_first_codec_that_is_there_is_taken(samples, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(film, "CODECS", ("none", "vp09"))
    film.write_mp4(tmp_path / "film.mp4", pictures(3))
    assert len(samples.film(tmp_path / "film.mp4")) == 3
    monkeypatch.setattr(film, "CODECS", ("none",))
    with pytest.raises(DataError, match=r"film.mp4: OpenCV .* neither H.264 nor VP9"):
        film.write_mp4(tmp_path / "film.mp4", pictures(3))
    assert "rror" not in capfd.readouterr().err


def test_odd_sizes_lose_a_row_and_other_sizes_are_refused(samples, tmp_path):
    film.write_mp4(tmp_path / "a.mp4", pictures(2, 37, 65))
    assert samples.film(tmp_path / "a.mp4")[0].shape == (36, 64, 3)
    with pytest.raises(DataError, match="picture 2 is of 32x36"):
        film.write_mp4(tmp_path / "b.mp4", [*pictures(2), *pictures(1, 36, 32)])


def test_a_film_that_is_not_whole_is_an_error(tmp_path):
    with pytest.raises(DataError, match="its folder is not there"):
        film.write_mp4(tmp_path / "nowhere" / "film.mp4", pictures(3))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, before[1]))  # as a disk that is full then
    try:
        with pytest.raises(DataError, match="film.mp4: 0 of 3 pictures could be written"):
            film.write_mp4(tmp_path / "film.mp4", pictures(3))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("suffix", [".gif", ".mp4"])
def test_what_a_killed_view_left_is_removed_by_the_next(dataset, tmp_path, suffix):
    here = tmp_path / "films"
    here.mkdir()
    (here / f".run{suffix}.4194305.tmp{suffix}").write_text("half")
    (here / f".other{suffix}.4194305.tmp{suffix}").write_text("of another film")
    view(Run(dataset / "00000_esatv3"), here / f"run{suffix}", every=4)
    assert sorted(path.name for path in here.iterdir()) == [
        f".other{suffix}.4194305.tmp{suffix}",
        f"run{suffix}",
    ]
