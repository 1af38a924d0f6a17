"""A dataset's images from files to tars and back."""

import os
import shutil
import subprocess
import sys

import pytest

from nav_pkg.cli import dataset as command
from nav_pkg.core import DataError, UsageError
from nav_pkg.data import files
from nav_pkg.data.convert import convert, storages
from nav_pkg.data.links import make_datasets
from nav_pkg.data.reader import Dataset
from nav_pkg.data.repair import repair_dataset
from nav_pkg.data.subset import Subset
from nav_pkg.data.verify import verify_dataset

STORAGES = ("tar", "files")
OTHER = {"tar": "files", "files": "tar"}


@pytest.fixture(scope="session")
def converted(samples, storage, tmp_path_factory):
    """What a dataset must be after its conversion: the same, recorded in the other form."""
    path = tmp_path_factory.mktemp("other") / "esat"
    return samples.tree(type(samples)(OTHER[storage]).dataset(path))


def test_both_directions_give_what_a_recorder_writes(samples, dataset, storage, converted):
    before, hashes = samples.tree(dataset), Dataset(dataset).content_hash()
    done = convert(Dataset(dataset), OTHER[storage])
    assert [run.name for run in done] == ["00000_esatv3", "00001_esatv3", "00002_esatv3"]
    assert all(storages(run) == {OTHER[storage]} for run in [*done, *Dataset(dataset).runs])
    assert samples.tree(dataset) == converted
    assert Dataset(dataset).content_hash() == hashes
    assert not verify_dataset(Dataset(dataset)).all_problems
    assert convert(Dataset(dataset), OTHER[storage]) == []
    convert(Dataset(dataset), storage)
    assert samples.tree(dataset) == before
    assert not [path for path in dataset.iterdir() if path.name.startswith(".")]


def test_side_cameras_scans_and_runs_without_images_are_converted(samples, dataset, storage):
    writer = samples.writer(dataset, "00003_esatv3")
    for i in range(3):
        writer.add(samples.frame(i), samples.rgb(i), side_rgb={"left": samples.rgb(i, 7)})
    writer.commit({"outcome": "success"})
    writer = samples.writer(dataset, "00004_esatv3")
    writer.add(samples.frame(0))
    writer.commit({"outcome": "success"})
    convert(Dataset(dataset), OTHER[storage])
    runs = Dataset(dataset).runs
    assert storages(runs[3]) == {OTHER[storage]} and storages(runs[4]) == set()
    assert runs[3].images.read("RGB_left/0000000002.jpg")
    assert not verify_dataset(Dataset(dataset)).all_problems


def test_a_subset_keeps_its_form(samples, dataset, storage):
    (dataset / "train_set.txt").write_text("00000_esatv3\n")
    (dataset / "val_set.txt").write_text("00001_esatv3\n")
    (dataset / "test_set.txt").write_text("00002_esatv3\n")
    subset = dataset.with_name("subset")
    make_datasets([Subset(Dataset(dataset), 8, subset)])
    before = samples.tree(subset)
    convert(Dataset(dataset), OTHER[storage])
    assert samples.tree(subset) == before


def test_a_damaged_image_stops_it_with_one_line(samples, dataset, storage):
    with samples.as_files(dataset / "00001_esatv3"):
        path = dataset / "00001_esatv3/RGB/0000000003.jpg"
        files.atomic_write(path, path.read_bytes()[:-2] + b"xx")
    before = samples.tree(dataset / "00001_esatv3")
    with pytest.raises(
        DataError, match=r"RGB/0000000003\.jpg: changed since its commit; see dataset\.py verify"
    ):
        convert(Dataset(dataset), OTHER[storage])
    assert samples.tree(dataset / "00001_esatv3") == before
    names = ["00000_esatv3", "00001_esatv3", "00002_esatv3", "dataset.json"]
    assert sorted(path.name for path in dataset.iterdir()) == names
    assert [storages(run) for run in Dataset(dataset).runs] == [{OTHER[storage]}, {storage}, {storage}]


def test_a_dataset_in_use_is_refused(samples, dataset, storage):
    lock = files.lock_folder(dataset)
    with pytest.raises(UsageError, match="in use by a session"):
        convert(Dataset(dataset), OTHER[storage])
    os.close(lock)
    files.lock_path(dataset).unlink()
    writer = samples.writer(dataset, "00003_esatv3")
    with pytest.raises(DataError, match="another process is writing"):
        convert(Dataset(dataset), OTHER[storage])
    writer.abort()


def test_a_full_disk_is_one_line_and_leaves_the_run(samples, dataset, storage, monkeypatch):
    before = samples.tree(dataset)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "fsync_all", full)
    with pytest.raises(DataError, match="00000_esatv3: cannot write: no space left on device; free some"):
        convert(Dataset(dataset), OTHER[storage])
    assert samples.tree(dataset) == before


KILLED = """
import os, signal, sys
root, path, storage = sys.argv[1:]
sys.path.insert(0, root)
from nav_pkg.data.convert import convert
from nav_pkg.data.reader import Dataset
left = [int(sys.stdin.read())]
def dying(call):
    def step(*arguments, **options):
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments, **options)
    return step
from nav_pkg.data import files
for module, names in ((os, ("link", "rename", "mkdir", "fsync", "unlink", "writev")),
                      (files, ("write_file", "write_all", "replace_folder", "_exchange"))):
    for name in names:
        setattr(module, name, dying(getattr(module, name)))
convert(Dataset(path), storage)
"""


@pytest.mark.parametrize("mend", [convert, repair_dataset])
def test_a_kill_at_any_step_is_completed(samples, dataset, storage, converted, mend):
    whole = dataset.with_name("whole")
    shutil.copytree(dataset, whole)
    hashes, moment = Dataset(dataset).content_hash(), 0
    while True:
        arguments = [sys.executable, "-c", KILLED, str(samples.root), str(dataset), OTHER[storage]]
        done = subprocess.run(arguments, input=str(moment), text=True, capture_output=True, timeout=60)
        assert len(Dataset(dataset).runs) == 3 and Dataset(dataset).content_hash() == hashes, moment
        if mend is convert:
            convert(Dataset(dataset), OTHER[storage])
            assert samples.tree(dataset) == converted, moment
        else:
            repair_dataset(Dataset(dataset))
            assert not verify_dataset(Dataset(dataset)).all_problems, moment
        assert not [path for path in dataset.iterdir() if path.name.startswith(".0")], moment
        if done.returncode == 0:
            break
        assert done.returncode == -9, done.stderr
        shutil.rmtree(dataset)
        shutil.copytree(whole, dataset)
        moment += {"tar": 29, "files": 11}[storage]
    assert moment > 20


def test_the_command(dataset, storage, capsys):
    kept = {"tar": "a file each", "files": "one tar a camera"}[storage]
    assert command.main(["convert", str(dataset), "--storage", OTHER[storage]]) == 0
    assert f"the images of 3 of 3 runs are now in {kept}" in capsys.readouterr().out
    assert command.main(["verify", str(dataset)]) == 0
    assert command.main(["convert", str(dataset), "--storage", OTHER[storage]]) == 0
    assert "the images of 0 of 3 runs" in capsys.readouterr().out
    for flags in ([], ["--storage", "zip"]):
        with pytest.raises((UsageError, SystemExit)):
            command.main(["convert", str(dataset), *flags])
