"""Subsets: nested for any sizes, split as the dataset, made of links, whole or not there."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nav_pkg.core import DataError, UsageError
from nav_pkg.data import clean, files, subset
from nav_pkg.data.cut import cut_run
from nav_pkg.data.info import order_key
from nav_pkg.data.links import make_datasets
from nav_pkg.data.packs.pack import open_packs
from nav_pkg.data.reader import Dataset
from nav_pkg.data.repair import repair_dataset
from nav_pkg.data.subset import Subset, choose, subset_name
from nav_pkg.data.verify import verify_dataset, verify_run
from nav_pkg.data.writer import create_dataset

LENGTHS = [10, 6, 9, 12, 7, 8]
"""Frames of runs 0 to 5; 4 is for validation, 5 for test: 37 frames to train on."""

STORAGES = ("tar", "files")


@pytest.fixture(scope="module")
def split(samples, tmp_path_factory):
    """A dataset with splits, to copy."""
    path = create_dataset(tmp_path_factory.mktemp("split") / "esat", samples.description)
    for number, frames in enumerate(LENGTHS):
        samples.run(path, number, frames, source={"dataset": "collected", "run": "x"})
    for part, numbers in (("train", (0, 1, 2, 3)), ("val", (4,)), ("test", (5,))):
        names = "".join(f"{number:05d}_esatv3\n" for number in numbers)
        (path / f"{part}_set.txt").write_text(names)
    return path


@pytest.fixture
def source(split, tmp_path):
    return Dataset(shutil.copytree(split, tmp_path / "esat"))


def make(source, frames, name="", **options):
    path = source.path.with_name(name or subset_name(source.name, frames))
    make_datasets([Subset(source, frames, path)], **options)
    return Dataset(path)


def ordered(source, seed=123):
    return sorted(source.split("train"), key=lambda run: order_key(seed, run.name))


@pytest.mark.parametrize(
    "frames, name",
    [(500, "d_500"), (1000, "d_1K"), (2500, "d_2500"), (10000, "d_10K"), (200000, "d_200K"), (1, "d_1")],
)
def test_names(frames, name):
    assert subset_name("d", frames) == name


@pytest.mark.parametrize(
    "frames, taken",
    [
        (10000, [2420] * 4),  # 9,680 is near enough
        (5000, [2420, 2420]),  # 4,840
        (20000, [2420] * 8),  # 19,360
        (1000, [1000]),
        (500, [500]),
        (2178, [2178]),  # a whole run would be 11 % more
        (2200, [2420]),
        (2420, [2420]),
        (2688, [2420]),
        (2689, [2420, 269]),
        (3630, [2420, 1210]),
        (24200, [2420] * 10),
        (23000, [2420] * 10),  # 24,200 is nearer than 21,780
        (22990, [2420] * 9),  # both are as near
    ],
)
def test_whole_runs_where_they_come_near(frames, taken):
    assert choose([2420] * 10, frames) == taken


@given(st.lists(st.integers(1, 60), min_size=1, max_size=12), st.data())
def test_more_frames_never_give_less_of_a_run(lengths, data):
    total = sum(lengths)
    counts = sorted(data.draw(st.lists(st.integers(1, total), min_size=2, max_size=6)))
    before = [0] * len(lengths)
    for count in counts:
        taken = choose(lengths, count)
        assert all(0 < n <= length for n, length in zip(taken, lengths))
        assert taken[:-1] == lengths[: len(taken) - 1]  # only the last may be cut
        assert sum(taken) == count or (
            taken[-1] == lengths[len(taken) - 1] and abs(sum(taken) - count) * 10 <= count
        )
        taken += [0] * (len(lengths) - len(taken))
        assert all(a <= b for a, b in zip(before, taken)), (lengths, counts)
        before = taken


def test_nested_for_all_sizes_of_many_datasets():
    rng = np.random.default_rng(5)
    for _ in range(20):
        lengths = rng.integers(1, 40, rng.integers(1, 8)).tolist()
        before = [0]
        for count in range(1, sum(lengths) + 1):
            taken = choose(lengths, count)
            assert len(taken) >= len(before) and all(a <= b for a, b in zip(before, taken))
            before = taken


def test_whole_runs_are_the_same_files(source):
    first, second = ordered(source)[:2]
    frames = len(first) + len(second)
    made_subset = make(source, frames)
    assert made_subset.name == f"esat_{frames}"
    assert [run.name for run in made_subset.split("train")] == [first.name, second.name]
    for run in (first, second, *source.split("val"), *source.split("test")):
        names = sorted(p.relative_to(run.path) for p in run.path.rglob("*"))
        assert (
            sorted(
                p.relative_to(made_subset.path / run.name) for p in (made_subset.path / run.name).rglob("*")
            )
            == names
        )
        for name in names:
            linked = made_subset.path / run.name / name
            assert linked.is_dir() or os.path.samefile(linked, run.path / name)
    assert [run.name for run in made_subset.split("val")] == ["00004_esatv3"]
    assert [run.name for run in made_subset.split("test")] == ["00005_esatv3"]
    assert not verify_dataset(made_subset).all_problems
    assert made_subset.description == {
        **source.description,
        "sha256": made_subset.description["sha256"],
        "splits": {"train": 2, "val": 1, "test": 1},
        "subset_of": {"dataset": "esat", "frames": frames, "random_seed": 123},
    }
    assert sorted(p.name for p in source.path.parent.iterdir()) == ["esat", made_subset.name]


def test_a_cut_run_is_a_whole_run_of_its_first_frames(source, storage):
    (run,) = ordered(source)[:1]
    made_subset = make(source, 5)
    (cut,) = made_subset.split("train")
    assert cut.name == run.name and len(cut) == 5
    assert not verify_dataset(made_subset).all_problems
    assert (cut.path / "frames.csv").read_text().splitlines() == (
        (run.path / "frames.csv").read_text().splitlines()[:6]
    )
    assert np.array_equal(cut.scan, run.scan[:5])
    for i in range(5):
        for name in (cut.frames.rgb[i], cut.frames.depth[i]):
            assert cut.images.read(name) == run.images.read(name)
            assert storage == "tar" or os.path.samefile(cut.path / name, run.path / name)
    assert cut.images.camera("RGB").names() == [f"RGB/{i:010d}.jpg" for i in range(5)]
    assert cut.facts["cut"] == {"dataset": "esat", "run": run.name, "frames": 5, "of": len(run)}
    assert cut.facts["source"] == run.facts["source"] and cut.outcome == "success"
    assert cut.facts["duration"] == 0.4 and cut.facts["labels"] == {"left": 1, "straight": 3, "right": 1}
    assert cut.facts["distance"] == pytest.approx(0.32) and cut.facts["progress"] == pytest.approx(0.32)
    assert cut.content_hash() != run.content_hash()


def test_a_refused_cut_leaves_nothing_new_and_nothing_less(source, tmp_path):
    run = ordered(source)[0]
    sums = {path: bytes(32) for path in (*run.frames.rgb, *run.frames.depth)}
    with pytest.raises(DataError, match="outcome"):
        cut_run(tmp_path / "new", run.name, run, 0, 3, sums, {"outcome": "lost"})
    assert not (tmp_path / "new").exists()
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").write_bytes(b"data")
    with pytest.raises(DataError, match="file exists"):
        cut_run(tmp_path / "there", run.name, run, 0, 3, sums, {})
    assert (tmp_path / "there" / "file").read_bytes() == b"data"


def test_the_seed_orders_the_runs(source):
    orders = {
        tuple(i.run.name for i in Subset(source, 37, source.path / "x", seed).selected_runs)
        for seed in range(9)
    }
    assert len(orders) > 3
    assert all(order[-2:] == ("00004_esatv3", "00005_esatv3") for order in orders)


def test_subsets_of_one_command_are_nested_and_a_subset_has_subsets(source):
    paths = {n: source.path.with_name(f"s{n}") for n in (30, 17, 9, 3)}
    make_datasets([Subset(source, n, path) for n, path in paths.items()])
    before = set()
    for n in sorted(paths):
        made_subset = Dataset(paths[n])
        assert not verify_dataset(made_subset).all_problems
        images = {run.sums[name] for run in made_subset.split("train") for name in run.frames.rgb}
        assert before <= images and abs(len(images) - n) <= n / 10
        before = images
    again = make(Dataset(paths[30]), 9, "again")
    assert [run.content_hash() for run in again.split("train")][:-1] == (
        [run.content_hash() for run in Dataset(paths[9]).split("train")][:-1]
    )
    assert not verify_dataset(again).all_problems


def test_whole_runs_share_their_packs(source, tmp_path):
    first = ordered(source)[0]
    made_subset = make(source, len(first))
    of_source, of_subset = (
        open_packs([run], (8, 8), tmp_path / "cache") for run in (first, made_subset.split("train")[0])
    )
    assert of_source[0].path == of_subset[0].path


def test_too_many_frames_are_refused_with_both_numbers(source):
    with pytest.raises(UsageError, match="--frames 38: the training set of .*esat has only 37 frames"):
        make(source, 38)
    with pytest.raises(UsageError, match="--frames 0: a subset needs at least 1 training frame"):
        make(source, 0)


def test_lists_that_lack_or_clash_are_refused(source):
    (source.path / "val_set.txt").write_text("00003_esatv3\n")
    with pytest.raises(
        DataError, match="val_set.txt: line 1: 00003_esatv3 is listed in line 4 of train_set.txt already"
    ):
        make(source, 37)
    (source.path / "val_set.txt").unlink()
    with pytest.raises(DataError, match="val_set.txt: cannot read; clean_dataset.py makes the splits"):
        make(source, 5)


def test_a_destination_that_exists_is_refused_or_replaced(source, samples):
    made_subset = make(source, 5)
    before = samples.tree(made_subset.path)
    with pytest.raises(UsageError, match="esat_5: exists; choose another --destination, or --owr"):
        make(source, 5)
    with pytest.raises(UsageError, match="is the dataset itself"):
        make(source, 5, "esat", overwrite=True)
    (source.path.parent / "file").mkdir()
    with pytest.raises(UsageError, match="file: exists and is no dataset"):
        make(source, 5, "file", overwrite=True)
    with pytest.raises(UsageError, match="is requested twice"):
        make_datasets([Subset(source, 7, source.path.with_name("a")) for _ in range(2)])
    assert samples.tree(made_subset.path) == before
    make(source, 7, "esat_5", overwrite=True)
    assert sum(map(len, Dataset(made_subset.path).split("train"))) == 7
    assert sorted(p.name for p in source.path.parent.iterdir()) == ["esat", "esat_5", "file"]


def test_where_links_are_impossible_files_are_copied(source, monkeypatch):
    def refuse(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    made_subset = make(source, 12)
    assert not verify_dataset(made_subset).all_problems
    run = made_subset.split("val")[0]
    assert not os.path.samefile(run.path / "run.json", source.path / run.name / "run.json")


def test_damage_is_one_line_and_leaves_nothing(source, samples, storage):
    run = ordered(source)[0]
    with samples.as_files(run.path):
        (run.path / "RGB/0000000003.jpg").unlink()
    for frames in (5,) if storage == "tar" else (5, len(run)):
        with pytest.raises(DataError, match="0000000003.jpg: missing; see dataset.py verify"):
            make(source, frames)
    (run.path / "sha256sums.txt").unlink()
    with pytest.raises(DataError, match="sha256sums.txt"):
        make(source, 5)
    assert [p.name for p in source.path.parent.iterdir()] == ["esat"]


def test_a_full_disk_is_one_line_and_leaves_nothing(source, monkeypatch):
    calls, link = [], os.link

    def fails(*arguments):
        calls.append(1)
        if len(calls) > 40:
            raise OSError(28, "No space left on device")
        link(*arguments)

    monkeypatch.setattr(os, "link", fails)
    monkeypatch.setattr(shutil, "copyfile", fails)
    paths = [source.path.with_name(name) for name in "ab"]
    with pytest.raises(DataError, match="no space left"):
        make_datasets([Subset(source, n, path) for n, path in zip((3, 30), paths)])
    assert [p.name for p in source.path.parent.iterdir()] == ["esat"]


def test_what_happens_to_one_does_not_harm_the_other(source, samples):
    first, second = ordered(source)[:2]
    made_subset = make(source, len(first) + 3)
    before, subset_before = samples.tree(source.path), samples.tree(made_subset.path)
    for victim, other, tree in ((made_subset, source, before), (source, made_subset, subset_before)):
        for run in victim.split("train"):
            if victim is source and run.name not in (first.name, second.name):
                continue
            # a file that was replaced, a file that is gone, and what repair makes of them
            with samples.as_files(run.path):
                (run.path / "Depth/0000000001.png").unlink()
                files.atomic_write(run.path / "RGB/0000000002.jpg", b"damaged")
        assert samples.tree(other.path) == tree
        repair_dataset(victim)
        assert verify_dataset(victim).all_problems == [] and len(Dataset(victim.path).runs) == len(
            victim.runs
        )
        assert samples.tree(other.path) == tree
        limits = clean.CleaningLimits(min_distance=0, min_rgb=1, outcomes=("success", "aborted"))
        plan = clean.plan_cleaning({"x": victim}, limits, 1, 1)
        cleaned = clean.make_dataset(plan, victim.path.with_name("cleaned"), 1, "move", overwrite=True)
        assert samples.tree(other.path) == tree and not verify_dataset(other).all_problems
        shutil.rmtree(cleaned)
        shutil.rmtree(victim.path)
        assert samples.tree(other.path) == tree
        if victim is made_subset:
            made_subset = make(source, len(first) + 3)


def test_subsets_can_be_cleaned_together(source, samples):
    first, second = make(source, 12), make(source, 20)
    assert first.description != second.description
    limits = clean.CleaningLimits(min_distance=0, min_rgb=1)
    plan = clean.plan_cleaning({"a": first, "b": second, "c": source}, limits, 1, 1)
    assert plan.description == samples.description
    cleaned = clean.make_dataset(plan, source.path.with_name("all"), 1)
    assert not verify_dataset(Dataset(cleaned)).all_problems


KILLED = """
import os, signal, sys
root, path = sys.argv[1:]
sys.path.insert(0, root)
from pathlib import Path
from nav_pkg.data.reader import Dataset
from nav_pkg.data.links import make_datasets
from nav_pkg.data.subset import Subset
source = Dataset(path)
def wanted():
    return [Subset(source, n, Path(path).with_name(f"s{n}")) for n in (13, 4)]
kept, moment = 0, 0
while True:
    child = os.fork()
    if child == 0:
        left = [moment]
        def dying(call):
            def step(*arguments, **options):
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return call(*arguments, **options)
            return step
        for name in ("link", "rename", "replace", "mkdir", "fsync", "unlink"):
            setattr(os, name, dying(getattr(os, name)))
        make_datasets(wanted())
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status):
        break
    there = [s.destination.exists() for s in wanted()]
    hidden = list(Path(path).parent.glob(".s13.links/0*_esatv3"))
    links = []
    link = os.link
    os.link = lambda *a: (links.append(str(a[1])), link(*a))
    make_datasets([s for s in wanted() if not s.destination.exists()])
    os.link = link
    for done in hidden:
        if not any(there):
            kept += 1
            assert not [name for name in links if f"/.s13.links/{done.name}" in name], moment
    print(moment, there, len(hidden))
    sys.stdout.flush()
    import shutil
    from nav_pkg.data.verify import verify_dataset
    for s in wanted():
        if moment % 5 == 0:
            assert not verify_dataset(Dataset(s.destination)).all_problems, moment
        assert s.training_frames == sum(map(len, Dataset(s.destination).split("train")))
        shutil.rmtree(s.destination)
    assert [p.name for p in Path(path).parent.iterdir()] == ["esat"], moment
    moment += 16
assert kept > 5
"""


@pytest.mark.parametrize("storage", ["files"], indirect=True)
def test_a_killed_command_is_completed_by_the_same_command(source, samples):
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(samples.root), str(source.path)],
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) > 10


def test_what_a_killed_command_left_is_not_used_for_another_plan(source, samples):
    work = source.path.with_name(".esat_5.links")
    shutil.copytree(source.path / "00000_esatv3", work / "00004_esatv3")
    (work / "plan.json").write_text("{}")
    assert not verify_run(make(source, 5).split("val")[0]).problems
    (source.path.parent / "esat_5").rename(work)
    (work / "plan.json").write_text("{}")
    assert len(make(source, 5, overwrite=True).split("train")[0]) == 5
    assert sorted(p.name for p in source.path.parent.iterdir()) == ["esat", "esat_5"]


def test_two_commands_do_not_mix(source, monkeypatch):
    first = Subset(source, 5, source.path.with_name("x"))
    first.prepare(False)
    with pytest.raises(DataError, match="another process is writing.*--destination"):
        make(source, 5, "x")
    first.commit(False)
    assert len(Dataset(first.destination).split("train")[0]) == 5
    late = Subset(source, 6, source.path.with_name("y"))
    late.prepare(False)
    make(source, 7, "z")
    source.path.with_name("z").rename(late.destination)
    with pytest.raises(UsageError, match="exists"):
        late.commit(False)
    assert json.loads((late.destination / "dataset.json").read_text())["subset_of"]["frames"] == 7
    assert subset.SUBSET_SIZES[0] == 100_000 and list(subset.SUBSET_SIZES) == sorted(
        subset.SUBSET_SIZES, reverse=True
    )
