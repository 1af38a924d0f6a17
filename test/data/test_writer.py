"""Writing runs and reading them back."""

import errno
import json
import os
import subprocess

import numpy as np
import pytest

from nav_pkg.core import DataError
from nav_pkg.data import codec, files
from nav_pkg.data.reader import Dataset
from nav_pkg.data.writer import create_dataset

STORAGES = ("tar", "files")


def test_a_run_reads_back_as_it_was_written(samples, dataset):
    run = Dataset(dataset).runs[1]
    assert (run.name, run.world, run.outcome, len(run)) == ("00001_esatv3", "esatv3", "success", 8)
    assert list(run.frames) == [samples.frame(i) for i in range(8)]
    for i in (0, 7):
        assert np.array_equal(run.rgb(i), codec.decode_rgb(codec.encode_rgb(samples.rgb(i, 1))))
        depth = samples.depth(i, 1)
        assert np.abs(run.depth(i)[1:] - depth[1:]).max() <= 0.00051
        assert np.isinf(run.depth(i)[0, :3]).all()
    assert np.array_equal(run.scan, np.stack([samples.scan(i, 1) for i in range(8)]))
    assert run.facts["frames"] == 8
    assert run.facts["distance"] == pytest.approx(7 * 0.08)
    assert run.facts["sensors"] == {"rgb": [32, 48], "depth": [16, 24], "scan": 12}


def test_the_learners_command_is_kept(samples, tmp_path):
    create_dataset(tmp_path / "d", samples.description)
    writer = samples.writer(tmp_path / "d", "00000_w")
    for i in range(3):
        writer.add(samples.frame(i, learner=True), samples.rgb(i))
    run = Dataset(tmp_path / "d").runs
    assert run == []
    writer.commit({"outcome": "collision"})
    run = Dataset(tmp_path / "d").runs[0]
    assert list(run.frames) == [samples.frame(i, learner=True) for i in range(3)]
    assert run.scan is None and not (run.path / "Depth").exists()


def test_the_bytes_depend_on_nothing_but_the_frames(samples, tmp_path):
    trees = []
    for threads in (0, 1, 4):
        path = create_dataset(tmp_path / f"d{threads}", samples.description)
        writer = samples.writer(path, "00000_w", {"seed": 1}, threads=threads)
        for i in range(20):
            writer.add(samples.frame(i), samples.rgb(i), samples.depth(i), samples.scan(i))
        writer.commit({"outcome": "success"})
        trees.append(samples.tree(path))
    assert trees[0] == trees[1] == trees[2]


def test_a_user_can_check_the_sums_and_numpy_reads_the_scan(dataset, storage):
    run = dataset / "00000_esatv3"
    assert np.load(run / "scan.npy", allow_pickle=False).shape == (8, 12)
    names = {p.name for p in run.iterdir()}
    images = {"RGB.tar", "RGB.index.npy", "Depth.tar", "Depth.index.npy"}
    images = images if storage == "tar" else {"RGB", "Depth"}
    assert names == {"run.json", "frames.csv", "scan.npy", "sha256sums.txt"} | images
    for tar in run.glob("*.tar"):
        subprocess.run(["tar", "xf", tar], cwd=run, check=True)
    subprocess.run(["sha256sum", "-c", "--quiet", "sha256sums.txt"], cwd=run, check=True)


def test_labels_and_columns(dataset):
    run = Dataset(dataset).runs[0]
    assert run.labels().dtype == np.float32
    assert run.labels(bound=0.5).tolist() == pytest.approx([0, 0.5, -0.5, 0.1] * 2)
    assert run.labels("applied", "x").tolist() == pytest.approx([0.8] * 8)
    assert run.frames["x"] is run.frames.x
    with pytest.raises(AttributeError, match="expert_yaw"):
        _ = run.frames.expert_yow
    with pytest.raises(KeyError, match="expert_yaw"):
        _ = run.frames["expert_yow"]
    with pytest.raises(IndexError):
        run.rgb(8)


def test_the_content_hash_follows_the_content(samples, tmp_path):
    a, b = (Dataset(samples.dataset(tmp_path / name, runs=2)) for name in "ab")
    assert a.content_hash() == b.content_hash()
    assert a.runs[0].content_hash() != a.runs[1].content_hash()
    samples.run(b.path, 2)
    assert a.content_hash() != b.content_hash()


def test_a_run_that_counts_is_never_written_over(samples, dataset):
    before = samples.tree(dataset)
    with pytest.raises(DataError, match="recorded already .success."):
        samples.writer(dataset, "00001_esatv3")
    assert samples.tree(dataset) == before


@pytest.mark.parametrize("outcome", ["aborted", "sim_failure"])
def test_a_run_that_does_not_count_is_recorded_again(samples, dataset, outcome):
    samples.run(dataset, 7, frames=2, outcome=outcome)
    path = samples.run(dataset, 7, frames=5)
    assert len(Dataset(dataset).runs) == 4 and len(Dataset(dataset).runs[-1]) == 5
    old = dataset / "quarantine" / path.name
    assert json.loads((old / "run.json").read_text())["outcome"] == outcome
    assert (dataset / "quarantine" / f"{path.name}.reason.txt").exists()


def test_an_aborted_run_keeps_its_frames(samples, dataset):
    writer = samples.writer(dataset, "00003_esatv3", {"seed": 3})
    for i in range(4):
        writer.add(samples.frame(i), samples.rgb(i))
    path = writer.abort({"reason": "stopped"})
    run = Dataset(dataset).runs[-1]
    assert (path, run.outcome, len(run), run.facts["seed"]) == (run.path, "aborted", 4, 3)
    assert writer.abort() is None


def test_an_aborted_run_states_what_its_rows_hold(samples, dataset):
    start = {
        "distance": 0.0,
        "frames": 1,
        "nearest": 9.0,
        "progress": 0.0,
        "duration": 0.0,
        "mean_speed": None,
    }
    start["labels"] = {"left": 0, "straight": 1, "right": 0}
    start["actors"] = {"expert": 1, "learner": 0, "none": 0}
    for number, facts in enumerate((None, {"reason": "stopped", **start}), start=3):
        writer = samples.writer(dataset, f"{number:05d}_esatv3", start)
        for i in range(4):
            writer.add(samples.frame(i, learner=True), samples.rgb(i))
        writer.abort(facts)
        facts = Dataset(dataset).runs[-1].facts
        assert facts["labels"] == {"left": 1, "straight": 2, "right": 1}
        assert facts["actors"] == {"expert": 4, "learner": 0, "none": 0}
        assert (facts["frames"], facts["duration"], facts["nearest"]) == (4, 0.3, 1.5)
        assert facts["distance"] == pytest.approx(0.24) and facts["mean_speed"] == pytest.approx(0.8)
        assert facts["progress"] == 0.24 and facts["imitation_loss"] == pytest.approx(1.63)


def test_the_facts_of_the_start_never_pass_for_those_of_the_end(samples, dataset):
    start = {"distance": 0.0, "nearest": 9.0, "seed": 3}
    writer = samples.writer(dataset, "00003_esatv3", start)
    for i in range(4):
        writer.add(samples.frame(i), samples.rgb(i))
    writer.commit({"outcome": "collision", "nearest": 0.2})
    facts = Dataset(dataset).runs[-1].facts
    assert facts["distance"] == pytest.approx(0.24)
    assert (facts["nearest"], facts["seed"]) == (0.2, 3)


def test_a_run_without_frames_leaves_nothing(samples, dataset):
    before = samples.tree(dataset)
    with samples.writer(dataset, "00003_esatv3"):
        pass
    assert samples.tree(dataset) == before
    assert not Dataset(dataset).partials


def test_frames_that_do_not_fit_are_refused(samples, dataset):
    writer = samples.writer(dataset, "00003_esatv3")
    with pytest.raises(DataError, match="frame 1 where 0"):
        writer.add(samples.frame(1), samples.rgb(0))
    writer.add(samples.frame(0), samples.rgb(0))
    with pytest.raises(DataError, match="not later"):
        writer.add(samples.frame(1).__class__(**{**samples.frame(1).__dict__, "stamp": 0}), samples.rgb(1))
    with pytest.raises(DataError, match="images of"):
        writer.add(samples.frame(1), samples.rgb(1)[:16])
    with pytest.raises(DataError, match="images of"):
        writer.add(samples.frame(1))
    with pytest.raises(DataError, match="outcome 'won'"):
        writer.commit({"outcome": "won"})
    writer.abort()


def test_another_process_cannot_take_an_open_run(samples, dataset):
    writer = samples.writer(dataset, "00003_esatv3")
    writer.add(samples.frame(0), samples.rgb(0))
    with pytest.raises(DataError, match="another process"):
        samples.writer(dataset, "00003_esatv3")
    with pytest.raises(DataError, match="another process"):
        create_dataset(dataset, samples.description, overwrite=True)
    writer.commit({"outcome": "success"})


def test_a_partial_run_is_replaced(samples, dataset):
    partial = dataset / "00003_esatv3.partial"
    partial.mkdir()
    (partial / "frames.csv").write_text("index,st")
    assert [run.name for run in Dataset(dataset).runs][-1] == "00002_esatv3"
    assert Dataset(dataset).partials == [partial]
    samples.run(dataset, 3)
    assert not Dataset(dataset).partials


def test_datasets_are_opened_again_or_refused(samples, dataset, tmp_path):
    before = samples.tree(dataset)
    assert create_dataset(dataset, samples.description) == dataset
    with pytest.raises(DataError, match="robot is 'drone'"):
        create_dataset(dataset, {**samples.description, "robot": "turtle"})
    assert samples.tree(dataset) == before
    create_dataset(dataset, {**samples.description, "robot": "turtle"}, overwrite=True)
    assert Dataset(dataset).runs == [] and Dataset(dataset).description["robot"] == "turtle"
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("years of work")
    with pytest.raises(DataError, match="no dataset"):
        create_dataset(tmp_path / "home", samples.description, overwrite=True)
    assert (tmp_path / "home" / "thesis.tex").exists()


@pytest.mark.parametrize("capacity", [0, 300, 5_000, 12_000, 25_000])
def test_a_full_disk_costs_the_open_run_only(samples, dataset, monkeypatch, capacity):
    before = samples.tree(dataset)
    left = [capacity]
    write = os.write

    def limited(fd, data):
        if left[0] <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        count = write(fd, bytes(data[: left[0]]))
        left[0] -= count
        return count

    monkeypatch.setattr(files.os, "write", limited)
    monkeypatch.setattr(os, "writev", lambda fd, parts: limited(fd, b"".join(parts)))
    with pytest.raises(DataError, match=r"00003_esatv3.*no space left on device; free some space"):
        writer = samples.writer(dataset, "00003_esatv3")
        try:
            for i in range(40):
                writer.add(samples.frame(i), samples.rgb(i), samples.depth(i), samples.scan(i))
            writer.commit({"outcome": "success"})
        finally:
            assert writer.abort() is None
    monkeypatch.undo()
    assert [run.name for run in Dataset(dataset).runs] == [f"0000{i}_esatv3" for i in range(3)]
    assert len(Dataset(dataset).partials) == 1
    after = samples.tree(dataset)
    assert {name: after[name] for name in before} == before
    samples.run(dataset, 3)
    assert len(Dataset(dataset).runs) == 4


def test_a_folder_that_cannot_be_written(samples, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write"):
        create_dataset(tmp_path / "file" / "d", samples.description)
