"""Every file that a command reads, damaged in many ways: the answer is its content or a NavError, at once."""

from __future__ import annotations

import copy
import itertools
import json
import os
import random
import socket

import pytest
import torch
import yaml

from nav_pkg.cluster import existing_dag, job, status, status_text
from nav_pkg.cluster.plan import DagNode, DagPlan
from nav_pkg.core import NavError
from nav_pkg.flight.body import Body
from nav_pkg.flight.metrics import summary
from nav_pkg.flight.runlog import RunLog
from nav_pkg.flight.schedule import FlightSchedule
from nav_pkg.learn.action import ActionSpace
from nav_pkg.learn.batches.preprocess import Preprocessing
from nav_pkg.learn.checkpoints import checkpoint
from nav_pkg.learn.checkpoints.checkpoint import Checkpoint
from nav_pkg.learn.training import folder
from nav_pkg.learn.training.log import TrainingLog
from nav_pkg.nets import build
from nav_pkg.report import curves, evaluation, models
from nav_pkg.report.tables import runs_table
from nav_pkg.session.folders import Folders
from nav_pkg.sim import cameras, description
from nav_pkg.world import load_plan
from nav_pkg.world.plan_file import PLANS

SCORES = {
    "frames": 40,
    "loss": 0.5,
    "imitation_loss": 0.25,
    "accuracy": 0.75,
    "balanced_accuracy": 0.5,
    "majority_accuracy": 0.75,
    "recall": [None, 0.5, 1.0],
    "confusion": [[0, 0, 0], [0, 20, 20], [0, 0, 0]],
}
EPISODE = {"episode": 1, "updates": 9, "train": SCORES, "val": SCORES}
RUN = {
    "run": 0,
    "name": "00000_esatv3",
    "world": "esatv3",
    "outcome": "success",
    "reason": "by hand",
    "frames": 40,
    "progress": 100.0,
    "laps": 0.5,
    "distance": 110.0,
    "duration": 4.0,
    "mean_speed": 0.8,
    "nearest": 0.7,
    "imitation_loss": 0.1,
    "actors": {"expert": 40},
    "interrupted": False,
}
CONFIG = {"flags": {"dataset": "x", "seed": 1}, "dataset": {"hash": "a", "camera": [64, 36]}, "threads": 1}
RESULTS = {
    "network": "tiny_net",
    "episodes": 2,
    "updates": 9,
    "val": SCORES,
    "test": SCORES,
    "timing": {"waiting_share": 0.1},
    "config": {"flags": {"random_seed": 1, "learning_rate": 0.1}},
}
EVALUATION = {
    "checkpoints": {
        "m": {"network": "tiny_net", "measures": {"success_rate": 1, "collision_free_distance": 5}}
    }
}
EVALUATION_CONF = {
    "checkpoints": [{"label": "m", "network": "tiny_net", "offline": None}],
    "worlds": ["esatv3"],
    "directions": ["forward"],
    "control_delays": [0.1],
    "perturbations": ["none"],
    "number_of_runs": 2,
    "shards": 1,
    "keep_images": False,
}
SPEC = {
    "format": 1,
    "name": "n",
    "kind": "train",
    "command": ["main.py", "-t", "x"],
    "wall_time": 5.0,
    "env": {"NAV_PKG_LOG": "x"},
    "datasets": ["d"],
    "transfer": {"in": ["x.tar"], "out": ["log/x"]},
    "pack": [],
    "retries": 2,
    "total": 5,
    "unit": "episodes",
}
PLAN = {
    "command": "dag_train.py",
    "tag": "t",
    "data_root": "/d",
    "summary_dir": "/l",
    "file_transfer": False,
    "configuration": {"models": [["x", 1]], "flags": ["--x", "1"]},
    "jobs": [{"name": "n", "kind": "clean", "seconds": 5, "total": 5, "unit": "runs", "outputs": ["log/x"]}],
}
STATE = {"host": "h", "tries": 1, "runs": 1, "of": 5, "done_before": 0, "error_line": None, "failures": 0}
ROBOT = yaml.safe_load((description.ROOT / "config/robot/drone.yaml").read_text())
ROBOT.update(
    runs={"speed": 0.3, "depth_rows": [0.0, 0.5]},
    cameras={"left": {"yaw": 30, "rgb": "/camera_left/rgb/image_raw"}},
    drive="ground",
)


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


WORLD_PLAN = {**json.loads((PLANS / "esatv3.json").read_bytes()), "name": "esatv3x"}


def lines(value):
    return (json.dumps(value) + "\n" + json.dumps(value) + "\n").encode()


def text(value):
    return json.dumps(value).encode()


# Readers: of a folder in which the damaged file lies, doing with its content what commands do.


def read_runs(where):
    runs = RunLog(where).finished().values()
    summary(runs)
    runs_table(list(runs)).text()


def read_config(where):
    folder.started_with(where)
    folder.check_config(where, CONFIG, [])


def read_metrics(where):
    records = curves.read_metrics(where)
    curves.curves_csv(records)


def resume_metrics(where):
    log = TrainingLog(where, ["right", "straight", "left"], False, episodes=1)
    log.mean_timing()
    log.append(EPISODE, {"waiting_share": 0.1})


def read_results(where):
    curves.read_results(where)
    evaluation.offline_scores(where)


def read_models(where):
    rows = models.model_rows(where.name, where) * 2
    models.table(rows).text()
    models.mean_std_text(rows, "test_accuracy")
    assert "Error" not in str(rows[0].get("problem"))


def read_evaluation(where):
    models.table(models.model_rows(where.parent.name, where.parent)).text()


def read_evaluation_conf(where):
    flown = evaluation.Evaluation(where)
    for condition in flown.conditions:
        assert (where / condition.label).parent == where
        flown.flown(condition)


def open_session(where):
    session = Folders(where, None, {"random_seed": 5}, FlightSchedule())
    try:
        session.open()
    finally:
        session.close()


def read_spec(where):
    job.read_spec(where / "n.json")
    plan = make_plan(where.parent)
    existing_dag.changed(plan)


def make_plan(where):
    """A plan whose DAG folder is `where`."""
    plan = DagPlan("dag_train.py", "t", where, where, where, (DagNode("n", "clean", ("clean_dataset.py",)),))
    object.__setattr__(plan, "configuration", {"flags": ["--x", "1"]})
    return plan


def look_at_dag(where):
    dag = status.Dag(where)
    nodes = dag.update()
    status.table(nodes, 1e9)
    status.seconds_left(nodes, 1e9)
    dag.silent(1e9)
    status_text._silence(dag, 1e9)


class Here(DagPlan):
    """A plan whose files lie where the test's do."""

    @property
    def folder(self):
        return self.summary_dir


def submit_dag(where):
    plan = Here("dag_train.py", "t", where, where, where, (DagNode("n", "clean", ("clean_dataset.py",)),))
    existing_dag.state_of(plan)
    existing_dag.differences(plan)
    existing_dag.changed(plan)
    existing_dag.make_rescue(plan)
    list(existing_dag._outputs_before(plan))


def look_at_state(where):
    (where.parent / "plan.json").write_bytes(text(PLAN))
    look_at_dag(where.parent)
    job.State(where / "n.json", SPEC)


def load_checkpoint(where):
    checkpoint.load(where, network="tiny_net").build()


def read_robot(where):
    robot = description.read_robot(str(where / "robot.yaml"))
    Body.from_robot(robot)
    cameras.side_cameras(robot)
    description.compose(description.SimulatorOptions(world=str(WORLD), robot=str(where / "robot.yaml")))


WORLD = description.ROOT / "test/sim/room.world"

NODES = b"""[
  Type = "NodeStatus";
  Node = "n";
  NodeStatus = 5;
  StatusDetails = "";
  RetryCount = 0;
]
"""

FILES = {
    # file: its good content, how values become bytes, its readers
    "runs.jsonl": (RUN, lines, [read_runs]),
    "state.json": ({"pid": 5, "wall": 5.0, "run": 1, "state": "idle"}, text, [lambda w: RunLog(w).state()]),
    "config.json": (CONFIG, text, [read_config]),
    "metrics.jsonl": (EPISODE, lines, [read_metrics, resume_metrics]),
    "timing.jsonl": ({"episode": 1, "time": 5.0, "waiting_share": 0.1}, lines, [resume_metrics]),
    "results.json": (RESULTS, text, [read_results, read_models, folder.remove_results]),
    "m/evaluation/evaluation.json": (EVALUATION, text, [read_evaluation]),
    "evaluation_conf.json": (EVALUATION_CONF, text, [read_evaluation_conf]),
    "run_conf.json": ({"random_seed": 5, "world": ["x"]}, text, [open_session]),
    "t/DAG/jobs/n.json": (SPEC, text, [lambda w: job.read_spec(w / "n.json")]),
    "jobs/n.json": (SPEC, text, [lambda w: submit_dag(w.parent)]),
    "plan.json": (PLAN, text, [look_at_dag, submit_dag]),
    "submitted.json": ({"cluster": 5, "rescue": 0, "pool": "", "time": 5.0}, text, [submit_dag]),
    "state/n.json": (STATE, text, [look_at_state]),
    "esatv3x.json": (WORLD_PLAN, text, [lambda where: load_plan(where / "esatv3x.json")]),
    "robot.yaml": (ROBOT, lambda value: yaml.safe_dump(value).encode(), [read_robot]),
}

MOST = 200
"""Entries that are changed in a file; a test is to be quick."""
LARGE, MOST_OF_LARGE = 20_000, 60
"""Bytes of a file that takes long to read, and the same for such a one."""

VALUES = (
    {},
    [],
    "x",
    "../x",
    "",
    -1,
    0.5,
    1e308,
    2**70,
    None,
    True,
    [[]],
    {"a": {}},
    ["x", 1],
    "a\n\u2028b\0",
)

CONTENTS = (
    b"",
    b"\n",
    b"5",
    b"null",
    b"[]",
    b'"x"',
    b"{}",
    b"NaN",
    b'{"a": Infinity}',
    b'{"run": 1e999}',
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b"9" * 10_000,
    b"\xff\xfe{}",
    b'{"\xff": 1}',
    b"\0" * 100,
    b'{"a": "\\ud800"}',
    b"&a [*a, *a]",
    b"a: &x [1]\nb: *x\n",
    b"a: 2020-01-01\n1: 2\n",
    b"? {a: b}\n: c\n",
    b"a: &a [x,x,x,x,x,x,x,x,x]\n"
    + b"".join(b"%c: &%c [%s]\n" % (c + 1, c + 1, b",".join([b"*%c" % c] * 9)) for c in range(97, 117)),
)


def paths_of(value, path=()):
    """The places of all values within a value."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from paths_of(item, (*path, key))


def put(value, path, item):
    """A copy of a value with another item at a place."""
    if not path:
        return item
    changed = copy.deepcopy(value)
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = item
    return changed


def damaged(good, write, seed):
    """Contents of a damaged file."""
    yield write(good)
    yield from CONTENTS
    draw = random.Random(seed)
    whole = write(good)
    for _ in range(30):
        yield whole[: draw.randrange(len(whole))]
        noisy = bytearray(whole)
        for _ in range(draw.randrange(1, 4)):
            noisy[draw.randrange(len(noisy))] = draw.randrange(256)
        yield bytes(noisy)
    most = MOST if len(whole) < LARGE else MOST_OF_LARGE
    changes = list(itertools.product(paths_of(good), VALUES))
    for path, item in draw.sample(changes, min(most, len(changes))):
        yield write(put(good, path, item))
    keys = [path for path in paths_of(good) if path and isinstance(path[-1], str)]
    for path in draw.sample(keys, min(most // 2, len(keys))):
        without = copy.deepcopy(good)
        place = without
        for key in path[:-1]:
            place = place[key]
        del place[path[-1]]
        yield write(without)


def check(reader, where, damage):
    try:
        reader(where)
    except NavError as error:
        assert "\n" not in str(error) and len(str(error)) < 2000, damage
        assert error.code in (2, 3), damage
    except Exception as error:
        raise AssertionError(f"{type(error).__name__} {error}: {damage!r}") from error


@pytest.mark.parametrize("name", list(FILES))
def test_damaged_content(tmp_path, name):
    good, write, readers = FILES[name]
    file = tmp_path / "log" / name
    file.parent.mkdir(parents=True)
    for content in damaged(good, write, name):
        for reader in readers:
            file.write_bytes(content)
            check(reader, file.parent, content[:3000])
            for other in file.parent.glob("*.damaged"):
                other.unlink()


def test_what_is_whole_is_read(tmp_path):
    """The readers do get somewhere with the good files."""
    for number, (name, (good, write, readers)) in enumerate(FILES.items()):
        for reader in readers:
            file = tmp_path / str(number) / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(write(good))
            if reader not in (open_session, read_config):
                reader(file.parent)


@pytest.mark.parametrize("name", [*FILES, "my-model", "nodes.status", "nodes.log"])
def test_something_else_in_a_files_place(tmp_path, monkeypatch, name):
    where = tmp_path / "log" / name
    where.parent.mkdir(parents=True)
    readers = FILES[name][2] if name in FILES else [load_checkpoint if name == "my-model" else look_at_dag]
    if name.startswith("nodes"):
        (where.parent / "plan.json").write_bytes(text(PLAN))
    monkeypatch.chdir(where.parent)  # a socket's path is short
    for kind in ("folder", "fifo", "socket", "loop", "dangling", "zero", "unreadable"):
        server = socket.socket(socket.AF_UNIX)
        if kind == "folder":
            where.mkdir()
        elif kind == "fifo":
            os.mkfifo(where)
        elif kind == "socket":
            server.bind(where.name)
        elif kind == "unreadable":
            where.write_bytes(b"{}")
            where.chmod(0)
        else:
            where.symlink_to({"loop": where.name, "dangling": "nothing", "zero": "/dev/zero"}[kind])
        for reader in readers:
            check(reader, where.parent, f"{kind} in place of {name}")
        server.close()
        if os.path.lexists(where):
            where.rmdir() if kind == "folder" else where.unlink()


@pytest.mark.parametrize("name", ["my-model", "nodes.status", "nodes.log"])
def test_damaged_bytes(tmp_path, name):
    draw = random.Random(name)
    file = tmp_path / name
    if name == "my-model":
        Checkpoint("tiny_net", 3, {}, ActionSpace(), Preprocessing((128, 128)), {}).save(file)
        whole, reader = file.read_bytes(), load_checkpoint
    else:
        (tmp_path / "plan.json").write_bytes(text(PLAN))
        log = b'000 (001.000.000) 2026-11-25 16:05:56 Job\n DAGNodeName = "n"\n...\n'
        whole, reader = NODES if name == "nodes.status" else log, look_at_dag
    for content in CONTENTS:
        file.write_bytes(content)
        check(reader, tmp_path, content[:100])
    for _ in range(60):
        noisy = bytearray(whole[: draw.randrange(len(whole))] if draw.random() < 0.3 else whole)
        for _ in range(draw.randrange(1, 30)):
            if noisy:
                noisy[draw.randrange(len(noisy))] = draw.randrange(256)
        file.write_bytes(bytes(noisy))
        check(reader, tmp_path, bytes(noisy)[:300])


def test_damaged_entries_of_a_checkpoint(tmp_path, monkeypatch):
    """Archives that are whole, with entries that nav_pkg never wrote."""
    net = build("tiny_net", seed=0)
    monkeypatch.setattr("nav_pkg.nets.build", lambda *given, **more: copy.deepcopy(net))
    state = {key: value for key, value in list(net.state_dict().items())}
    Checkpoint(
        network="tiny_net",
        outputs=3,
        net_options={"dropout": 0.5},
        action_space=ActionSpace(),
        preprocessing=Preprocessing((128, 128)),
        model_state_dict={},
        dataset={"name": "x", "camera": [64, 36]},
    ).save(tmp_path / "my-model")
    good = torch.load(tmp_path / "my-model", weights_only=True)
    changes = list(itertools.product(paths_of(good), [*VALUES, torch.zeros(2)]))
    for path, item in random.Random(5).sample(changes, MOST):
        torch.save(put(good, path, item), tmp_path / "my-model")
        check(load_checkpoint, tmp_path, (path, item))
    for value in (torch.zeros(2), "x", None, {}):
        torch.save({**good, "model_state_dict": {**state, next(iter(state)): value}}, tmp_path / "my-model")
        check(load_checkpoint, tmp_path, ("model_state_dict", value))
