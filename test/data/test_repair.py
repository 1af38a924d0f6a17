"""Damage is found, named and mended."""

import shutil

import numpy as np
import pytest
from PIL import Image

from nav_pkg.data import files
from nav_pkg.data import format as fmt
from nav_pkg.data.folders import quarantine
from nav_pkg.data.image_store import ImageStore
from nav_pkg.data.reader import Dataset
from nav_pkg.data.repair import repair_dataset
from nav_pkg.data.verify import verify_dataset, verify_run


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def other_size(path):
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(path)


def grow(path):
    np.save(path, np.zeros((9, 12), np.float32))


DAMAGES = {
    "missing image": (lambda r: (r / "RGB/0000000004.jpg").unlink(), "missing: RGB/0000000004.jpg"),
    "missing depth": (lambda r: (r / "Depth/0000000004.png").unlink(), "missing: Depth/0000000004.png"),
    "extra image": (
        lambda r: shutil.copy(r / "RGB/0000000000.jpg", r / "RGB/0000000008.jpg"),
        "belong to no frame: 0000000008.jpg",
    ),
    "other size": (lambda r: other_size(r / "RGB/0000000004.jpg"), "size"),
    "swapped images": (
        lambda r: shutil.copy(r / "RGB/0000000001.jpg", r / "RGB/0000000004.jpg"),
        "SHA-256",
    ),
    "edited command": (lambda r: edit(r / "frames.csv", ",0.9,", ",0.8,"), "frames.csv: changed"),
    "lost row": (
        lambda r: (r / "frames.csv").write_text(
            "\n".join((r / "frames.csv").read_text().split("\n")[:-2]) + "\n"
        ),
        "7 frames, but run.json states 8",
    ),
    "doubled index": (lambda r: edit(r / "frames.csv", "\n4,", "\n3,"), "line 6: index is 3 instead of 4"),
    "odd stamp": (lambda r: edit(r / "frames.csv", "4,0.400000000", "4,0.430000000"), "0.1 s after"),
    "stamp back": (lambda r: edit(r / "frames.csv", "4,0.400000000", "4,0.200000000"), "do not increase"),
    "scan rows": (lambda r: grow(r / "scan.npy"), "(9, 12) instead of float32 (8, 12)"),
    "no scan": (lambda r: (r / "scan.npy").unlink(), "missing: scan.npy"),
    "no outcome": (lambda r: edit(r / "run.json", '"outcome": "success"', '"outcome": ""'), 'outcome is ""'),
    "other name": (lambda r: edit(r / "run.json", "00001_esatv3", "00009_esatv3"), "not the folder's"),
    "no sums": (lambda r: (r / "sha256sums.txt").unlink(), "sha256sums.txt: missing"),
    "no run.json": (lambda r: (r / "run.json").unlink(), "run.json: cannot read"),
    "another format": (lambda r: edit(r / "run.json", '"format": 2', '"format": 9'), "format 9"),
    "no images": (lambda r: shutil.rmtree(r / "RGB"), "missing: RGB/0000000000.jpg"),
}


STORAGES = ("tar", "files")


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_damage_is_found_and_mended(samples, dataset, damage):
    plant, message = DAMAGES[damage]
    others = {run.name: run.content_hash() for run in Dataset(dataset).runs if run.name != "00001_esatv3"}
    with samples.as_files(dataset / "00001_esatv3"):
        plant(dataset / "00001_esatv3")
    report = verify_dataset(Dataset(dataset))
    assert any(message in line for line in report.all_problems), report.all_problems
    assert all("00001_esatv3" in line for line in report.all_problems)

    done = repair_dataset(Dataset(dataset))
    assert len(done) == 1 and "quarantine" in done[0]
    assert (dataset / "quarantine" / "00001_esatv3.reason.txt").read_text().strip()
    assert not verify_dataset(Dataset(dataset)).all_problems
    after = {run.name: run.content_hash() for run in Dataset(dataset).runs}
    assert {name: after[name] for name in others} == others
    snapshot = samples.tree(dataset)
    assert repair_dataset(Dataset(dataset)) == []
    assert samples.tree(dataset) == snapshot


def test_the_good_beginning_of_a_damaged_run_stays(samples, dataset):
    with samples.as_files(dataset / "00001_esatv3"):
        (dataset / "00001_esatv3/Depth/0000000005.png").write_bytes(b"")
    repair_dataset(Dataset(dataset))
    run = Dataset(dataset).runs[1]
    assert (run.name, len(run), run.outcome) == ("00001_esatv3", 5, "aborted")
    assert run.facts["repaired"]["before"] == {"outcome": "success", "frames": 8}
    assert len(ImageStore(dataset / "quarantine/00001_esatv3").camera("RGB").names()) == 8


def test_a_whole_run_keeps_its_outcome_when_only_its_sums_were_lost(dataset):
    (dataset / "00001_esatv3/sha256sums.txt").unlink()
    repair_dataset(Dataset(dataset))
    run = Dataset(dataset).runs[1]
    assert (len(run), run.outcome) == (8, "success")


def test_commands_that_were_changed_are_not_passed_off_as_a_success(dataset):
    edit(dataset / "00001_esatv3/frames.csv", ",0.9,", ",0.8,")
    repair_dataset(Dataset(dataset))
    run = Dataset(dataset).runs[1]
    assert (len(run), run.outcome) == (8, "aborted")


def crashed(samples, dataset, frames=6, **facts):
    """What a killed recorder leaves."""
    writer = samples.writer(dataset, "00003_esatv3", {"world": "esatv3", "seed": 3, **facts})
    for i in range(frames):
        writer.add(samples.frame(i), samples.rgb(i), samples.depth(i), samples.scan(i))
    writer._close()
    return dataset / "00003_esatv3.partial"


def test_a_crashed_recording_is_salvaged(samples, dataset):
    partial = crashed(samples, dataset)
    with samples.as_files(partial):
        (partial / "RGB/0000000004.jpg").write_bytes(b"\xff\xd8\xff")
    with (partial / "frames.csv").open("a") as stream:
        stream.write("6,0.6000")
    assert "left by a crash" in verify_dataset(Dataset(dataset)).all_problems[0]
    done = repair_dataset(Dataset(dataset))
    assert "4 frames salvaged as 00003_esatv3" in done[0]
    run = Dataset(dataset).runs[-1]
    assert (run.name, len(run), run.outcome, run.facts["seed"]) == ("00003_esatv3", 4, "aborted", 3)
    assert list(run.frames) == [samples.frame(i) for i in range(4)]
    assert np.array_equal(run.scan, np.stack([samples.scan(i) for i in range(4)]))
    assert not verify_run(run).problems
    assert ImageStore(dataset / "quarantine/00003_esatv3.partial").read("RGB/0000000005.jpg")
    assert repair_dataset(Dataset(dataset)) == []


FRAME_0 = {
    "distance": 0.0,
    "duration": 0.0,
    "progress": 0.0,
    "laps": 0.0,
    "nearest": 1.5,
    "labels": {"left": 0, "straight": 1, "right": 0},
    "actors": {"expert": 1, "learner": 0, "none": 0},
}
"""What a flight states about itself at a run's start."""


def test_a_salvaged_run_states_what_its_rows_hold(samples, dataset):
    crashed(samples, dataset, **FRAME_0, route_length=4.0, outcome=None, reason="")
    repair_dataset(Dataset(dataset))
    facts = Dataset(dataset).runs[-1].facts
    assert (facts["labels"], facts["actors"]["expert"]) == ({"left": 2, "straight": 3, "right": 1}, 6)
    assert (facts["frames"], facts["duration"], facts["nearest"]) == (6, 0.5, 1.5)
    assert facts["distance"] == pytest.approx(0.4) and facts["progress"] == pytest.approx(0.4)
    assert facts["laps"] == pytest.approx(0.1) and "stopped" in facts["reason"]


@pytest.mark.parametrize("key", ["labels", "actors", "distance", "duration", "progress"])
def test_facts_that_the_rows_contradict_are_found_and_mended(samples, dataset, key):
    before = files.read_json(dataset / "00001_esatv3/run.json")
    samples.edit(dataset / "00001_esatv3", **{key: FRAME_0[key], "nearest": 0.3})
    problems = verify_dataset(Dataset(dataset)).all_problems
    assert len(problems) == 1 and f"run.json: {key} " in problems[0] and "repair" in problems[0]
    repair_dataset(Dataset(dataset))
    run = Dataset(dataset).runs[1]
    assert (run.facts[key], run.outcome, len(run)) == (before[key], "success", 8)
    assert not verify_dataset(Dataset(dataset)).all_problems


def test_the_observation_that_ended_a_run_is_no_contradiction(samples, dataset):
    end = {"distance": 0.64, "duration": 0.8, "progress": 0.64, "nearest": 0.3}
    samples.edit(dataset / "00001_esatv3", **end)
    assert not verify_dataset(Dataset(dataset)).all_problems
    samples.edit(dataset / "00001_esatv3", duration=0.9)
    assert "duration is 0.9, the rows add up to 0.7" in verify_dataset(Dataset(dataset)).all_problems[0]


def test_a_recording_without_a_whole_frame_is_removed(samples, dataset):
    partial = crashed(samples, dataset, frames=1)
    with samples.as_files(partial):
        (partial / "RGB/0000000000.jpg").write_bytes(b"")
    assert repair_dataset(Dataset(dataset)) == [f"{partial}: no whole frame; removed"]
    assert not partial.exists() and len(Dataset(dataset).runs) == 3


def test_a_run_that_lacked_only_its_rename_is_committed(samples, dataset):
    path = samples.run(dataset, 3)
    before = samples.tree(path)
    path.rename(dataset / "00003_esatv3.partial")
    assert "committed as 00003_esatv3" in repair_dataset(Dataset(dataset))[0]
    assert samples.tree(path) == before


def test_a_run_that_is_being_written_is_left_alone(samples, dataset):
    writer = samples.writer(dataset, "00003_esatv3")
    writer.add(samples.frame(0), samples.rgb(0))
    assert not verify_dataset(Dataset(dataset)).all_problems
    assert "another process" in repair_dataset(Dataset(dataset))[0]
    writer.commit({"outcome": "success"})
    assert len(Dataset(dataset).runs) == 4


def test_an_interrupted_repair_is_completed(samples, dataset):
    run = dataset / "00001_esatv3"
    built = dataset / ".00001_esatv3.repair"
    shutil.copytree(run, built)
    quarantine(run, "killed between the two renames")
    (dataset / ".dataset.json.7.tmp").write_text("{")
    done = repair_dataset(Dataset(dataset))
    assert len(done) == 2 and "completed" in "".join(done)
    assert len(Dataset(dataset).runs) == 3
    assert not verify_dataset(Dataset(dataset)).all_problems


def test_lists_lose_runs_that_are_gone(dataset):
    for part, names in (("train", "00000_esatv3\n00001_esatv3\n"), ("val", "00002_esatv3\n"), ("test", "")):
        (dataset / f"{part}_set.txt").write_text(names)
    assert not verify_dataset(Dataset(dataset)).all_problems
    shutil.rmtree(dataset / "00001_esatv3")
    assert "no run '00001_esatv3'" in verify_dataset(Dataset(dataset)).all_problems[0]
    assert "without 00001_esatv3" in repair_dataset(Dataset(dataset))[0]
    assert [run.name for run in Dataset(dataset).split("train")] == ["00000_esatv3"]


def test_gaps_that_run_json_declares_are_a_note(samples, dataset):
    writer = samples.writer(dataset, "00003_esatv3", {"missing": [{"index": 1, "why": "no image"}]})
    for i, j in enumerate((0, 2, 3)):
        frame = samples.frame(j)
        writer.add(type(frame)(**{**frame.__dict__, "index": i}), samples.rgb(i))
    writer.commit({"outcome": "success"})
    report = verify_run(Dataset(dataset).runs[-1])
    assert not report.problems and "1 frames were missing" in report.notes[0]
    assert fmt.stamp_text(200_000_000) in (dataset / "00003_esatv3/frames.csv").read_text()
