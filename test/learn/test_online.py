"""Learning in flight without a flight: frames come from here, the learner must not know the difference."""

import hashlib
import json
import shutil
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch

from nav_pkg.config import learner as command
from nav_pkg.core import Command, DataError, LearnerError, UsageError
from nav_pkg.data.reader import Dataset
from nav_pkg.learn.batches.loading import load_samples
from nav_pkg.learn.checkpoints import checkpoint
from nav_pkg.learn.deployment.pilot import Pilot
from nav_pkg.learn.online import online_flags, replay_file
from nav_pkg.learn.online.learner import OnlineLearner
from nav_pkg.learn.online.online_flags import learning_config
from nav_pkg.learn.online.replay import ReplayBuffer
from nav_pkg.learn.training import folder

CAMERA = (160, 120)
FAST = "--discrete --loss CrossEntropy --learning_rate 0.05 --batch_size 8 --num_threads 1 --shifted_input"


def flags(text="", network="tinyv3_net"):
    args = command.parse(["--online", "--network", network, *FAST.split(), *text.split()])
    return args


def learner(where, text="", network="tinyv3_net", sides=(), **changed):
    where.mkdir(parents=True, exist_ok=True)
    config = replace(flags(text, network), summary_dir=str(where.parent), **changed)
    return OnlineLearner(config, where, CAMERA, sides)


def picture(side, number, size=128):
    """A bright side on a noisy ground: left is answered with left."""
    pixels = np.random.RandomState(number).randint(0, 60, (size, size, 3)).astype(np.uint8)
    third = size // 3
    pixels[:, (1 - side) * third : (2 - side) * third] += 150
    return pixels


def fly(online_learner, run, frames=24):
    """A run whose frames show where to turn."""
    online_learner.pilot.reset(run)
    online_learner.new_run(run)
    answers = []
    for index in range(frames):
        side = (index * 7 + run) % 3 - 1
        pixels = picture(side, 1000 * run + index)
        answer = online_learner.command_of(pixels)
        answers.append(answer.yaw)
        sides = [picture(side + turn, 50 + index) for turn, _ in zip((-1, 1), online_learner.sides)]
        online_learner.observe(pixels, Command(0.8, yaw=float(side)), index, sides)
    online_learner.end_run(
        {"run": run, "name": f"{run:05d}_test", "outcome": "success", "progress": 1.0 * run}
    )
    return answers


def weights(where):
    state = checkpoint.load(where).model_state_dict
    return hashlib.sha256(b"".join(value.numpy().tobytes() for value in state.values())).hexdigest()


def test_it_learns_while_it_flies(tmp_path):
    online_learner = learner(tmp_path / "log")
    for run in range(3):
        answers = fly(online_learner, run, frames=40)
    right = [(index * 7 + 2) % 3 - 1 for index in range(40)]
    assert np.mean(np.array(answers) == right) > 0.9
    assert (
        online_learner.frames == 120 and online_learner.updates == 120 - 7
    )  # from the eighth frame on, one step a frame
    lines = [json.loads(line) for line in (tmp_path / "log" / "metrics.jsonl").read_text().splitlines()]
    assert [line["updates"] for line in lines] == [33, 73, 113]
    assert lines[-1]["train"]["accuracy"] > 0.9 and lines[-1]["buffer"]["size"] == 120
    # what was learned flies like any checkpoint
    pilot = Pilot.load(tmp_path / "log", given={"discrete": True})
    assert [pilot.command_of(picture(side, 5)).yaw for side in (-1, 0, 1)] == [-1.0, 0.0, 1.0]


WAYS = {
    "fifo": ("", "tinyv3_net"),
    "small buffer": ("--buffer_size 30 --gradient_steps 2", "tinyv3_net"),
    "hard": ("--buffer_size 20 --buffer_update_rule hard", "tinyv3_net"),
    "empty": ("--buffer_update_rule empty", "tinyv3_net"),
    "balanced": ("--normalized_output --optimizer Adam", "tinyv3_net"),
    "loss": ("--replay_priority loss --lr_schedule exponential --lr_decay_every 10", "tinyv3_net"),
    "every third": ("--train_every_N_steps 3 --min_buffer_size 20 --clip 1", "tinyv3_net"),
    "frames": ("--n_frames 3 --buffer_size 40", "tinyv3_3d_net"),
    "lstm": ("--time_length 5 --init_state burn_in 4", "tiny_LSTM_net"),
    "dropout": ("--dropout 0.5 --time_length 5", "tiny_LSTM_net"),
    "batch norm": ("--batch_norm", "tinyv3_net"),
    "recovery": ("--recovery_compensation 0.9 --buffer_size 100 --normalized_output", "tinyv3_net"),
    "recovery lstm": ("--recovery_compensation 0.9 --time_length 5 --init_state burn_in 4", "tiny_LSTM_net"),
    "mas": (
        "--continual_learning --loss_window_mean_threshold 5 --loss_window_std_threshold 5",
        "tinyv3_net",
    ),
}


SIDES = {"recovery", "recovery lstm"}
QUICK = ("fifo", "small buffer", "every third", "empty")


@pytest.mark.parametrize(
    "way", [pytest.param(way, marks=() if way in QUICK else pytest.mark.slow) for way in WAYS]
)
def test_a_cut_leaves_no_trace(way, tmp_path):
    """Three runs at a go, and three runs with a death in the middle of each: same answers, same bytes."""
    text, network = WAYS[way]
    sides = ("left", "right") if way in SIDES else ()
    whole = learner(tmp_path / "whole", text, network, sides)
    answers = [fly(whole, run) for run in range(3)]
    cut = []
    for run in range(3):
        dying = learner(tmp_path / "cut", text, network, sides)
        dying.pilot.reset(run)
        dying.new_run(run)
        for index in range(5 + 6 * run):  # it dies in mid-run: nothing of this may be left
            pixels = picture(1, index)
            dying.command_of(pixels)
            dying.observe(pixels, Command(yaw=-1.0), index, [pixels] * len(sides))
        again = learner(tmp_path / "cut", text, network, sides)
        assert sorted(again.runs) == list(range(run))
        cut.append(fly(again, run))
    assert cut == answers
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")
    assert again.replay.frames.tolist() == whole.replay.frames.tolist()
    metrics = [(tmp_path / name / "metrics.jsonl").read_bytes() for name in ("cut", "whole")]
    assert metrics[0] == metrics[1]


def test_a_damaged_line_of_metrics_costs_no_other(tmp_path, capsys):
    online_learner = learner(tmp_path / "log")
    for run in range(3):
        fly(online_learner, run)
    file = tmp_path / "log" / "metrics.jsonl"
    first, second, third = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(first + second[:40] + b"\n" + third)
    again = learner(tmp_path / "log")
    assert "lost episode 2 of the 3 that the checkpoint knows (line 2 cannot" in capsys.readouterr().out
    assert file.read_bytes() == first + third
    fly(again, 3)
    assert [json.loads(line)["episode"] for line in file.read_text().splitlines()] == [1, 3, 4]


@pytest.mark.slow
def test_segments_of_dropped_frames_go(tmp_path):
    online_learner = learner(tmp_path / "log", "--buffer_size 30")
    for run in range(6):
        fly(online_learner, run)
    segments = list((tmp_path / "log" / "replay").iterdir())
    assert len(segments) <= 3
    assert sum(file.stat().st_size for file in segments) <= 54 * 128 * 128 * 3


def test_side_cameras_are_learned_with_labels_that_turn_back(tmp_path):
    online_learner = learner(tmp_path / "log", "--recovery_compensation 0.9", sides=("left", "right"))
    online_learner.new_run(0)
    for index in range(2):
        pixels = [np.full((128, 128, 3), grey + index, np.uint8) for grey in (10, 20, 30)]
        online_learner.observe(pixels[0], Command(0.8, yaw=0.4), index, pixels[1:])
    assert (online_learner.frames, len(online_learner.replay)) == (2, 6)
    assert online_learner.replay.yaw.tolist() == pytest.approx([0.4, -0.5, 1.0] * 2)  # limited to the bound
    shown = np.empty((6, 128, 128, 3), np.uint8)
    online_learner.replay.gather(online_learner.replay.frames, shown)
    assert shown[:, 0, 0, 0].tolist() == [10, 20, 30, 11, 21, 31]
    assert "left camera, right camera" in online_learner.describe()
    with pytest.raises(UsageError, match="the robot has no recovery cameras"):
        learner(tmp_path / "other", "--recovery_compensation 0.9")
    assert learner(tmp_path / "third", sides=("left", "right")).sides == ()  # not asked for


def prefilled(where, root, text="", network="tiny_net", sides=(), camera=(64, 36), dataset="easy"):
    where.mkdir(parents=True, exist_ok=True)
    values = flags(f"--prefill_dataset {dataset} --data_root {root} {text}", network)
    return OnlineLearner(replace(values, summary_dir=str(where.parent)), where, camera, sides)


def test_a_buffer_is_filled_with_frames_of_a_dataset(tmp_path, data_root):
    online_learner = prefilled(tmp_path / "all", data_root)
    assert (len(online_learner.replay), online_learner.frames, online_learner.updates) == (270, 0, 0)
    samples = load_samples(Dataset(data_root / "easy").split("train"), online_learner.parts.preprocessing)
    assert online_learner.replay.yaw.tolist() == samples.yaw.tolist()
    shown, wanted = np.empty((2, 3, 128, 128, 3), np.uint8)
    online_learner.replay.gather(np.array([0, 100, 269]), shown)
    samples.gather(np.array([0, 100, 269]), wanted)
    assert (shown == wanted).all()
    text = "--prefill_frames 100 --normalized_output --batch_size 9"
    some, other = (prefilled(tmp_path / name, data_root, text) for name in ("some", "other"))
    assert len(some.replay) == 100 and some.replay.yaw.tolist() == other.replay.yaw.tolist()
    assert prefilled(tmp_path / "seed", data_root, f"{text} --random_seed 7").replay.yaw.tolist() != (
        some.replay.yaw.tolist()
    )
    fly(some, 0, frames=1)  # enough is there for the first frame's gradient step, a third of it each way
    assert (some.frames, some.updates) == (1, 1)
    counts = json.loads((tmp_path / "some" / "metrics.jsonl").read_text())["train"]["confusion"]
    assert [sum(row) for row in counts] == [3, 3, 3]


@pytest.mark.parametrize("text, network", [("--time_length 5", "tiny_LSTM_net"), ("", "tinyv3_3d_net")])
def test_what_is_filled_in_keeps_its_order(text, network, tmp_path, data_root):
    online_learner = prefilled(tmp_path / "log", data_root, f"{text} --prefill_frames 130", network)
    assert len(online_learner.replay) == 130
    # two whole pieces and one cut off, of 90 frames that are 50 and 40: few frames lack a past
    assert online_learner.replay.windows_held(5) >= 130 - 4 * 4


@pytest.mark.slow
def test_what_was_filled_in_is_resumed_without_the_dataset(tmp_path, data_root):
    root = tmp_path / "data"
    shutil.copytree(data_root, root)
    whole, cut = (prefilled(tmp_path / name, root, "--prefill_frames 60") for name in ("whole", "cut"))
    for online_learner in (whole, cut):
        fly(online_learner, 0)
    shutil.rmtree(root)
    again = prefilled(tmp_path / "cut", root, "--prefill_frames 60")
    for online_learner in (whole, again):
        fly(online_learner, 1)
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")
    assert len(again.replay) == 60 + 48


@pytest.mark.parametrize(
    "text, changed, message",
    [
        ("--prefill_frames 271", {}, "--prefill_frames 271: its training set has 270 frames"),
        ("--prefill_frames 51 --buffer_size 50", {}, "--prefill_frames 51: the buffer holds 50 frames"),
        ("", {"camera": CAMERA}, "has a camera of 64x36, this flight has one of 160x120: give --width 64"),
        ("", {"dataset": "eesy"}, "did you mean 'easy'"),
        ("--buffer_update_rule empty", {}, "--buffer_update_rule empty drops it"),
        ("--recovery_compensation 1", {"sides": ("left",)}, "lacks the recovery cameras of this flight"),
    ],
)
def test_what_can_not_be_filled_in(text, changed, message, tmp_path, data_root):
    with pytest.raises((UsageError, DataError)) as error:
        prefilled(tmp_path / "log", data_root, text, **changed)
    assert message in str(error.value) and "\n" not in str(error.value)
    assert not any((tmp_path / "log").iterdir())


def test_what_memory_held_at_the_start_holds_for_the_session(tmp_path, monkeypatch):
    monkeypatch.setattr(online_flags, "frames_that_fit", lambda image_bytes: 40)
    fly(learner(tmp_path / "log"), 0)
    monkeypatch.setattr(online_flags, "frames_that_fit", lambda image_bytes: 1000)
    again = learner(tmp_path / "log")
    assert again.replay.capacity == 40
    for run in (1, 2):
        fly(again, run)
    assert len(again.replay) == 40


def test_a_session_that_outgrew_the_memory_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(online_flags, "frames_that_fit", lambda image_bytes: 40)
    fly(learner(tmp_path / "log"), 0)
    capsys.readouterr()
    monkeypatch.setattr(online_flags, "frames_that_fit", lambda image_bytes: 30)
    assert learner(tmp_path / "log").replay.capacity == 40
    assert "had room for 40 frames" in capsys.readouterr().out


def test_reading_a_buffer_takes_no_second_one(tmp_path, monkeypatch):
    image = 128 * 128 * 3
    monkeypatch.setattr(replay_file, "_SEGMENT", 30 * image)
    buffer = ReplayBuffer(512, (128, 128, 3))
    for number in range(512):
        buffer.add(np.full((128, 128, 3), number % 250, np.uint8), 0.0, 0, number)
    tracemalloc.start()
    segments = replay_file.ReplaySegments(tmp_path)
    segments.write(buffer)
    assert tracemalloc.get_traced_memory()[1] < 100 * image
    again = ReplayBuffer(512, (128, 128, 3))
    tracemalloc.stop()
    tracemalloc.start()
    segments.read(again, buffer.state())
    assert tracemalloc.get_traced_memory()[1] < (512 + 100) * image
    tracemalloc.stop()
    shown = np.empty((512, 128, 128, 3), np.uint8)
    again.gather(again.frames, shown)
    assert shown[:, 3, 3, 1].tolist() == [number % 250 for number in range(512)]


def test_a_pause_is_a_gap(tmp_path):
    online_learner = learner(tmp_path / "log", "--n_frames 3", "tinyv3_3d_net")
    online_learner.new_run(0)
    for index in range(12):
        online_learner.learning = index not in (4, 5)
        yaw = float("nan") if index == 8 else 0.0
        online_learner.observe(picture(0, index), Command(yaw=yaw), index)
    # 0 to 3, 6 and 7, 9 to 11
    assert online_learner.replay.candidates(3).tolist() == [0, 1, 2, 3, 8]


def resumed(tmp_path, *words, start="first"):
    """What a session would check, and the learner, in a folder that may hold runs already."""
    line = ["--online", "--checkpoint_path", start, "--loss", "CrossEntropy", "--batch_size", "8"]
    line += ["--num_threads", "1", "--summary_dir", str(tmp_path), "-t", "second", *words]
    args, where = command.parse(line), tmp_path / "second"
    resumes = where if folder.can_resume(where) else None
    online_flags.check(args, CAMERA, (), resumes)
    where.mkdir(exist_ok=True)
    return OnlineLearner(learning_config(args, resumes), where, CAMERA)


def test_it_goes_on_when_the_checkpoint_that_it_began_with_is_gone(tmp_path):
    fly(learner(tmp_path / "first"), 0)
    online_learner = resumed(tmp_path)
    fly(online_learner, 0)
    shutil.rmtree(tmp_path / "first")
    again = resumed(tmp_path)
    assert sorted(again.runs) == [0] and again.updates == online_learner.updates
    with pytest.raises(UsageError, match="--scaled_input: .*second was trained with input mode 'shifted'"):
        resumed(tmp_path, "--scaled_input")
    shutil.rmtree(tmp_path / "second")
    with pytest.raises(DataError, match="first.*no such checkpoint"):
        resumed(tmp_path)


def test_it_goes_on_from_a_scratch_that_it_made(tmp_path):
    words = ("--network", "tiny_net", "--discrete", "--scaled_input")
    fly(resumed(tmp_path, *words, start="tiny_net_scratch"), 0)
    assert (tmp_path / "tiny_net_scratch" / "my-model").is_file()
    assert sorted(resumed(tmp_path, *words, start="tiny_net_scratch").runs) == [0]


@pytest.mark.parametrize(
    "camera, words, message",
    [
        (
            (64, 48),
            "--continue_training",
            "camera of 160x120, this flight has one of 64x48: give --width 160",
        ),
        (CAMERA, "--continue_training --optimizer Adam", "needs --optimizer SGD, not Adam"),
        (CAMERA, "--network tiny_net", "holds tinyv3_net, not tiny_net"),
        (CAMERA, "--batch_norm", "was made with batch_norm False, not True"),
    ],
)
def test_what_a_checkpoint_forbids_is_said_before_anything_is_started(tmp_path, camera, words, message):
    fly(learner(tmp_path / "first"), 0)
    line = ["--online", "--checkpoint_path", "first", "--loss", "CrossEntropy", "--batch_size", "8"]
    line += ["--summary_dir", str(tmp_path), "-t", "second", *words.split()]
    with pytest.raises((UsageError, DataError)) as error:
        online_flags.check(command.parse(line), camera)
    assert message in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "second").exists()


def test_it_goes_on_from_a_checkpoint(tmp_path):
    first = learner(tmp_path / "first", "--optimizer Adam")
    fly(first, 0)
    path = str(tmp_path / "first")
    words = ["--online", "--checkpoint_path", path, "--optimizer", "Adam", "--num_threads", "1"]
    values = learning_config(command.parse(words))
    assert values.discrete and values.shifted_input and values.network == "tinyv3_net"
    changed = {"loss": "CrossEntropy", "continue_training": True, "batch_size": 8}
    values = replace(values, summary_dir=str(tmp_path), **changed)
    (tmp_path / "second").mkdir()
    second = OnlineLearner(values, tmp_path / "second", CAMERA)
    assert (
        weights(tmp_path / "first")
        == hashlib.sha256(
            b"".join(value.contiguous().numpy().tobytes() for value in second.net.state_dict().values())
        ).hexdigest()
    )
    assert second.updates == first.updates and len(second.replay) == 0
    fly(second, 0)


def test_frames_without_an_expert_are_not_learned(tmp_path):
    online_learner = learner(tmp_path / "log")
    online_learner.new_run(0)
    for index in range(12):
        online_learner.observe(picture(0, index), Command(yaw=float("nan")), index)
    assert online_learner.frames == online_learner.updates == len(online_learner.replay) == 0


def test_pausing(tmp_path):
    online_learner = learner(tmp_path / "log")
    online_learner.new_run(0)
    online_learner.learning = False
    online_learner.observe(picture(0, 1), Command(), 0)
    assert online_learner.frames == 0
    online_learner.learning = True
    online_learner.observe(picture(0, 1), Command(), 1)
    assert online_learner.frames == 1


def test_load_and_save_in_flight(tmp_path):
    online_learner, other = learner(tmp_path / "one"), learner(tmp_path / "other", random_seed=7)
    fly(other, 0)
    online_learner.new_run(0)
    online_learner.load(str(tmp_path / "other"))
    image = picture(1, 3)
    assert online_learner.command_of(image) == Pilot.load(tmp_path / "other").command_of(image)
    online_learner.save(tmp_path / "now" / "my-model")
    assert weights(tmp_path / "now") == weights(tmp_path / "other")
    with pytest.raises(DataError, match="tiny_net|network"):
        fly(learner(tmp_path / "third", "", "tiny_net"), 0)
        online_learner.load(str(tmp_path / "third"))


def test_a_loss_that_is_not_finite_ends_it_and_keeps_the_checkpoint(tmp_path):
    online_learner = learner(tmp_path / "log")
    fly(online_learner, 0)
    before = weights(tmp_path / "log")
    with torch.no_grad():
        next(iter(online_learner.net.parameters())).fill_(float("inf"))
    online_learner.new_run(1)
    with pytest.raises(LearnerError, match="gradient step 18.*my-model is from the start of the run"):
        for index in range(3):
            online_learner.observe(picture(0, index), Command(), index)
    assert weights(tmp_path / "log") == before


@pytest.mark.parametrize(
    "text, network, message",
    [
        ("--buffer_size 5", "tiny_net", "--buffer_size 5: must be at least 8"),
        ("--buffer_size 99000000000", "tiny_net", "--buffer_size 99000000000: takes"),
        ("--buffer_update_rule hard", "tiny_LSTM_net", "--buffer_update_rule hard: leaves gaps"),
        ("--buffer_update_rule hard", "tiny_nfc_net", "--buffer_update_rule hard: leaves gaps"),
        ("--time_length -1", "tiny_LSTM_net", "--time_length -1"),
        ("--init_state carried", "tiny_LSTM_net", "--init_state carried"),
        ("--replay_priority loss", "tiny_LSTM_net", "--replay_priority"),
        ("--continual_learning_lambda 2", "tiny_net", "--continual_learning_lambda has no effect"),
    ],
)
def test_bad_input(tmp_path, text, network, message):
    with pytest.raises(UsageError) as error:
        learner(tmp_path / "log", text, network)
    assert message in str(error.value) and "\n" not in str(error.value)
    assert not any((tmp_path / "log").iterdir())


def test_another_configuration_is_refused(tmp_path):
    fly(learner(tmp_path / "log"), 0)
    with pytest.raises(UsageError, match="was started with --gradient_steps 1, not 2"):
        learner(tmp_path / "log", "--gradient_steps 2")


def test_a_damaged_buffer_is_named(tmp_path):
    fly(learner(tmp_path / "log"), 0)
    segment = next((tmp_path / "log" / "replay").iterdir())
    content = bytearray(segment.read_bytes())
    content[1000] ^= 1
    segment.write_bytes(content)
    with pytest.raises(DataError, match="damaged part of the replay buffer"):
        learner(tmp_path / "log")


def test_a_folder_of_offline_training_is_refused(tmp_path):
    online_learner = learner(tmp_path / "log")
    online_learner.save(tmp_path / "log" / folder.MODEL_FILE)
    with pytest.raises(UsageError, match="not written by learning in flight"):
        learner(tmp_path / "log")


def test_flags_by_where_they_matter():
    with pytest.raises(UsageError, match="--dataset has no effect in flight"):
        command.parse(["--online", "--dataset", "x"])
    with pytest.raises(UsageError, match="--prefill_frames has no effect in flight without"):
        command.parse(["--online", "--prefill_frames", "9"])
    with pytest.raises(UsageError, match="--buffer_size has no effect when training offline"):
        command.parse(["--buffer_size", "10"])
    with pytest.raises(UsageError, match="--learning_rate has no effect in flight .*no_training"):
        command.parse(["--online", "--no_training", "--learning_rate", "0.1"])
    assert command.parse(["--online", "--prefill", "10"]).min_buffer_size == 10
    assert "buffer_size" not in command.parse([]).of_training()
