"""A commit identifies the whole run, its facts too; what is older is read, and called unverified."""

import hashlib
import json
import os
import re
import shutil
import subprocess

import pytest

from nav_pkg.cli import dataset as command
from nav_pkg.core import DataError
from nav_pkg.data import commit, files
from nav_pkg.data.clean import CleaningLimits, make_dataset, plan_cleaning
from nav_pkg.data.gather import GatheredDataset
from nav_pkg.data.info import as_text, dataset_info
from nav_pkg.data.links import make_datasets
from nav_pkg.data.reader import Dataset
from nav_pkg.data.repair import repair_dataset
from nav_pkg.data.thin import strip_images
from nav_pkg.data.verify import verify_dataset
from nav_pkg.data.writer import create_dataset
from nav_pkg.flight.body import Body
from nav_pkg.flight.schedule import FlightSchedule
from nav_pkg.sim.description import read_robot

FLOWN = {
    "seed": 7,
    "world_hash": "5f" * 32,
    "control_delay": 0.1,
    "alpha": 0.5,
    "noise": {"kind": "ou", "sigma_yaw": 0.3},
    "start_pose": [1.0, 2.0, 0.5, 0.0, 0.0, 1.57],
}

STORAGES = ("tar", "files")


@pytest.fixture
def flown(samples, tmp_path):
    """A dataset of one run that timed out."""
    path = create_dataset(tmp_path / "flown", {**samples.description, "robot": {"camera": {"fov": 1.5}}})
    samples.run(path, 0, outcome="timeout", **FLOWN)
    assert not verify_dataset(Dataset(path)).all_problems
    return path


CHANGES = {
    "outcome": lambda f: f.update(outcome="success"),
    "seed": lambda f: f.update(seed=8),
    "world_hash": lambda f: f.update(world_hash="50" * 32),
    "control_delay": lambda f: f.update(control_delay=0.0),
    "alpha": lambda f: f.update(alpha=1.0),
    "noise": lambda f: f["noise"].update(sigma_yaw=0.0),
    "start_pose": lambda f: f["start_pose"].reverse(),
    "no sensors": lambda f: f.update(sensors=[]),
    "no progress": lambda f: f.pop("progress"),
    "a further entry": lambda f: f.update(note="good"),
    "no checksum": lambda f: f.pop("sha256"),
    "another checksum": lambda f: f.update(sha256="0" * 64),
    "called old": lambda f: f.update(format=1),
}


@pytest.mark.parametrize("change", CHANGES)
def test_no_fact_of_a_run_changes_unseen(flown, change):
    path = flown / "00000_esatv3" / "run.json"
    facts = json.loads(path.read_bytes())
    CHANGES[change](facts)
    path.write_text(files.to_json(facts))
    problems = verify_dataset(Dataset(flown)).all_problems
    assert any(f"{path}: changed since it was written" in line for line in problems), problems
    (run,) = Dataset(flown).runs
    with pytest.raises(DataError, match=r"run\.json: (changed since|sensors is)"):
        _ = run.facts
    # what was changed does not pass for a success after a repair either
    repair_dataset(Dataset(flown))
    (run,) = Dataset(flown).runs
    assert (run.outcome, len(run)) == ("aborted", 8) and run.verified
    assert not verify_dataset(Dataset(flown)).all_problems
    assert files.read_json(flown / "quarantine/00000_esatv3/run.json") == json.loads(files.to_json(facts))


def test_no_entry_of_a_datasets_description_changes_unseen(flown, capsys):
    path = flown / "dataset.json"
    whole = path.read_text()
    for old, new in (('"fov": 1.5', '"fov": 1.6'), ("velocity", "position"), ('"format": 2', '"format": 1')):
        assert old in whole
        path.write_text(whole.replace(old, new))
        assert command.main(["verify", str(flown)]) == 3
        out = capsys.readouterr().out
        assert f"problem: {path}: changed since it was written" in out and "1 runs, 0 damaged" in out
        with pytest.raises(DataError, match="changed since it was written .its sha256 differs."):
            Dataset(flown)
        with pytest.raises(DataError, match="restore it from a copy"):
            command.main(["repair", str(flown)])
    path.write_text(whole.replace('"fov": 1.5', '"fov": NaN'))
    with pytest.raises(DataError, match=r"dataset\.json: not JSON, cut or damaged .the number nan"):
        command.main(["verify", str(flown)])


def test_anyone_can_check_the_checksum(flown):
    for path in (flown / "dataset.json", flown / "00000_esatv3" / "run.json"):
        rest = subprocess.run(["grep", "-v", '^  "sha256":', path], capture_output=True, check=True).stdout
        assert hashlib.sha256(rest).hexdigest() == json.loads(path.read_bytes())["sha256"]
    run = flown / "00000_esatv3"
    sums = hashlib.sha256((run / "sha256sums.txt").read_bytes()).hexdigest()
    assert files.read_json(run / "run.json")["content"] == sums


def test_texts_that_look_like_a_checksum_do_not_confuse_it(samples, tmp_path):
    zeros = "0" * 64
    facts = {"a": zeros, "sha256": "x", "note": f'"\n  "sha256": "{zeros}",\n', "z": {"sha256": zeros}}
    path = tmp_path / "run.json"
    path.write_bytes(
        commit.json_with_checksum({**facts, "outcome": "success", "frames": 1, "name": "00000_w"})
    )
    read = commit.read_facts(path, commit.RUN)
    assert read.has_valid_checksum and not read.problems and read.value["a"] == zeros
    path.write_bytes(path.read_bytes().replace(b'"a": "0', b'"a": "1'))
    assert not commit.read_facts(path, commit.RUN).has_valid_checksum


def test_every_way_to_make_a_run_gives_one_that_verifies(samples, flown, tmp_path):
    (source,) = Dataset(flown).runs
    plan = plan_cleaning({"flown": Dataset(flown)}, CleaningLimits(("timeout",), 0, 1))
    cleaned = Dataset(make_dataset(plan, tmp_path / "cleaned", 1))
    gathered = GatheredDataset([Dataset(flown)], tmp_path / "gathered")
    make_datasets([gathered])
    assert samples.tree(gathered.destination) == samples.tree(flown)
    strip_images(Dataset(shutil.copytree(flown, tmp_path / "thin")).runs[0])
    for dataset in (cleaned, Dataset(tmp_path / "gathered"), Dataset(tmp_path / "thin")):
        assert not verify_dataset(dataset).all_problems
        (run,) = dataset.runs
        assert run.verified and dataset.verified
        assert {key: run.facts[key] for key in FLOWN} == {key: source.facts[key] for key in FLOWN}
    assert cleaned.runs[0].facts["source"]["run"] == "00000_esatv3"


def test_datasets_of_format_1_are_read_and_called_unverified(samples, dataset, capsys, tmp_path):
    samples.age(dataset)
    old = Dataset(dataset)
    assert [len(run) for run in old.runs] == [8, 8, 8] and not old.verified
    hashes = [run.content_hash() for run in old.runs]
    assert command.main(["verify", str(dataset)]) == 0
    notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: ")]
    assert len(notes) == 2 and all("its facts are unverified" in line for line in notes)
    assert "00000_esatv3, 00001_esatv3, 00002_esatv3" in notes[1]
    assert "unverified facts: 3 of 3 runs" in as_text(dataset_info(old))
    assert repair_dataset(old) == []
    # further runs join it, and it joins others; what is linked stays as it was
    assert create_dataset(dataset, samples.description) == dataset
    samples.run(dataset, 3)
    assert [run.verified for run in Dataset(dataset).runs] == [False, False, False, True]
    make_datasets([GatheredDataset([Dataset(dataset)], tmp_path / "gathered")])
    gathered = Dataset(tmp_path / "gathered")
    assert [run.content_hash() for run in gathered.runs][:3] == hashes and gathered.verified
    assert not verify_dataset(gathered).all_problems
    plan = plan_cleaning({"old": Dataset(dataset)}, CleaningLimits(min_distance=0, min_rgb=1), 1, 1)
    assert any("run.json of 3 of 4 runs: of format 1" in note for note in plan.notes)
    cleaned = Dataset(make_dataset(plan, tmp_path / "cleaned", 1))
    assert all(run.verified for run in cleaned.runs) and not verify_dataset(cleaned).all_problems


@pytest.mark.parametrize("robot", ["drone", "turtlebot3"])
def test_what_a_flight_states_is_what_the_schema_expects(samples, dataset, robot):
    body = Body.from_robot(read_robot(robot))
    schedule = FlightSchedule(runs=1, seed=3, noise="ou", sigma_yaw=0.1, alpha=0.5, takeover_distance=0.4)
    facts = schedule.flight(schedule.runs_to_fly(body)[0], body).run_metadata()
    writer = samples.writer(dataset, "00003_esatv3", facts)
    writer.add(samples.frame(0), samples.rgb(0))
    writer.commit({**facts, "outcome": "timeout", "start_pose": [0.0] * 6})
    assert Dataset(dataset).runs[-1].facts["noise"]["kind"] == "ou"


def test_facts_of_a_wrong_type_are_not_committed(samples, dataset):
    for facts in (
        {"outcome": {}},
        {"outcome": "success", "distance": "x"},
        {"outcome": "success", "missing": 3},
    ):
        writer = samples.writer(dataset, "00003_esatv3")
        writer.add(samples.frame(0), samples.rgb(0))
        with pytest.raises(DataError, match=r"outcome \{\} is none|must be a"):
            writer.commit(facts)
        writer._close()
    assert len(Dataset(dataset).runs) == 3
    with pytest.raises(DataError, match="control_rate is {}; it must be a number"):
        create_dataset(dataset.with_name("x"), {"control_rate": {}})


WRONG = {
    "outcome": {},
    "sensors": "x",
    "frames": -1,
    "distance": "x",
    "control_rate": {},
    "labels": [1],
    "actors": {"expert": "many"},
    "missing": 5,
    "name": None,
    "route_length": "long",
    "laps": [],
    "jpeg_quality": 101,
}


@pytest.mark.parametrize("key", WRONG)
def test_entries_of_a_wrong_type_are_named(samples, dataset, key, capsys):
    samples.edit(dataset / "00001_esatv3", **{key: WRONG[key]})
    assert command.main(["verify", str(dataset)]) == 3
    problem = capsys.readouterr().out.splitlines()[0]
    assert problem.startswith(f"problem: {dataset}/00001_esatv3/run.json: {key} is "), problem
    assert command.main(["info", str(dataset)]) == 3
    assert f"damaged: {dataset}/00001_esatv3/run.json: {key} is " in capsys.readouterr().out
    with pytest.raises(DataError, match=f"{key} is "):
        command.main(["view", str(dataset), "--run", "00001_esatv3", "--output", str(dataset / "v.jpg")])
    assert command.main(["repair", str(dataset)]) == 0
    assert command.main(["verify", str(dataset)]) == 0


@pytest.mark.parametrize("name", ["run.json", "frames.csv", "scan.npy", "sha256sums.txt", "an image"])
@pytest.mark.parametrize("what", ["fifo", "folder", "link"])
def test_what_stands_in_a_files_place_is_named_and_never_waited_for(dataset, name, what, tmp_path, storage):
    if name == "an image":
        name = {"tar": "RGB.tar", "files": "RGB/0000000003.jpg"}[storage]
    path = dataset / "00001_esatv3" / name
    content = tmp_path / "content"
    path.rename(content)
    {"fifo": os.mkfifo, "folder": os.mkdir, "link": lambda p: os.symlink(content, p)}[what](path)
    kind = {"fifo": "a named pipe", "folder": "a folder", "link": "a symbolic link"}[what]
    problems = verify_dataset(Dataset(dataset)).all_problems
    assert any(str(path) in line and f"is {kind}, not a file" in line for line in problems), problems
    repair_dataset(Dataset(dataset))
    assert not verify_dataset(Dataset(dataset)).all_problems


def test_damaged_text_is_one_line(samples, dataset, capsys):
    run = dataset / "00001_esatv3"
    for name, damage in (
        ("run.json", b"\xff\xfe"),
        ("run.json", b"[" * 100_000),
        ("run.json", b"5"),
        ("frames.csv", b"\xff" * 100_000),
        ("frames.csv", (run / "frames.csv").read_bytes().replace(b"0.100000000", b"9" * 30 + b".100000000")),
        ("frames.csv", (run / "frames.csv").read_bytes().replace(b"expert,", b"x" * 100_000 + b",")),
        ("frames.csv", (run / "frames.csv").read_bytes().replace(b"\n4,", b"\n" + b"4" * 5000 + b",")),
        ("sha256sums.txt", b"\xff\xfe\n"),
        ("scan.npy", b"\x93NUMPY\x01\x00v\x00" + b"[" * 118),
    ):
        whole = (run / name).read_bytes()
        (run / name).write_bytes(damage)
        assert command.main(["verify", str(dataset)]) == 3
        lines = capsys.readouterr().out.splitlines()
        assert any(f"{run / name}: " in line for line in lines) and max(map(len, lines)) < 400, lines
        assert command.main(["info", str(dataset)]) == (0 if name in ("scan.npy", "sha256sums.txt") else 3)
        capsys.readouterr()
        (run / name).write_bytes(whole)
    assert command.main(["verify", str(dataset)]) == 0


def test_sums_name_files_of_the_run_alone(samples, dataset, tmp_path):
    run = dataset / "00001_esatv3"
    text = (run / "sha256sums.txt").read_text() + f"{'0' * 64}  ../../secret\n"
    (run / "sha256sums.txt").write_text(text)
    samples.edit(run, content=hashlib.sha256(text.encode()).hexdigest())
    with pytest.raises(DataError, match=r"sha256sums\.txt: missing or damaged .line 19 is no sum of a run's"):
        make_datasets([GatheredDataset([Dataset(dataset)], tmp_path / "gathered")])
    assert re.search("is no sum of a run's file", str(verify_dataset(Dataset(dataset)).all_problems))


def test_files_whose_names_are_no_text(samples, dataset):
    run = dataset / "00001_esatv3"
    shutil.copy(run / "scan.npy", os.fsencode(run) + b"/\xff\xfe.npy")
    os.mkdir(os.fsencode(dataset) + b"/00003_\xff.partial")
    done = samples.script("dataset", "verify", dataset)
    assert done.returncode == 3 and not done.stderr, done.stderr
    assert r"no commit lists: \udcff\udcfe.npy" in done.stdout and r"00003_\udcff.partial" in done.stdout
    done = samples.script("dataset", "repair", dataset)
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert command.main(["verify", str(dataset)]) == 0
    assert [len(run) for run in Dataset(dataset).runs] == [8, 8, 8]
