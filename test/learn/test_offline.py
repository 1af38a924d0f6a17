"""Training from the command line's flags: learns, repeats itself, goes on exactly, refuses."""

import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from nav_pkg.cli.main import main
from nav_pkg.config.learner import parse
from nav_pkg.core import DataError, LearnerError, UsageError
from nav_pkg.learn.batches.samples import Samples
from nav_pkg.learn.checkpoints import checkpoint
from nav_pkg.learn.deployment.pilot import Pilot
from nav_pkg.learn.methods import compute
from nav_pkg.learn.training import folder, offline
from nav_pkg.learn.training.log import TrainingLog
from nav_pkg.learn.training.stop import Stop
from nav_pkg.learn.training.trainer import Trainer

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "main.py"
QUICK = [
    "--network",
    "tinyv3_net",
    "--discrete",
    "--loss",
    "CrossEntropy",
    "--learning_rate",
    "0.01",
    "--batch_size",
    "30",
    "--num_threads",
    "1",
]
TINY = ("--network", "tiny_net")
"""Sixteen times as many weights: where a test is about it."""


@pytest.fixture
def arguments(data_root, tmp_path):
    """Makes a command line on the easy dataset, with logs in a fresh folder."""

    def make(*more):
        places = ["--data_root", str(data_root), "--summary_dir", str(tmp_path)]
        return [*places, "--dataset", "easy", *QUICK, *more]

    return make


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def weights(folder):
    return checkpoint.load(folder).model_state_dict


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


class Interrupt(Stop):
    """Asks to stop at the n-th look."""

    def __init__(self, look):
        super().__init__()
        self.looks, self.look = 0, look

    def check(self):
        self.looks += 1
        if self.looks >= self.look:
            self._signal = signal.SIGTERM
        super().check()


def train(argv, stop=None):
    """As main.py does, with a stop of one's own."""
    args = parse(argv)
    return offline.train(args, stop or Stop())


def test_learns_an_easy_task_and_leaves_everything_behind(arguments, tmp_path, data_root, capsys):
    assert main(arguments("-t", "a", *TINY, "--max_episodes", "6", "--tensorboard", "--shifted_input")) == 0
    folder = tmp_path / "a"
    results = json.loads((folder / "results.json").read_text())
    assert results["test"]["accuracy"] > 0.95 and results["val"]["accuracy"] > 0.95
    assert results["test"]["frames"] == results["val"]["frames"] == 90
    assert results["classes"] == ["right", "straight", "left"]
    assert results["parameters"] == 8_199_009
    assert results["config"]["flags"]["shifted_input"] is True
    assert [line["updates"] for line in lines(folder)] == [9, 18, 27, 36, 45, 54]
    assert len((folder / "timing.jsonl").read_text().splitlines()) == 6
    assert "episode 6/6" in capsys.readouterr().out
    # what was learned flies, with the preprocessing that it was trained with
    pilot = Pilot.load("a", tmp_path)
    from nav_pkg.data.reader import load_dataset

    run = load_dataset("easy", data_root).split("test")[0]
    flown = [pilot.command(run.rgb(i)).yaw for i in range(0, 90, 3)]
    right = sum(abs(yaw - label) < 0.5 for yaw, label in zip(flown, run.frames.expert_yaw[::3]))
    assert right >= 29


def test_tensorboard_has_the_published_tags_once_at_each_x(arguments, tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    command = arguments("-t", "a", "--max_episodes", "2", "--tensorboard")
    assert train(command, Interrupt(9)) == 85
    assert train(command) == 0
    events = accumulator.EventAccumulator(str(tmp_path / "a"))
    events.Reload()
    tags = events.Tags()["scalars"]
    for part in ("train", "val"):
        for score in ("accuracy", "imitation_learning", "total", "balanced_accuracy", "recall_left"):
            points = events.Scalars(f"Loss_{part}_{score}")
            assert [point.step for point in points] == [9, 18]
    assert "Loss_test_accuracy" in tags and "Speed_samples_per_second" in tags
    logged = [line["val"]["accuracy"] for line in lines(tmp_path / "a")]
    assert [p.value for p in events.Scalars("Loss_val_accuracy")] == pytest.approx(logged)


EXTRA = ["--max_episodes", "3", "--momentum", "0.9", "--dropout", "0.5", "--clip", "1"]


@pytest.fixture(scope="module")
def whole(data_root, tmp_path_factory):
    """The log folder of an uninterrupted run with EXTRA."""
    root = tmp_path_factory.mktemp("whole")
    places = ["--data_root", str(data_root), "--summary_dir", str(root), "--dataset", "easy"]
    assert train([*places, *QUICK, "-t", "whole", *EXTRA]) == 0
    return root / "whole"


def assert_same_run(first, second):
    for name in ("my-model", "metrics.jsonl"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_the_same_command_twice_gives_the_same_bytes(arguments, tmp_path, whole):
    assert train(arguments("-t", "again", *EXTRA)) == 0
    assert_same_run(whole, tmp_path / "again")
    assert train(arguments("-t", "other", *EXTRA, "--random_seed", "5")) == 0
    assert not same(weights(whole), weights(tmp_path / "other"))


# looks: 9 batches to train and 2 to validate an episode, then 2 to test
@pytest.mark.parametrize(
    "stops", [[1, 5], [9], [10], [11, 2], [19, 12, 5]], ids=lambda stops: "-".join(map(str, stops))
)
def test_stopped_and_gone_on_with_is_as_if_never_stopped(arguments, tmp_path, whole, stops):
    for look in stops:
        assert train(arguments("-t", "cut", *EXTRA), Interrupt(look)) == 85
        assert not (tmp_path / "cut/results.json").exists()
    assert train(arguments("-t", "cut", *EXTRA)) == 0
    assert_same_run(whole, tmp_path / "cut")
    results = [json.loads((folder / "results.json").read_text()) for folder in (whole, tmp_path / "cut")]
    assert results[0]["test"] == results[1]["test"]


@pytest.mark.parametrize("save_seconds", [0, 1000])
def test_a_crash_costs_nothing_but_time(arguments, tmp_path, whole, monkeypatch, save_seconds):
    monkeypatch.setattr(offline, "SAVE_SECONDS", save_seconds)
    monkeypatch.setattr(offline, "SAVE_SHARE", 1e9)
    learn, batches = Trainer.train_batch, []

    def crash(trainer, tick):
        batches.append(trainer.step)
        if len(batches) == 20:  # the second of the third episode
            raise SystemError
        learn(trainer, tick)

    with monkeypatch.context() as patch, pytest.raises(SystemError):
        patch.setattr(Trainer, "train_batch", crash)
        train(arguments("-t", "cut", *EXTRA))
    with open(tmp_path / "cut/metrics.jsonl", "a") as file:
        file.write('{"episode": 3, "upd')  # killed while writing
    assert len(lines_whole(tmp_path / "cut")) == 2
    if save_seconds:
        assert not (tmp_path / "cut/my-model").exists()
    else:  # saved in the middle of the episode
        left = checkpoint.load(tmp_path / "cut")
        assert (left.episode, left.step) == (2, 1)
    assert train(arguments("-t", "cut", *EXTRA)) == 0
    assert_same_run(whole, tmp_path / "cut")


def lines_whole(folder):
    return (folder / "metrics.jsonl").read_text().split("\n")[:-1]


@pytest.mark.parametrize(
    "damage",
    [
        lambda line: line[:-20],
        lambda line: b"",
        lambda line: b"\xff" + line,
        lambda line: line.replace(b'"episode": ', b'"episode": "x'),
        lambda line: line.replace(b'"train": {', b'"train": {"accuracy": [], "x": {') + b"}",
        lambda line: b"[" * 100_000,
    ],
    ids=["cut", "gone", "not UTF-8", "wrong type", "wrong score", "deep"],
)
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_damaged_line_costs_no_other(whole, tmp_path, capsys, damage, number):
    before = (whole / "metrics.jsonl").read_bytes().split(b"\n")
    shutil.copy(whole / "timing.jsonl", tmp_path)
    damaged = [damage(line) if i == number else line for i, line in enumerate(before, 1)]
    (tmp_path / "metrics.jsonl").write_bytes(b"\n".join(damaged))
    log = TrainingLog(tmp_path, ["right", "straight", "left"], False, episodes=3)
    assert [record["episode"] for record in log.records] == [i for i in (1, 2, 3) if i != number]
    kept = [line for i, line in enumerate(before, 1) if i != number]
    assert (tmp_path / "metrics.jsonl").read_bytes() == b"\n".join(kept)
    assert (tmp_path / "metrics.jsonl.damaged").read_bytes() == b"\n".join(damaged)
    output = capsys.readouterr().out
    assert output.count("\n") == 1 and f"lost episode {number} of the 3 that the checkpoint knows" in output
    assert (log.last(3) is None) == (number == 3)


def test_what_a_log_never_had_is_not_called_lost(whole, tmp_path, capsys):
    TrainingLog(tmp_path, [], False, episodes=2, before=2)  # begun behind another log's two episodes
    for name in ("metrics.jsonl", "timing.jsonl"):
        shutil.copy(whole / name, tmp_path)
    log = TrainingLog(tmp_path, [], False, episodes=2, before=1)  # and a line of work that will be done again
    assert [record["episode"] for record in log.records] == [1, 2]
    assert capsys.readouterr().out == "" and not list(tmp_path.glob("*.damaged"))
    (tmp_path / "metrics.jsonl").unlink()
    TrainingLog(tmp_path, [], False, episodes=4, before=1)
    assert "metrics.jsonl: lost episode 2 to 4 of the 4" in capsys.readouterr().out
    TrainingLog(tmp_path, [], False, episodes=10**12)  # as a checkpoint may state
    assert "lost episode 1 to 1000000000000 of the 1000000000000" in capsys.readouterr().out


def test_the_damaged_file_stays_whatever_follows(whole, tmp_path, capsys):
    for name in ("metrics.jsonl", "timing.jsonl"):
        shutil.copy(whole / name, tmp_path)
    file = tmp_path / "metrics.jsonl"
    damaged = file.read_bytes().replace(b'"episode": 2', b'"episode": x')
    file.write_bytes(damaged)
    for _ in range(2):  # a resume, and another one
        TrainingLog(tmp_path, [], False, episodes=3)
        assert (tmp_path / "metrics.jsonl.damaged").read_bytes() == damaged
        assert "lost episode 2 of the 3" in capsys.readouterr().out
    again = file.read_bytes()[:-20]  # and damaged once more
    file.write_bytes(again)
    TrainingLog(tmp_path, [], False, episodes=3)
    assert (tmp_path / "metrics.jsonl.damaged").read_bytes() == damaged
    assert (tmp_path / "metrics.jsonl.damaged.2").read_bytes() == again
    assert sorted(path.name for path in tmp_path.glob("*.damaged*")) == [
        "metrics.jsonl.damaged",
        "metrics.jsonl.damaged.2",
    ]


def test_a_resume_with_a_damaged_line_ends_well(arguments, whole, tmp_path, capsys):
    shutil.copytree(whole, tmp_path / "whole")
    file = tmp_path / "whole/metrics.jsonl"
    first, second, third = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(first + second[:-30] + b"\n" + third)
    assert train(arguments("-t", "whole", *EXTRA)) == 0
    assert "lost episode 2 of the 3" in capsys.readouterr().out
    assert file.read_bytes() == first + third
    file.write_bytes(first + second + third[:50])
    assert train(arguments("-t", "whole", *EXTRA)) == 0
    assert file.read_bytes() == first + second
    was, now = (
        json.loads((log_folder / "results.json").read_text()) for log_folder in (whole, tmp_path / "whole")
    )
    # not those of another episode: measured again, or not known
    assert now["val"] == was["val"] and now["test"] == was["test"] and now["train"] is None


def test_more_episodes_later_are_the_same_as_at_once(arguments, tmp_path):
    assert train(arguments("-t", "at_once", "--max_episodes", "2")) == 0
    assert train(arguments("-t", "later", "--max_episodes", "1")) == 0
    assert train(arguments("-t", "later", "--max_episodes", "2")) == 0
    assert (tmp_path / "at_once/my-model").read_bytes() == (tmp_path / "later/my-model").read_bytes()


def test_max_steps_ends_in_the_middle_of_an_episode(arguments, tmp_path):
    assert train(arguments("-t", "a", "--max_steps", "12")) == 0
    assert [(line["updates"], line["train"]["frames"]) for line in lines(tmp_path / "a")] == [
        (9, 270),
        (12, 90),
    ]


def test_validation_and_test_on_every_nth_frame(arguments, tmp_path):
    base = ["-t", "a", "--max_steps", "2", "--validation_subsample", "4"]
    assert train(arguments(*base)) == 0
    results = json.loads((tmp_path / "a/results.json").read_text())
    # one run of 90 frames each: frames 0, 4, ... 88
    assert results["val"]["frames"] == results["test"]["frames"] == 23
    assert results["train"]["frames"] == 60
    # a run of a version without the setting used every frame
    file = tmp_path / "a/config.json"
    config = json.loads(file.read_text())
    del config["flags"]["validation_subsample"]
    file.write_text(json.dumps(config))
    with pytest.raises(UsageError, match="was started with --validation_subsample 1, not 4"):
        train(arguments(*base))


@pytest.mark.slow
def test_images_in_memory_or_on_the_nodes_own_disk_make_no_difference(
    arguments, tmp_path, whole, monkeypatch
):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "node"))
    (tmp_path / "node").mkdir()
    assert train(arguments("-t", "ram", *EXTRA, "--load_data_in_ram")) == 0
    assert train(arguments("-t", "node", *EXTRA, "--copy_dataset")) == 0
    assert_same_run(whole, tmp_path / "ram")
    assert_same_run(whole, tmp_path / "node")
    assert len(list((tmp_path / "node").rglob("*.npy"))) >= 5


def test_evaluate_scores_and_learns_nothing(arguments, tmp_path, whole):
    argv = arguments("-t", "scores", "--evaluate", "--checkpoint_path", str(whole), "--tensorboard")
    assert train(argv) == 0
    results = [json.loads((folder / "results.json").read_text()) for folder in (whole, tmp_path / "scores")]
    for part in ("val", "test"):
        assert results[0][part] == results[1][part]
    assert results[1]["updates"] == 27 and results[1]["train"] is None
    assert not (tmp_path / "scores/my-model").exists()
    with pytest.raises(UsageError, match="--evaluate needs a --checkpoint_path"):
        parse(arguments("--evaluate"))
    with pytest.raises(DataError, match="no such checkpoint"):
        train(arguments("-t", "none", "--evaluate", "--checkpoint_path", "tiny_net_scratch"))


def test_another_camera(arguments, tmp_path, whole, data_root, monkeypatch, capsys):
    monkeypatch.setattr("nav_pkg.learn.batches.loading.camera_of", lambda runs: [410, 308])
    go_on = ["--max_episodes", "4", "--checkpoint_path", str(whole)]
    with pytest.raises(DataError, match="a camera of 64x36, --dataset easy has one of 410x308"):
        train(arguments("-t", "a", *go_on, "--continue_training"))
    assert train(arguments("-t", "a", *go_on, "--max_episodes", "1")) == 0  # fine-tuning may
    assert "warning: " in capsys.readouterr().out


def test_imagenet_weights_that_are_not_there_or_not_wanted(arguments, tmp_path, whole, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    with pytest.raises(DataError, match="res18_net|resnet18-f37072fd.pth") as caught:
        train(arguments("-t", "a", "--network", "res18_net", "--pretrained"))
    assert "\n" not in str(caught.value) and str(tmp_path / "torch") in str(caught.value)
    with pytest.raises(UsageError, match="tiny_net has no ImageNet weights"):
        train(arguments("-t", "a", *TINY, "--pretrained"))
    assert not (tmp_path / "a").exists()


def test_a_folder_of_logs_in_the_present_folder_is_gone_on_with(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for episodes in ("1", "2"):
        line = arguments("-t", "near", "--max_episodes", episodes)
        line[line.index("--summary_dir") + 1] = "log"
        assert main(line) == 0
    assert len(lines(tmp_path / "log" / "near")) == 2


@pytest.mark.slow
def test_what_is_gone_on_with_needs_nothing_but_its_own_folder(arguments, tmp_path, capsys):
    start = ["--checkpoint_path", "tiny_net_scratch", "--tensorboard", *TINY]
    assert train(arguments("-t", "a", *EXTRA, *start), Interrupt(30)) == 85
    shutil.rmtree(tmp_path / "tiny_net_scratch")
    events = list((tmp_path / "a").glob("events.out.tfevents.*"))
    assert train(arguments("-t", "a", *EXTRA, *start[:2], *TINY)) == 0
    assert events and all(file.exists() for file in events)  # curves are not lost for want of a flag
    assert not (tmp_path / "tiny_net_scratch").exists()


def test_continue_training_keeps_the_options_that_are_given(arguments, tmp_path, monkeypatch):
    assert train(arguments("-t", "first", "--max_episodes", "1")) == 0
    groups = []
    run = Trainer.run_episode
    monkeypatch.setattr(
        Trainer,
        "run_episode",
        lambda self, *a: (groups.append(self.optimizer.param_groups[0]), run(self, *a))[1],
    )
    go_on = ["--continue_training", "--checkpoint_path", "first"]
    options = ["--momentum", "0.5", "--weight_decay", "0.1", "--max_episodes", "2"]
    assert train(arguments("-t", "second", *go_on, *options)) == 0
    assert (groups[0]["momentum"], groups[0]["weight_decay"], groups[0]["lr"]) == (0.5, 0.1, 0.01)
    with pytest.raises(
        UsageError, match="--max_steps 9: first has been trained for 9 gradient steps already"
    ):
        train(arguments("-t", "third", *go_on, "--max_steps", "9"))
    with pytest.raises(UsageError, match="trained with other parameters frozen: give the same --feature_ext"):
        train(arguments("-t", "third", *go_on, "--max_episodes", "2", "--feature_extract"))
    assert train(arguments("-t", "scores", "--evaluate", *go_on[1:], "--feature_extract")) == 0


@pytest.mark.slow
def test_another_training_is_continued_by_sliding(arguments, tmp_path):
    lstm = ["--network", "tiny_LSTM_net", "--batch_size", "2"]
    slide = ["--time_length", "8", "--sliding_tbptt", "--sliding_step_size", "1"]
    assert train(arguments("-t", "first", *lstm, *slide, "--max_episodes", "1")) == 0
    assert checkpoint.load(tmp_path / "first").step == 0
    go_on = ["--continue_training", "--checkpoint_path", "first", "--max_episodes", "2"]
    assert train(arguments("-t", "second", *lstm, *slide, *go_on)) == 0


def test_images_that_splits_share_are_named(arguments, tmp_path, write_dataset, write_run, capsys):
    assert train(arguments("-t", "a", "--max_episodes", "1")) == 0
    assert "are in the train set" not in capsys.readouterr().out
    dataset = write_dataset(tmp_path / "data", runs=1, frames=40)
    write_run(dataset, "00003_esatv3", 35, seed=0)  # as far as it goes, a repetition of the first
    (dataset / "test_set.txt").write_text("00003_esatv3\n")
    assert train(arguments("-t", "b", "--max_episodes", "1", "--data_root", str(tmp_path / "data"))) == 0
    output = capsys.readouterr().out
    assert "warning: 35 of the 35 images of the test set are in the train set, too" in output


def test_labels_that_were_changed_are_noticed(arguments, tmp_path, write_dataset):
    dataset = write_dataset(tmp_path / "data", runs=1, frames=40)
    file = dataset / "00000_esatv3/frames.csv"
    file.write_text(file.read_text().replace("0.9", "0.8", 1))
    with pytest.raises(DataError, match="00000_esatv3/frames.csv: changed since its commit; see dataset.py"):
        train(arguments("-t", "a", "--data_root", str(tmp_path / "data")))


def test_too_little_memory_is_one_line(arguments, monkeypatch):
    def learn(trainer, tick):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to ...")

    monkeypatch.setattr(Trainer, "train_batch", learn)
    with pytest.raises(LearnerError, match=r"out of memory: lower --batch_size \(30\)"):
        train(arguments("-t", "a"))


def test_the_training_set_is_let_go_of_before_the_end(arguments, monkeypatch):
    alive = []

    def left():
        gc.collect()
        return sum(type(each) is Samples for each in gc.get_objects())

    monkeypatch.setattr(offline.OfflineTraining, "test", lambda self, *a: alive.append(left()))
    before = left()
    assert train(arguments("-t", "a", "--max_episodes", "1", "--load_data_in_ram")) == 0
    assert alive == [before]


def test_frozen_features(arguments, tmp_path):
    assert train(arguments("-t", "s", *TINY, "--create_scratch_checkpoint")) == 0
    assert train(arguments("-t", "a", *TINY, "--feature_extract", "--max_episodes", "1")) == 0
    before, after = weights(tmp_path / "s"), weights(tmp_path / "a")
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed == {"hidden.weight", "hidden.bias", "out.weight", "out.bias"}


@pytest.mark.parametrize(
    "line, text",
    [
        ("--n_frames 3", "tinyv3_net has no such option"),
        ("--network res18_net --batch_norm", "res18_net has no such option"),
        ("--time_length 20", "--time_length: tinyv3_net keeps no state"),
        ("--lr_schedule step", "give --lr_decay_every"),
        ("--network tiny_LSTM_net --time_length 100", "the shortest training run, 00000_esatv3, has only 90"),
        ("--batch_size 500", "--batch_size 500: the training set has only 270 frames"),
        ("--network tiny_lstm_net", "no such network; did you mean 'tiny_LSTM_net'"),
        ("--network alex_net --feature_extract --dropout 0.3", "drops within its feature layers"),
        ("--shifted_input --scaled_input", "exclude each other"),
    ],
)
def test_wrong_use_is_refused_before_the_log_is_touched(arguments, tmp_path, line, text):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/config.json").write_text("{}")
    with pytest.raises(UsageError) as caught:
        train(arguments("-t", "a", *line.split()))
    assert text in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "a/my-model").exists()


def test_going_on_is_refused_under_another_configuration(arguments, tmp_path):
    base = ["-t", "a", "--max_episodes", "1"]
    assert train(arguments(*base)) == 0
    with pytest.raises(UsageError, match="was started with --momentum 0.0, not 0.9: .*--owr"):
        train(arguments(*base, "--momentum", "0.9"))
    assert train(arguments(*base, "--momentum", "0.9", "--owr")) == 0


def test_going_on_is_refused_when_the_dataset_has_changed(arguments, tmp_path, write_dataset):
    write_dataset(tmp_path / "data", runs=1, frames=40)
    command = arguments("-t", "a", "--max_episodes", "1", "--data_root", str(tmp_path / "data"))
    assert train(command) == 0
    for part, run in (("train", "00001_esatv3"), ("val", "00000_esatv3")):
        (tmp_path / f"data/easy/{part}_set.txt").write_text(f"{run}\n")
    with pytest.raises(UsageError, match="content of --dataset easy has changed"):
        train(command)


def test_the_tag_testing_is_always_overwritten(arguments, tmp_path):
    assert train(arguments("--max_episodes", "1")) == 0
    assert train(arguments("--max_episodes", "1", "--learning_rate", "0.02")) == 0
    assert len(lines(tmp_path / "testing")) == 1


def test_owr_removes_one_log_and_nothing_else(arguments, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.tex").write_text("")
    with pytest.raises(UsageError, match="mine: not a training log"):
        train(arguments("-t", "mine", "--owr"))
    for tag in ("tree", "tree/inner"):
        assert train(arguments("-t", tag, "--create_scratch_checkpoint")) == 0
    with pytest.raises(UsageError, match="holds the log inner too"):
        train(arguments("-t", "tree", "--owr"))
    assert (tmp_path / "mine/thesis.tex").exists() and (tmp_path / "tree/inner/my-model").exists()


def test_normalized_output_touches_training_batches_only(arguments, tmp_path, monkeypatch):
    counts = {}
    for tag, more in (("plain", []), ("balanced", ["--normalized_output"])):
        assert train(arguments("-t", tag, "--max_episodes", "1", *more)) == 0
        results = json.loads((tmp_path / tag / "results.json").read_text())
        for part in ("train", "val", "test"):
            counts[tag, part] = [sum(row) for row in results[part]["confusion"]]
    assert counts["balanced", "train"] == [90, 90, 90] != counts["plain", "train"]
    assert counts["balanced", "val"] == counts["plain", "val"]
    assert counts["balanced", "test"] == counts["plain", "test"]


@pytest.mark.slow
def test_scratch_checkpoints(arguments, tmp_path, capsys):
    assert train(arguments("-t", "s", *TINY, "--create_scratch_checkpoint", "--random_seed", "9")) == 0
    with pytest.raises(UsageError, match="is there already"):
        train(arguments("-t", "s", "--create_scratch_checkpoint"))
    start = [*TINY, "--max_episodes", "1", "--continue_training", "--checkpoint_path"]
    assert train(arguments("-t", "a", *start, "tiny_net_scratch", "--random_seed", "9")) == 0
    assert "tiny_net_scratch/my-model: was not there: made from seed 9" in capsys.readouterr().out
    assert same(weights(tmp_path / "s"), weights(tmp_path / "tiny_net_scratch"))
    assert train(arguments("-t", "b", *start, "s", "--random_seed", "9")) == 0
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    with pytest.raises(DataError, match="no such checkpoint"):
        train(arguments("-t", "c", *start, "elsewhere"))


@pytest.mark.slow
def test_continue_training_goes_on_in_another_log(arguments, tmp_path):
    common = ["--optimizer", "Adagrad", "--max_episodes"]
    assert train(arguments("-t", "whole", *common, "2")) == 0
    assert train(arguments("-t", "first", *common, "1")) == 0
    go_on = ["--continue_training", "--checkpoint_path", "first"]
    assert train(arguments("-t", "second", *common, "2", *go_on)) == 0
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "second"))
    assert [line["episode"] for line in lines(tmp_path / "second")] == [2]
    with pytest.raises(UsageError, match="trained for 1 episodes already"):
        train(arguments("-t", "third", *common, "1", *go_on))
    with pytest.raises(UsageError, match="needs --optimizer Adagrad"):
        train(arguments("-t", "third", *go_on))
    with pytest.raises(UsageError, match="preprocessing"):
        train(arguments("-t", "third", *common, "2", *go_on, "--shifted_input"))


def test_a_loss_that_explodes_stops_training_and_keeps_the_checkpoint(arguments, tmp_path):
    folder = tmp_path / "a"
    assert train(arguments("-t", "a", "--max_episodes", "1")) == 0
    before = (folder / "my-model").read_bytes()
    config = json.loads((folder / "config.json").read_text())
    config["flags"]["learning_rate"] = 1e30
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(LearnerError, match="episode 2, step .*--learning_rate"):
        train(arguments("-t", "a", "--max_episodes", "2", "--learning_rate", "1e30"))
    assert (folder / "my-model").read_bytes() == before


def test_bad_input_is_met_before_a_log_is_touched(arguments, tmp_path, data_root):
    bad = [
        (["--network", "tini_net"], "did you mean 'tiny_net'"),
        (["--dataset", "eazy"], "did you mean 'easy'"),
        (["--loss", "Hinge"], "--loss 'Hinge'"),
        (["--optimizer", "SDG"], "did you mean 'SGD'"),
        (["--shifted_input", "--scaled_input"], "exclude each other"),
        (["--checkpoint_path", "nowhere"], "no such checkpoint"),
    ]
    assert train(arguments("-t", "a", "--max_episodes", "1")) == 0
    for more, text in bad:
        with pytest.raises((UsageError, DataError), match=text):
            train(arguments("-t", "a", "--owr", *more))
    with pytest.raises(UsageError, match="only 270 frames"):
        train(arguments("-t", "b", "--batch_size", "271"))
    assert (tmp_path / "a/my-model").exists()


def test_a_dataset_without_validation_runs_is_refused(arguments, tmp_path, write_dataset):
    dataset = write_dataset(tmp_path / "data", runs=1, frames=40)
    (dataset / "val_set.txt").write_text("")
    command = arguments("-t", "a", "--data_root", str(tmp_path / "data"), "--max_episodes", "1")
    with pytest.raises(DataError, match="val_set.txt: no runs to validate on"):
        train(command)
    (dataset / "val_set.txt").write_text("00001_esatv3\n")
    (dataset / "test_set.txt").write_text("")
    assert train(command) == 0
    assert json.loads((tmp_path / "a/results.json").read_text())["test"] is None


def start(argv):
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), *argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@pytest.mark.slow
def test_sigterm_saves_exits_with_85_and_can_be_gone_on_with(arguments, tmp_path):
    command = arguments("-t", "a", "--max_episodes", "100000")
    process = start(command)
    deadline = time.monotonic() + 120
    while not ((tmp_path / "a/metrics.jsonl").exists() and lines_whole(tmp_path / "a")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)  # 100,000 episodes would take days
    assert process.returncode == 85, out
    assert "stopped by SIGTERM" in out and "Traceback" not in out
    done = checkpoint.load(tmp_path / "a").episode
    assert train(arguments("-t", "a", "--max_episodes", str(done + 1))) == 0
    assert [line["episode"] for line in lines(tmp_path / "a")] == list(range(1, done + 2))


HOLD = """
import sys, time
from pathlib import Path
from nav_pkg.learn.training import folder
print(folder.open_folder(Path(sys.argv[1]), "a", False), flush=True)
time.sleep(100)
"""


@pytest.mark.parametrize("more", [[], ["--owr"], ["--create_scratch_checkpoint"]])
def test_two_trainings_in_one_log_folder_are_refused_until_the_first_is_dead(arguments, tmp_path, more):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=SCRIPT.parents[1]
    )
    try:
        assert process.stdout.readline().strip() == str(tmp_path / "a")
        (tmp_path / "a/my-model").write_text("the first one's")
        with pytest.raises(UsageError, match="another process is using this log folder.*--log_tag") as caught:
            train(arguments("-t", "a", *more))
        assert caught.value.code == 2 and "\n" not in str(caught.value)
        assert (tmp_path / "a/my-model").read_text() == "the first one's"
        assert train(arguments("-t", "b", "--max_episodes", "1")) == 0
    finally:
        process.kill()
        process.communicate()
    (tmp_path / "a/my-model").unlink()
    assert folder.open_folder(tmp_path, "a", False) == tmp_path / "a"
    folder.close_folder(tmp_path / "a")
    folder.open_folder(tmp_path, "a", False)


def test_a_start_removes_what_a_killed_training_was_writing(tmp_path):
    (tmp_path / "a").mkdir()
    for name in (".metrics.jsonl.4194305.tmp", ".config.json.4194305.tmp", ".my-model.4194305.tmp"):
        (tmp_path / "a" / name).write_text("half")
    (tmp_path / "a" / "metrics.jsonl").write_text("")
    where = folder.open_folder(tmp_path, "a", False)
    folder.close_folder(where)
    assert [path.name for path in where.iterdir()] == ["metrics.jsonl"]


def test_wall_time(arguments, tmp_path):
    assert main(arguments("-t", "a", "--wall_time", "0.001")) == 85
    assert main(arguments("-t", "b", "--wall_time", "2", "--max_episodes", "100000")) == 85
    assert (tmp_path / "b/my-model").exists()


def test_the_command_ends_with_one_line_and_a_code(tmp_path):
    env = {**os.environ, "NAV_PKG_DATA": str(tmp_path), "NAV_PKG_LOG": str(tmp_path)}
    for argv, code, text in (
        (["--lerning_rate", "0.1"], 2, "did you mean '--learning_rate'"),
        (["--dataset", "none"], 3, "no such dataset"),
    ):
        done = subprocess.run([sys.executable, str(SCRIPT), *argv], env=env, capture_output=True, text=True)
        assert done.returncode == code
        assert text in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "instructions, words, warned",
    [("AVX2", 1, True), ("AVX-512", 1, True), ("AMX", 1, False), ("AVX2", 0, False)],
)
def test_bfloat16_on_a_processor_without_it_is_warned_of(
    arguments, monkeypatch, capsys, instructions, words, warned
):
    monkeypatch.setattr(compute, "vector_instructions", lambda: instructions)
    line = arguments("--max_episodes", "1", "--max_steps", "1", "-t", "slow", *["--amp"] * words)
    assert main(line) == 0
    assert (
        f"warning: --amp: this processor ({instructions}) has no matrix instructions"
        in capsys.readouterr().out
    ) == warned
    assert main(line) == 0
    assert "trained already: 1 episodes, 1 gradient steps" in capsys.readouterr().out
