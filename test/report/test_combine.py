"""Curves of several trainings: what is read, how seeds are put together, what is refused."""

import csv
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from nav_pkg.cli import combine_results
from nav_pkg.core import DataError, UsageError
from nav_pkg.report import combine, scalars
from nav_pkg.report.scalars import read_curve

TAG = "Loss_val_accuracy"
LINES = Path(__file__).parents[1] / "cluster" / "data" / "published_lines.md"


def line(step, accuracy, **more):
    scores = {"frames": 10, "loss": 1 - (accuracy or 0), "imitation_loss": 0.5, "accuracy": accuracy}
    return json.dumps({"episode": step, "updates": step, "train": scores, "val": scores, **more}) + "\n"


def training(folder, values, steps=None, test=None):
    """A log folder with an accuracy at each step, 10 apart if nothing else is said."""
    folder.mkdir(parents=True)
    steps = range(10, 10 * len(values) + 1, 10) if steps is None else steps
    (folder / "metrics.jsonl").write_text("".join(map(line, steps, values)))
    if test is not None:
        (folder / "results.json").write_text(json.dumps({"test": {"accuracy": test}}))
    return folder


def run(mother, *words):
    return combine_results.main(["--mother_dir", str(mother), *map(str, words)])


def test_metrics_and_event_files_say_the_same(tmp_path):
    from torch.utils.tensorboard import SummaryWriter

    values = [0.25, 0.5, 0.75]
    curve = read_curve(training(tmp_path / "one", values), TAG)
    for tag in (TAG, "validation_accuracy"):  # ours, and the predecessor's later name
        writer = SummaryWriter(str(tmp_path / tag))
        for step, value in zip((10, 20, 30), values):
            writer.add_scalar(tag, value, step)
        writer.close()
        other = read_curve(tmp_path / tag, TAG)
        assert other.steps.tolist() == curve.steps.tolist() == [10, 20, 30]
        assert other.values.tolist() == curve.values.tolist() == values
    assert read_curve(tmp_path / "one", "Loss_val_total").values.tolist() == [0.75, 0.5, 0.25]


def test_no_step_comes_twice(tmp_path):
    """A training that was cut writes what it had lost again; what it wrote first is no part of it."""
    folder = training(tmp_path / "a", [0.1, 0.2, 0.3, 0.25, 0.35], steps=[10, 20, 30, 20, 40])
    curve = read_curve(folder, TAG)
    assert (curve.steps.tolist(), curve.values.tolist()) == ([10, 20, 40], [0.1, 0.25, 0.35])


def test_a_training_that_is_written_to_or_damaged(tmp_path, monkeypatch):
    folder = training(tmp_path / "a", [0.1, 0.2, 0.3])
    with open(folder / "metrics.jsonl", "a") as file:
        file.write("{damaged}\n" + line(40, 0.4) + line(1 << 70, 0.5) + line(45, 0.5).replace("45", "1e999"))
        file.write(line(50, 0.5)[:30])
    for piece in (1 << 20, 400, 40):
        monkeypatch.setattr(scalars, "READ_BYTES", piece)
        curve = read_curve(folder, TAG)
        assert curve.values.tolist() == [0.1, 0.2, 0.3, 0.4]
        assert curve.notes == (f"{folder / 'metrics.jsonl'}: 3 damaged lines: left out",)


def test_damaged_files_are_named(tmp_path):
    folder = training(tmp_path / "a", [0.1, 0.2], test=0.5)
    text = (folder / "results.json").read_text()
    (folder / "results.json").write_text(text[:20])
    (group,) = combine.read_groups({"a": [folder]}, TAG)
    (note,) = (note for note in combine.notes_of([group]) if "results.json" in note)
    assert note.startswith("no test accuracy: ") and "run the training's command again" in note
    (folder / "metrics.jsonl").write_text(line(10, 0.1)[:40] + "\n")
    with pytest.raises(DataError, match=r"metrics.jsonl: none of its 1 lines can be read"):
        read_curve(folder, TAG)


def test_much_is_read_in_several_processes(tmp_path, monkeypatch):
    folders = [training(tmp_path / str(i), [0.1 * i, 0.2]) for i in range(3)]
    alone = scalars.read_curves(folders, TAG)
    monkeypatch.setattr(scalars, "PARALLEL_BYTES", 0)
    pools, start = [], scalars.start_process_pool
    monkeypatch.setattr(
        scalars, "start_process_pool", lambda count: (pools.append(start(count)), pools[-1])[1]
    )
    monkeypatch.setattr(scalars.os, "sched_getaffinity", lambda process: {0, 1}, raising=False)
    together = scalars.read_curves(folders, TAG)
    assert len(pools) == 1 and not pools[0][0]._processes  # and they have ended
    assert [curve.values.tolist() for curve in together] == [curve.values.tolist() for curve in alone]
    with pytest.raises(DataError, match="has no Loss_test_accuracy"):
        scalars.read_curves(folders, "Loss_test_accuracy")


def test_values_that_are_not_finite(tmp_path):
    curve = read_curve(training(tmp_path / "a", [0.1, None, 0.3]), TAG)
    assert curve.values.tolist() == [0.1, 0.3] and "1 of 3 values" in curve.notes[0]
    with pytest.raises(DataError, match="no value of Loss_val_accuracy is finite"):
        read_curve(training(tmp_path / "b", [None, None]), TAG)


def test_seeds_are_one_curve_with_a_band(tmp_path):
    training(tmp_path / "a" / "seed_1", [0.2, 0.4, 0.6], test=0.5)
    training(tmp_path / "a" / "seed_20", [0.4, 0.8], steps=[10, 30], test=0.7)
    group = combine.read_groups({"a": combine.find_members(tmp_path / "a")}, TAG)[0]
    steps, mean, deviation = group.band()
    assert steps.tolist() == [10, 20, 30]
    assert mean == pytest.approx([0.3, 0.5, 0.7]) and deviation == pytest.approx([np.sqrt(0.02)] * 3)
    (row,) = combine.combined_table([group], TAG).rows
    assert row["final"] == "0.7000 ± 0.1414" and row["test"] == "0.6000 ± 0.1414" and row["seeds"] == 2
    assert row["area"] == "0.5000 ± 0.1414"
    cut = group.cut(20)
    assert [curve.steps.tolist() for curve in cut.curves] == [[10, 20], [10]]
    assert "its seeds end after 10 to 20 gradient steps" in combine.notes_of([cut])[-1]


def test_a_losss_best_is_its_smallest(tmp_path):
    group = combine.read_groups({"a": [training(tmp_path / "a", [0.9, 0.2, 0.5])]}, "Loss_val_total")[0]
    (row,) = combine.combined_table([group], "Loss_val_total").rows
    assert (row["final"], row["best"], row["test"]) == ("0.5000", "0.1000", None)


@pytest.mark.parametrize("names", [("0", "1", "2"), ("seed_123", "seed_456", "seed_1789")])
def test_the_published_lines(tmp_path, capsys, names):
    """As they are written, on the predecessor's folders and on those of today."""
    for way in ("shifted_input", "ref", "scaled_input", "normalized_output"):
        for rate in ("1", "01", "001", "0001"):
            for number, name in enumerate(names):
                accuracy = [0.5, 0.6 + number / 100]
                training(tmp_path / "alex_net/esatv3_expert_200K" / way / rate / name, accuracy)
    text = LINES.read_text().replace("\\\n", " ")
    lines = re.findall(r"^python combine_results.py (.*)$", text, re.MULTILINE)
    assert len(lines) == 3
    for words in map(shlex.split, lines):
        assert run(tmp_path, *words) == 0
        out = capsys.readouterr().out
        legend = words[words.index("--legend_names") + 1 :]
        finals = re.findall(r"^(\S+) +1 +20 +(0\.\d+)", out, re.MULTILINE)
        assert [name for name, _ in finals] == legend
        wanted = ["0.6000", "0.6100", "0.6200"] if legend == ["0", "1", "2"] else ["0.6200"] * 4
        assert [final for _, final in finals] == wanted


def test_files(tmp_path, capsys):
    for seed in (1, 2):
        training(tmp_path / "a" / f"seed_{seed}", np.linspace(0.1, 0.5 + seed / 10, 50).tolist())
    training(tmp_path / "b <x>", [0.5] * 50)
    blog = tmp_path / "blog"
    words = ("--log_folders", "a", "b <x>", "--subsample", 7, "--title", "Two & <three>", "--headless")
    assert run(tmp_path, *words, "--blog_destination", blog) == 0
    assert sorted(path.name for path in blog.iterdir()) == [
        f"Two_three_{end}" for end in (".csv", ".md", ".png", ".svg")
    ]
    rows = list(csv.DictReader((blog / "Two_three_.csv").open()))
    group_rows = [row for row in rows if row["name"] == "a"]
    assert [int(row["step"]) for row in group_rows] == [*range(10, 500, 70), 500]
    assert float(group_rows[-1]["value"]) == pytest.approx(0.65)
    assert "| b &lt;x&gt; |" in (blog / "Two_three_.md").read_text()
    assert "b <x>: one seed, so no band" in capsys.readouterr().out
    assert "<three>" not in (blog / "Two_three_.svg").read_text()
    before = {path: path.read_bytes() for path in blog.iterdir()}
    assert run(tmp_path, *words, "--blog_destination", blog) == 0
    assert {path: path.read_bytes() for path in blog.iterdir()} == before
    assert run(tmp_path, *words[:3], "--tags", TAG, "Loss_train_total", "--seeds", "all") == 0
    assert len(list((tmp_path / "combined").iterdir())) == 8
    text = (tmp_path / "combined" / f"{TAG}.csv").read_text()
    assert {row["seed"] for row in csv.DictReader(text.splitlines())} == {"seed_1", "seed_2", "b <x>"}


@pytest.mark.parametrize(
    "words, kind, text",
    [
        (["--log_folders", "a", "b"], DataError, "b: no such log folder"),
        (["--log_folders", "empty"], DataError, "empty: holds no training"),
        (["--log_folders", "a/7"], DataError, "holds 2 trainings, numbers 0 to 1"),
        (
            ["--log_folders", "a", "--legend_names", "x", "y"],
            UsageError,
            "2 --legend_names for 1 --log_folders",
        ),
        (["--log_folders", "a", "a"], UsageError, "has 'a' twice"),
        (["--log_folders", "a", "--tags", "Loss_val_acuracy"], DataError, "did you mean 'Loss_val_accuracy'"),
        (
            ["--log_folders", "board", "--tags", "acuracy"],
            DataError,
            "has no scalar 'acuracy'; did you mean 'accuracy'",
        ),
        (["--log_folders", "a", "--tags", "Loss_test_accuracy"], DataError, "no line holds 'test' scores"),
        (["--log_folders", "a", "--cutend", "5"], UsageError, "has no point up to that gradient step"),
        (["--log_folders", "a", "--cutend", "-2"], UsageError, "--cutend -2: give a gradient step"),
        (["--log_folders", "a", "--subsample", "0"], UsageError, "0 is not 1 to"),
    ],
)
def test_wrong_use(tmp_path, words, kind, text):
    from torch.utils.tensorboard import SummaryWriter

    for seed in (1, 2):
        training(tmp_path / "a" / f"seed_{seed}", [0.1, 0.2])
    (tmp_path / "empty").mkdir()
    writer = SummaryWriter(str(tmp_path / "board"))
    writer.add_scalar("accuracy", 1, 1)
    writer.close()
    with pytest.raises(kind, match=re.escape(text)) as error:
        run(tmp_path, *words)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "combined").exists()
