"""Runs with side cameras: written, read, verified, repaired, cleaned, cut, packed."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from nav_pkg.core import DataError
from nav_pkg.data import clean, codec, thin
from nav_pkg.data.links import make_datasets
from nav_pkg.data.packs import pack
from nav_pkg.data.packs.committed_images import CommittedImages
from nav_pkg.data.packs.lock import PackLock
from nav_pkg.data.packs.store import PackFile
from nav_pkg.data.packs.writer import PackWriter
from nav_pkg.data.reader import Dataset, Run
from nav_pkg.data.repair import repair_dataset
from nav_pkg.data.resize import decode_resized
from nav_pkg.data.subset import Subset
from nav_pkg.data.verify import verify_dataset, verify_run
from nav_pkg.data.view import draw_frame
from nav_pkg.data.writer import create_dataset

SIZE = (16, 24)
SEEDS = {"left": 100, "right": 200}
"""What the images of each camera differ by."""

STORAGES = ("tar", "files")


def write(samples, path, number, frames=8, dead=(), commit=True):
    """A run whose left camera is dead in some frames."""
    writer = samples.writer(path, f"{number:05d}_esatv3", {"world": "esatv3"})
    for i in range(frames):
        sides = {name: samples.rgb(i, number + more) for name, more in SEEDS.items()}
        if i in dead:
            sides["left"] = np.full_like(sides["left"], 7)
        writer.add(samples.frame(i), samples.rgb(i, number), samples.depth(i), samples.scan(i), sides)
    return writer.commit({"outcome": "success"}) if commit else writer


@pytest.fixture(scope="module")
def written(samples, tmp_path_factory):
    path = create_dataset(tmp_path_factory.mktemp("sides") / "esat", samples.description)
    for number in range(4):
        write(samples, path, number)
    return path


@pytest.fixture
def dataset(written, tmp_path):
    return Path(shutil.copytree(written, tmp_path / "data" / "esat"))


@pytest.fixture
def check(samples):
    """A function that compares the side images of a run with what was written, from a frame on."""

    def right(run, number, first=0):
        assert run.side_cameras == ("left", "right")
        for camera, more in SEEDS.items():
            names = run.images.camera(f"RGB_{camera}").names()
            assert names == [f"RGB_{camera}/{i:010d}.jpg" for i in range(len(run))]
            for i in range(len(run)):
                wanted = codec.encode_rgb(samples.rgb(first + i, number + more), 95)
                assert run.images.read(names[i]) == wanted
                assert np.array_equal(run.side_rgb(camera, i), codec.decode_rgb(wanted))

    return right


def test_writes_and_reads(dataset, check):
    for number, run in enumerate(Dataset(dataset).runs):
        check(run, number)
        assert run.facts["sensors"]["rgb_left"] == [32, 48] == run.facts["sensors"]["rgb_right"]
        listed = (run.path / "sha256sums.txt").read_text()
        assert listed.count("  RGB_left/") == listed.count("  RGB_right/") == listed.count("  RGB/") == 8
    assert not verify_dataset(Dataset(dataset)).all_problems


def test_a_run_without_them_is_what_it_was(samples, tmp_path):
    plain = create_dataset(tmp_path / "plain", samples.description)
    samples.run(plain)
    other = create_dataset(tmp_path / "other", samples.description)
    writer = samples.writer(other, "00000_esatv3", {"world": "esatv3", "seed": 0})
    for i in range(8):
        writer.add(samples.frame(i), samples.rgb(i), samples.depth(i), samples.scan(i), {})
    writer.commit({"outcome": "success"})
    assert samples.tree(plain) == samples.tree(other)
    run = Dataset(plain).runs[0]
    assert run.side_cameras == () and set(run.facts["sensors"]) == {"rgb", "depth", "scan"}


def test_pictures_show_each_camera_on_its_side(dataset, samples):
    sheet = draw_frame(Dataset(dataset).runs[0], 3, width=480).astype(int)
    assert sheet.shape == (320, 3 * 480, 3)
    seeds = (SEEDS["left"], 0, SEEDS["right"])
    wanted = [np.repeat(np.repeat(samples.rgb(3, seed), 10, axis=0), 10, axis=1) for seed in seeds]
    for place in range(3):
        part = sheet[100:250, place * 480 : place * 480 + 480]  # below the text and above the bars
        differences = [np.abs(part - image[100:250].astype(int)).mean() for image in wanted]
        assert int(np.argmin(differences)) == place and min(differences) < 25


def test_a_frame_that_lacks_one_is_refused(samples, tmp_path):
    path = create_dataset(tmp_path / "d", samples.description)
    writer = write(samples, path, 0, frames=2, commit=False)
    with pytest.raises(DataError, match="frame 2 has images of"):
        sides = {"left": samples.rgb(0)}
        writer.add(samples.frame(2), samples.rgb(2), samples.depth(2), samples.scan(2), sides)
    writer.abort()


@pytest.mark.parametrize(
    "damage, words",
    [
        (lambda run: (run / "RGB_left/0000000003.jpg").unlink(), "missing: RGB_left/0000000003.jpg"),
        (
            lambda run: shutil.copy(run / "RGB/0000000003.jpg", run / "RGB_right/0000000003.jpg"),
            "RGB_right/0000000003.jpg: changed since its commit",
        ),
        (
            lambda run: shutil.copy(run / "RGB/0000000003.jpg", run / "RGB_left/0000000008.jpg"),
            "files that belong to no frame: 0000000008.jpg",
        ),
        (lambda run: shutil.rmtree(run / "RGB_right"), "missing: RGB_right/0000000000.jpg"),
    ],
)
def test_damage_is_named(samples, dataset, damage, words):
    with samples.as_files(dataset / "00001_esatv3"):
        damage(dataset / "00001_esatv3")
    problems = verify_dataset(Dataset(dataset)).all_problems
    assert any(words in line for line in problems), problems
    assert all("00001_esatv3" in line for line in problems)


def test_repair_keeps_the_frames_that_have_all_cameras(samples, dataset, check):
    with samples.as_files(dataset / "00001_esatv3"):
        (dataset / "00001_esatv3/RGB_right/0000000005.jpg").write_bytes(b"no image")
    writer = write(samples, dataset, 9, frames=6, commit=False)
    writer._close()  # as a crash leaves it: images and rows, no run.json
    repair_dataset(Dataset(dataset))
    runs = {run.name: run for run in Dataset(dataset).runs}
    assert len(runs["00001_esatv3"]) == 5 and len(runs["00009_esatv3"]) == 6
    check(runs["00001_esatv3"], 1)
    check(runs["00009_esatv3"], 9)
    assert not verify_dataset(Dataset(dataset)).all_problems


def test_cleaning_cuts_where_any_camera_is_dead(samples, tmp_path, check):
    path = create_dataset(tmp_path / "d", samples.description)
    write(samples, path, 0, dead=(5, 6, 7))
    write(samples, path, 1)
    limits = clean.CleaningLimits(min_distance=0, min_rgb=1)
    plan = clean.plan_cleaning({"source": Dataset(path)}, limits, val_len=0, test_len=0)
    runs = Dataset(clean.make_dataset(plan, tmp_path / "clean", 1)).runs
    assert [len(run) for run in runs] == [5, 8]
    check(runs[0], 0)
    check(runs[1], 1)
    assert not verify_dataset(Dataset(tmp_path / "clean")).all_problems


def test_subsets_have_them_whole_and_cut(dataset, check):
    names = [run.name for run in Dataset(dataset).runs]
    (dataset / "train_set.txt").write_text("".join(f"{name}\n" for name in names[:3]))
    (dataset / "val_set.txt").write_text(f"{names[3]}\n")
    (dataset / "test_set.txt").write_text("")
    place = dataset.with_name("esat_11")
    make_datasets([Subset(Dataset(dataset), 11, place)])
    subset = Dataset(place)
    assert sorted(len(run) for run in subset.split("train")) == [3, 8]
    for run in subset.runs:
        check(run, int(run.name[:5]))
    assert not verify_dataset(subset).all_problems


def test_packs_are_each_camera_s_own(samples, dataset, tmp_path):
    runs, cache = Dataset(dataset).runs, tmp_path / "cache"
    places = set()
    for camera, folder in (("", "RGB"), ("left", "RGB_left"), ("right", "RGB_right")):
        packs = pack.open_packs(runs, SIZE, cache=cache, camera=camera)
        for run, item in zip(runs, packs):
            names = [f"{folder}/{i:010d}.jpg" for i in range(len(run))]
            wanted = np.stack([decode_resized(run.images.read(name), SIZE) for name in names])
            assert np.array_equal(item.images, wanted)
        places |= {item.path for item in packs}
        assert pack.verify_packs(runs, SIZE, cache=cache, camera=camera) == []
    assert len(places) == 12
    with samples.as_files(runs[0].path):
        (runs[0].path / "RGB_left/0000000002.jpg").write_bytes(b"other")
    with pytest.raises(DataError, match="RGB_left/0000000002.jpg: changed since its commit"):
        pack.open_packs(runs, SIZE, cache=cache, camera="left")
    pack.open_packs(runs, SIZE, cache=cache)  # the others are what they were
    assert pack.remove_packs(runs, SIZE, cache=cache, camera="right")[0] == 4
    assert {path for path in places if path.exists()} == {
        item.path for camera in ("", "left") for item in _pack_files(runs, cache, camera)
    }


def _pack_files(runs, cache, camera):
    images = [CommittedImages(run, camera) for run in runs]
    return [PackFile(cache, item.key(SIZE), len(item), SIZE) for item in images]


def test_a_task_decodes_the_requested_camera(dataset, tmp_path):
    images = CommittedImages(Dataset(dataset).runs[0], "right")
    target = PackFile(tmp_path, images.key(SIZE), len(images), SIZE)
    writer = PackWriter(target, PackLock.acquire(target))
    task = writer.task(images)
    writer.add(0, task(0, len(images)))
    writer.commit()
    expected = [images.decode(i, SIZE) for i in range(len(images))]
    assert np.array_equal(pack.Pack(target.path).images, expected)


@pytest.mark.slow
def test_the_command_packs_those_of_training_runs(samples, dataset, tmp_path):
    names = [run.name for run in Dataset(dataset).runs]
    for part, some in (("train", names[:2]), ("val", names[2:3]), ("test", names[3:])):
        (dataset / f"{part}_set.txt").write_text("".join(f"{name}\n" for name in some))
    cache = {"NAV_PKG_CACHE": str(tmp_path / "cache")}
    packed = samples.script("dataset", "pack", dataset, "--recovery_cameras", **cache)
    assert packed.returncode == 0 and "4 runs, 64 images of 128x128" in packed.stdout, packed.stderr
    checked = samples.script("dataset", "pack", dataset, "--recovery_cameras", "--verify", **cache)
    assert "64 images of 128x128 compared" in checked.stdout and "0 problems" in checked.stdout
    removed = samples.script("dataset", "pack", dataset, "--recovery_cameras", "--remove", **cache)
    assert "8 packs" in removed.stdout


def test_the_command_names_a_dataset_without_them(samples, recorded):
    refused = samples.script("dataset", "pack", recorded, "--recovery_cameras")
    assert refused.returncode == 3
    assert "no training run has recovery cameras; leave --recovery_cameras out" in refused.stderr


def test_a_run_without_that_camera_has_no_pack(samples, tmp_path):
    path = create_dataset(tmp_path / "d", samples.description)
    samples.run(path)
    with pytest.raises(DataError, match="no colour images in RGB_left/"):
        pack.open_packs(Dataset(path).runs, SIZE, cache=tmp_path / "cache", camera="left")


def test_a_thinned_run_has_no_images_of_any_camera(dataset):
    stripped = thin.strip_images(Dataset(dataset).runs[0])
    assert not verify_run(Run(stripped.path)).problems
    assert not stripped.side_cameras and not list(stripped.path.rglob("*.jpg"))
