"""evaluate.py's command line: what is refused before anything is made, what may be continued."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nav_pkg import nets
from nav_pkg.core import NavError, UsageError
from nav_pkg.learn.action import ActionSpace
from nav_pkg.learn.batches.preprocess import Preprocessing
from nav_pkg.learn.checkpoints.checkpoint import Checkpoint
from nav_pkg.session import arguments, session
from nav_pkg.studies import evaluation

ROOT = Path(__file__).resolve().parents[2]


def save(folder, seed=1, **more):
    """A scratch checkpoint of tiny_net."""
    Checkpoint(
        network="tiny_net",
        outputs=3,
        net_options=nets.complete_options("tiny_net"),
        action_space=ActionSpace(),
        preprocessing=Preprocessing(nets.spec("tiny_net").input_size),
        model_state_dict=nets.build("tiny_net", outputs=3, seed=seed).state_dict(),
        **more,
    ).save(folder / "my-model")


@pytest.fixture
def logs(tmp_path):
    """A log folder with two checkpoints; b was trained with a small camera."""
    save(tmp_path / "log" / "a")
    save(tmp_path / "log" / "b", dataset={"name": "x", "hash": "", "camera": [160, 120]})
    return tmp_path / "log"


def command(logs, line):
    return evaluation.EvaluationRunner(*evaluation.split(["--summary_dir", str(logs), *line.split()]))


def everything(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("-m nowhere", 3, "no such checkpoint"),
        ("-m a nowhere", 3, "no such checkpoint"),
        ("-m b", 2, "trained with a camera of 160x120, this one's is 640x360: give --width 160 --height 120"),
        ("-m a --control_delays 0.1 0.0123", 2, "--control_delay is 0.0123"),
        ("-m a --control_delays -0.1", 2, "-0.1 is not at least 0"),
        ("-m a --perturbations none fog:1", 2, "no perturbation is called 'fog'"),
        ("-m a --perturbations light:2", 2, "at most 0.95"),
        ("-m a --jobs 0", 2, "0 is not 1 to 64"),
        ("-m a -n 0", 2, "0 is not 1 to 1000000"),
        ("-m a --worlds esatv4", 2, "did you mean 'esatv3'"),
        ("-m a --directions back", 2, "invalid choice: 'back'"),
        ("-m a --robot drome", 2, "did you mean 'drone'"),
        ("-m a --reverse", 2, "--reverse is a single session's: give --directions"),
        ("-m a --control_delay 0.2", 2, "give --control_delays"),
        ("-m a -ds", 2, "evaluate.py sets it"),
        ("-m a --pertubations none", 2, "did you mean '--perturbations'"),
        ("-m a --learning_rate 1", 2, "no effect in flight"),
        ("-m a --jobs 2 --shared_master", 2, "can't share a ROS master"),
        ("-m a --network res18_net", 3, "holds tiny_net"),
        ("-m a -t ../x", 2, "is not a name"),
        ("-n 3", 2, "--checkpoint_path"),
    ],
)
def test_refused_before_anything_is_made(logs, line, code, message):
    before = everything(logs.parent)
    with pytest.raises(NavError) as error:
        command(logs, line)
    assert message in str(error.value)
    assert error.value.code == code
    assert "\n" not in str(error.value)
    assert everything(logs.parent) == before


def test_one_line_and_exit_code(logs):
    line = [
        sys.executable,
        str(ROOT / "scripts" / "evaluate.py"),
        "--summary_dir",
        str(logs),
        "-m",
        "nowhere",
    ]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, env=os.environ)
    assert done.returncode == 3
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_a_camera_that_fits_is_taken(logs):
    assert command(logs, "-m b --width 160 --height 120").evaluation.conditions


def test_conditions_become_sessions(logs):
    line = (
        "-m a -n 4 --directions both --control_delays 0.2 --perturbations noise:0.1 --jobs 4 --max_duration 9"
    )
    run = command(logs, line)
    words = run._arguments(run.evaluation.conditions[1], 2, 3)
    flags = dict(zip(words[::1], words[1:]))
    assert flags["--log_tag"] == "evaluation/a/esatv3_reverse_delay0.2_noise0.1/shard_2"
    assert (flags["--shard"], flags["--perturbation"], flags["--max_duration"]) == ("2/3", "noise:0.1", "9")
    assert {"--reverse", "--evaluation", "--create_dataset"} <= set(words)


def test_worlds_of_plan_files(logs, small_plan, tmp_path):
    line = f"-m a -t own --worlds esatv3 {small_plan} {small_plan}+7"
    run = command(logs, line)
    assert [condition.world for condition in run.evaluation.conditions] == ["esatv3", "small", "small+7"]
    assert run.evaluation.configuration["plans"].keys() == {"small", "small+7"}
    run.open()
    copy = logs / "own" / "worlds" / "small.json"
    assert copy.read_bytes() == small_plan.read_bytes()
    for condition, world in zip(run.evaluation.conditions, ("esatv3", str(copy), f"{copy}+7")):
        words = run._arguments(condition, 1, 1)
        assert words[words.index("--world") + 1] == world
        assert run.evaluation.plan(condition).name == condition.world
        assert condition.folder == f"a/{condition.world}_forward_delay0.1_none"
    os.close(run._lock)
    raw = json.loads(small_plan.read_text())
    small_plan.write_text(json.dumps({**raw, "title": "Another"}))
    with pytest.raises(UsageError, match="holds an evaluation with plans.small.*give the same flags"):
        command(logs, line).open()
    other = tmp_path / "other" / "small.json"
    other.parent.mkdir()
    other.write_text(json.dumps(raw))
    with pytest.raises(UsageError, match=r"--worlds: .* and .* are both called small"):
        command(logs, f"-m a --world {small_plan} {other}")


def test_mixing_and_noise_make_no_evaluation_runs(logs):
    """Such runs are flown without either: what was asked for would be passed over."""
    for more in ("--alpha 0.5", "--noise ou --sigma_yaw 0.1"):
        run = command(logs, f"-m a {more}")
        assert "--evaluation" not in run._arguments(run.evaluation.conditions[0], 1, 1)


@pytest.mark.parametrize(
    ("jobs", "conditions", "shards"), [(1, 1, 1), (2, 1, 2), (2, 2, 1), (4, 2, 3), (2, 3, 2)]
)
def test_simulators_share_runs_where_conditions_do_not_come_out_even(logs, jobs, conditions, shards):
    delays = " ".join(["0", "0.1", "0.2"][:conditions])
    run = command(logs, f"-m a -n 3 --jobs {jobs} --control_delays {delays}")
    assert run.evaluation.configuration["shards"] == shards


def opened(logs, line):
    run = command(logs, line)
    run.open()
    os.close(run._lock)
    return run


def test_continued_with_the_same_flags_more_runs_and_other_jobs(logs):
    opened(logs, "-m a -n 3 --jobs 2")
    again = opened(logs, "-m a -n 5 --jobs 1 --keep_images")
    assert again.evaluation.configuration["shards"] == 2
    assert again.evaluation.configuration["number_of_runs"] == 5


def test_fewer_runs_do_not_replace_the_result_of_more(logs):
    opened(logs, "-m a -n 3")
    with pytest.raises(UsageError, match="an evaluation of 3 runs a condition, and --number_of_runs is 2"):
        opened(logs, "-m a -n 2")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("-m a --control_delays 0.2", "control_delays 0.1, now 0.2"),
        ("-m a --random_seed 5", "random_seed 123, now 5"),
        ("-m a --directions both", "directions forward, now forward reverse"),
        ("-m a --max_duration 5", "session_flags not given, now --max_duration 5"),
    ],
)
def test_a_changed_configuration_is_refused(logs, line, message):
    opened(logs, "-m a")
    before = (logs / "evaluation" / evaluation.CONFIGURATION).read_text()
    with pytest.raises(UsageError) as error:
        opened(logs, line)
    assert message in str(error.value)
    assert (logs / "evaluation" / evaluation.CONFIGURATION).read_text() == before


def test_a_checkpoint_that_changed_is_refused(logs):
    opened(logs, "-m a")
    save(logs / "a", seed=2)
    with pytest.raises(UsageError, match=r"checkpoints.sha256 "):
        opened(logs, "-m a")


def test_other_checkpoints_are_named(logs):
    save(logs / "c")
    opened(logs, "-m a c")
    with pytest.raises(UsageError, match="an evaluation with checkpoints a c, now c; give the same flags"):
        opened(logs, "-m c")


def test_owr_deletes_what_an_evaluation_made_and_nothing_else(logs):
    opened(logs, "-m a")
    folder = logs / "evaluation"
    (folder / "a").mkdir()
    (folder / "notes.txt").write_text("mine")
    opened(logs, "-m a --random_seed 5 --owr")
    assert everything(folder) == [evaluation.CONFIGURATION, "notes.txt"]
    assert json.loads((folder / evaluation.CONFIGURATION).read_text())["random_seed"] == 5


def test_a_folder_of_another_kind_is_left_alone(logs):
    before = everything(logs / "a")
    for more in ("", "--owr"):
        with pytest.raises(UsageError, match="was not made by evaluate.py"):
            opened(logs, f"-m b --width 160 --height 120 -t a {more}")
    assert everything(logs / "a") == before


def test_two_at_once_are_refused(logs):
    first = command(logs, "-m a")
    first.open()
    with pytest.raises(UsageError, match="in use"):
        command(logs, "-m a").open()
    os.close(first._lock)


def test_a_session_warns_of_another_camera_than_in_training(logs):
    def warning(line):
        words = ["--summary_dir", str(logs), "--alpha", "0", *line.split()]
        return session.Session(*arguments.split(words), check_only=True).warning

    assert "b: was trained for a camera of 160x120, this one's is 640x360: give --width" in warning("-m b")
    assert not warning("-m b --width 160 --height 120")
    assert not warning("-m a"), "a knows no camera"


def test_exported_files_are_flown_and_torchscript_only_when_trusted(logs):
    from nav_pkg.learn.checkpoints import checkpoint
    from nav_pkg.learn.deployment import export

    picture = np.zeros((90, 160, 3), np.uint8)
    for name in ("net.onnx", "net.pt"):
        export.export(checkpoint.load("a", logs), logs / "a" / "my-model", logs / name, (90, 160), [picture])
    size = "--width 160 --height 90"
    with pytest.raises(UsageError, match=r"exported for a camera of 160x90"):
        command(logs, "-m net.onnx")
    with pytest.raises(UsageError, match=r"net.pt: not loaded: a TorchScript file is a program"):
        command(logs, f"-m net.onnx net.pt {size}")
    with pytest.raises(UsageError, match="--trust_torchscript has no effect"):
        command(logs, f"-m net.onnx {size} --trust_torchscript")
    run = command(logs, f"-m net.onnx net.pt {size} --trust_torchscript")
    given = {c.label: run._arguments(c, 1, 1) for c in run.evaluation.conditions}
    assert {label: "--trust_torchscript" in words for label, words in given.items()} == {
        "net.onnx": False,
        "net.pt": True,
    }
    assert run.evaluation.configuration["checkpoints"][0]["network"] == "tiny_net"
