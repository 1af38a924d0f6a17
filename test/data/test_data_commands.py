"""The commands, run as a user runs them: their output, one clear line for what is wrong, exit codes."""

import json
import shutil
import subprocess

import pytest
from PIL import Image

from nav_pkg.cli import dataset as command
from nav_pkg.core import UsageError
from nav_pkg.data.reader import Dataset


def wrong(done, code, *texts):
    """The command ended with the code and one line that holds the texts."""
    assert done.returncode == code, done.stderr
    lines = done.stderr.strip().split("\n")
    assert len(lines) == 1 and lines[0].startswith("error: "), done.stderr
    assert "Traceback" not in done.stderr
    for text in texts:
        assert text in lines[0], lines[0]


def test_info_of_a_dataset(samples, dataset):
    root = dataset.parent
    done = samples.script("dataset", "info", "esat", "--data_root", root)
    assert done.returncode == 0, done.stderr
    assert "3 (3 success)" in done.stdout and "frames    24" in done.stdout
    done = samples.script("dataset", "info", "esat", "--json", NAV_PKG_DATA=str(root))
    facts = json.loads(done.stdout)
    assert facts["classes"] == {"left": 6, "straight": 12, "right": 6} and facts["straight_fraction"] == 0.5
    assert facts["rgb"]["images"] == 24
    assert "esat " in samples.script("dataset", "info", NAV_PKG_DATA=str(root)).stdout


def test_verify_and_repair(samples, dataset):
    root = dataset.parent
    assert samples.script("dataset", "verify", dataset).returncode == 0
    (dataset / "00001_esatv3/RGB/0000000002.jpg").write_bytes(b"")
    done = samples.script("dataset", "verify", "esat", "--data_root", root)
    assert done.returncode == 3 and "0000000002.jpg" in done.stdout and "1 damaged" in done.stdout
    assert json.loads(samples.script("dataset", "verify", dataset, "--json").stdout)["runs"]["00001_esatv3"]
    done = samples.script("dataset", "repair", dataset)
    assert done.returncode == 0 and "first 2 frames stay" in done.stdout
    assert samples.script("dataset", "repair", dataset).stdout == "nothing to repair\n"
    assert samples.script("dataset", "verify", dataset).returncode == 0


def test_view_says_how_far_it_is(dataset, tmp_path, monkeypatch, capsys):
    from nav_pkg.data import progress, view

    monkeypatch.setattr(progress, "EVERY", 0)
    run = Dataset(dataset).require_runs()[0]
    for name in ("a.gif", "a.jpg"):
        view.view(run, tmp_path / name, 3)
        assert f"of {len(run) if name == 'a.gif' else 3} frames" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "mp4"])
def test_view(samples, dataset, tmp_path, suffix):
    output = tmp_path / f"view.{suffix}"
    done = samples.script(
        "dataset", "view", dataset, "--run", "00002_esatv3", "--output", output, "--frames", 6
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    if suffix == "mp4":
        shown = samples.film(output)
        assert len(shown) == 8 and shown[0].shape == (212, 320, 3)
        return
    with Image.open(output) as image:
        assert image.size == ((320, 213) if suffix == "gif" else (1280, 426))
        assert getattr(image, "n_frames", 1) == (8 if suffix == "gif" else 1)
        if suffix == "png":  # the orange bar of frame 0 goes nowhere, that of frame 1 to the left
            pixels = image.convert("RGB").load()
            assert pixels[320 + 100, 213 - 10 + 1] == (255, 90, 30)
            assert pixels[320 + 300, 213 - 10 + 1] != (255, 90, 30)


def test_clean_makes_a_dataset_within_the_limits(samples, dataset):
    root = dataset.parent
    flags = "--startswith es --endswith at --destination clean --min_distance 0.1 --min_rgb 5 --max_rgb 10"
    flags += (
        " --min_depth 5 --max_depth_rgb_difference 2 --minimum_number_of_success 3 --val_len 1 --test_len 1"
    )
    arguments = [*flags.split(), "--data_root", root]
    dry = samples.script("clean_dataset", *arguments, "--dry_run")
    assert dry.returncode == 0 and not (root / "clean").exists()
    done = samples.script("clean_dataset", *arguments)
    assert done.returncode == 0, done.stderr
    assert "3 runs, 24 frames" in done.stdout
    cleaned = Dataset(root / "clean")
    assert [len(cleaned.split(part)) for part in ("train", "val", "test")] == [1, 1, 1]
    wrong(samples.script("clean_dataset", *arguments), 3, "exists", "--owr")
    assert samples.script("clean_dataset", *arguments, "--owr").returncode == 0
    assert samples.script("clean_dataset", *arguments, "--again").returncode == 0
    (dataset).rename(root / "essat")
    wrong(
        samples.script("clean_dataset", *arguments, "--again"),
        3,
        "clean: exists",
        "made of esat, not of essat",
    )
    assert len(Dataset(root / "clean").runs) == 3


@pytest.fixture
def split(dataset):
    """The dataset with a training set of two runs and one to validate."""
    for part, numbers in (("train", (0, 1)), ("val", (2,)), ("test", ())):
        (dataset / f"{part}_set.txt").write_text("".join(f"{n:05d}_esatv3\n" for n in numbers))
    return dataset


@pytest.mark.slow
def test_subset(samples, split):
    root = split.parent
    done = samples.script("dataset", "subset", "esat", "--frames", 8, 3, "--data_root", root)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == f"{root}/esat_8: train 1 runs, 8 frames; val 1, test 0 runs"
    assert lines[1].startswith(f"{root}/esat_3: train 1 runs, 3 frames; val 1, test 0 runs; 0000")
    assert lines[1].endswith("_esatv3 is cut to its first 3 of 8 frames")
    assert samples.script("dataset", "verify", root / "esat_3").returncode == 0
    info = samples.script("dataset", "info", root / "esat_3").stdout
    assert "subset of esat (3 training frames requested, seed 123)" in info
    again = ["dataset", "subset", "esat", "--frames", 3, "--data_root", root]
    wrong(samples.script(*again), 2, "esat_3: exists", "--owr")
    assert samples.script(*again, "--owr").returncode == 0
    assert samples.script(*again, "--destination", "sub/mine").returncode == 0
    assert len(Dataset(root / "sub/mine").split("train")) == 1
    wrong(samples.script(*again[:4], 17, *again[5:]), 2, "--frames 17", "has only 16 frames")
    done = samples.script(*again[:4], 100, 6, 17, *again[5:])  # those that are possible are made
    assert done.returncode == 0 and done.stdout.startswith(f"{root}/esat_6: train 1 runs, 6 frames")
    for line, frames in zip(done.stderr.splitlines(), (100, 17)):
        assert line == f"not made: --frames {frames}: the training set of {root}/esat has only 16 frames"
    assert not (root / "esat_17").exists()
    wrong(samples.script(*again[:4], 0, *again[5:]), 2, "--frames 0", "at least 1")
    wrong(samples.script(*again[:4], "many", *again[5:]), 2, "--frames", "invalid int value: 'many'")
    wrong(samples.script(*again[:4], 3, 5, *again[5:], "--destination", "x"), 2, "one number of --frames")
    wrong(
        samples.script(*again[:3], *again[5:]), 2, "has 16 frames, fewer than any usual subset: give --frames"
    )
    wrong(samples.script(*again, "--random_seed", -1), 2, "--random_seed -1 must not be negative")
    wrong(samples.script("dataset", "subset", "esta", "--data_root", root), 3, "no such dataset", "'esat'")
    (split / "val_set.txt").unlink()
    wrong(samples.script(*again, "--owr"), 3, "val_set.txt", "clean_dataset.py makes the splits")


def test_stats(samples, split):
    done = samples.script("dataset", "stats", split)
    assert done.returncode == 0, done.stderr
    assert "16 images of the training set" in done.stdout and "--scaled_input --scale_means 0." in done.stdout
    facts = json.loads(samples.script("dataset", "stats", split, "--images", 4, "--json").stdout)
    assert facts["rgb"]["images"] == 4 and facts["parts"]["train"]["shares"]["straight"] == 0.5
    wrong(samples.script("dataset", "stats", split, "--images", 0), 2, "--images 0 must be 1 or more")
    (split / "00000_esatv3/RGB/0000000000.jpg").write_bytes(b"")
    wrong(samples.script("dataset", "stats", split), 3, "0000000000.jpg", "verify")


@pytest.mark.slow
def test_pack(samples, split, tmp_path, capsys, monkeypatch):
    cache = tmp_path / "cache"
    monkeypatch.setenv("NAV_PKG_CACHE", str(cache))

    def packs(*flags):
        """In this process, which has torch already: its code, stdout and stderr."""
        code = command.main(["pack", str(split), *flags])
        return (code, *capsys.readouterr())

    code, out, _ = packs("--verify")
    assert code == 3 and out.count("has no pack of this size; dataset.py pack makes it") == 3
    done = samples.script("dataset", "pack", split, "--network", "tiny_net")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert "3 runs, 24 images of 128x128, 1.2 MB" in done.stdout and "24 were packed in" in done.stdout
    assert "all are there" in packs()[1]
    code, out, _ = packs("--verify")
    assert code == 0 and "24 images of 128x128 compared in" in out and "0 problems" in out
    pack = sorted(cache.rglob("*.npy"))[0]
    pack.write_bytes(pack.read_bytes()[:-1])
    code, _, errors = packs()
    assert code == 0 and errors.count("\n") == 1 and "it is made again" in errors
    assert "3 packs of images of 128x128 removed, 1.2 MB" in packs("--remove")[1]
    assert not list(cache.rglob("*.npy"))
    wrong(samples.script("dataset", "pack", split, "--network", "tiny_nett"), 2, "did you mean 'tiny_net'")
    with pytest.raises(UsageError, match="not allowed with"):
        packs("--verify", "--remove")
    (split / "00001_esatv3/RGB/0000000004.jpg").write_bytes(b"")
    text = "0000000004.jpg: changed since its commit; see dataset.py verify"
    wrong(samples.script("dataset", "pack", split), 3, text)
    assert len(list(cache.rglob("*.npy"))) <= 2


def test_bad_use_is_one_line_and_code_2(samples, dataset):
    wrong(samples.script("dataset", "inf"), 2, "did you mean 'info'")
    wrong(samples.script("dataset", "packs"), 2, "did you mean 'pack'")
    wrong(samples.script("dataset", "subset", dataset, "--frame", "3"), 2, "did you mean '--frames'")
    wrong(samples.script("dataset", "info", dataset, "--imges", "3"), 2, "did you mean '--images'")
    wrong(samples.script("dataset", "view", dataset, "--run", "00007_esatv3"), 2, "no run '00007_esatv3'")
    wrong(samples.script("dataset", "view", dataset, "--output", "a.bmp"), 2, ".jpg, .png, .gif or .mp4")
    wrong(samples.script("clean_dataset", "--min_rbg", "3"), 2, "did you mean '--min_rgb'")
    wrong(samples.script("clean_dataset", "--destination", "../x"), 2, "is not a name")
    wrong(samples.script("clean_dataset", "--min_rgb", "3000", "--max_rgb", "2000"), 2, "exceeds")
    wrong(samples.script("clean_dataset", "--link", "--move"), 2, "not allowed")
    wrong(samples.script("clean_dataset", "--random_seed", "-3"), 2, "--random_seed -3 must not be negative")
    wrong(samples.script("clean_dataset", "--minimum_number_of_success", "-1"), 2, "must not be negative")
    wrong(samples.script("clean_dataset", "--min_distance", "nan"), 2, "nan is no distance")
    wrong(samples.script("dataset", "info", dataset, "--images", "-4"), 2, "--images -4 must not be negative")
    wrong(samples.script("dataset", "info", dataset, "--random_seed", "-1"), 2, "must not be negative")
    wrong(samples.script("bag_to_dataset", "--dataset", "x"), 2, "BAG")
    wrong(samples.script("bag_to_dataset", "a.bag", "--dataset", "x", "--topic", "rgb"), 2, "KIND=/topic")


def test_bad_data_is_one_line_and_code_3(samples, dataset, tmp_path):
    root = dataset.parent
    wrong(samples.script("dataset", "info", "esta", "--data_root", root), 3, "no such dataset", "'esat'")
    wrong(samples.script("dataset", "info", "x", "--data_root", tmp_path / "no"), 3, "no such data root")
    wrong(samples.script("dataset", "info", "--data_root", tmp_path / "no"), 3, "no datasets")
    wrong(samples.script("clean_dataset", "--data_root", root, "--startswith", "no"), 3, "there are: esat")
    (tmp_path / "empty").mkdir()
    shutil.copy(dataset / "dataset.json", tmp_path / "empty")
    wrong(samples.script("dataset", "view", tmp_path / "empty"), 3, "has no runs", "record some first")
    wrong(
        samples.script("bag_to_dataset", tmp_path / "no.bag", "--dataset", "x"), 3, "no.bag", "no such file"
    )
    (tmp_path / "file").write_text("")
    output = tmp_path / "file" / "v.jpg"
    wrong(samples.script("dataset", "view", dataset, "--output", output), 3, f"{output}: cannot write")
    (tmp_path / "e.bag").write_bytes(b"")
    wrong(samples.script("bag_to_dataset", tmp_path / "e.bag", "--dataset", "x"), 3, "the bag is empty")
    done = samples.script("clean_dataset", "--data_root", root)
    assert done.returncode == 3 and done.stderr.count("\n") == 1
    assert "0 runs pass" in done.stderr and "fewer than 100" in done.stdout
    (dataset / "00000_esatv3/frames.csv").write_bytes(b"index,stamp\n0")
    done = samples.script("dataset", "info", dataset)
    assert done.returncode == 3 and "damaged: " in done.stdout and "frames.csv" in done.stdout
    shutil.copy(dataset / "00001_esatv3/RGB/0000000000.jpg", tmp_path / "cut.jpg")
    (dataset / "00001_esatv3/RGB/0000000000.jpg").write_bytes((tmp_path / "cut.jpg").read_bytes()[:200])
    wrong(
        samples.script("dataset", "view", dataset, "--run", "00001_esatv3", "--output", tmp_path / "v.jpg"),
        3,
        "0000000000.jpg",
        "verify",
    )


def test_a_script_stays_small(samples):
    for name in ("dataset", "clean_dataset", "bag_to_dataset"):
        path = samples.root / "scripts" / f"{name}.py"
        assert len(path.read_text().splitlines()) <= 20
        subprocess.run([str(path), "--help"], check=True, capture_output=True)
