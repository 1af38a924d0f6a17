"""Studies that are run: side by side, killed, failed, changed, extended."""

import json
import os
import re
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from nav_pkg.cli import study as command
from nav_pkg.core import DataError, UsageError
from nav_pkg.data import files
from nav_pkg.studies import study
from nav_pkg.studies.cell_logs import recorded_cells
from nav_pkg.studies.runner import StudyFolder

ROOT = Path(__file__).resolve().parents[2]
RAW = {
    "title": "Rates",
    "question": "Which one?",
    "base": {
        "network": "tinyv3_net", "dataset": "easy", "discrete": True, "loss": "CrossEntropy",
        "shifted_input": True, "max_episodes": 3, "batch_size": 30, "num_threads": 1,
    },
    "grid": {"rate": {"0.1": {"learning_rate": 0.1}, "0.01": {"learning_rate": 0.01}}},
    "seeds": [1, 2],
    "scales": {"small": {}},
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    runpy.run_path(str(ROOT / "test/learn/conftest.py"))["_write_dataset"](folder, runs=2, frames=60)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NAV_PKG_CACHE", str(folder / "packs"))
        yield folder


@pytest.fixture
def words(data, tmp_path):
    """The flags of a study in a folder of the test's own."""

    def words(action, raw=RAW, *more):
        file = tmp_path / "rates.yaml"
        file.write_text(yaml.safe_dump(raw, sort_keys=False))
        places = ("--data_root", data, "--summary_dir", tmp_path / "log")
        return [action, *map(str, (file, "--scale", "small", *places, *more))]

    return words


def results(folder):
    """What each cell left that its configuration decides."""
    cells = folder / "log/studies/rates/small/cells"
    return {
        path.name: [(path / name).read_bytes() for name in ("my-model", "metrics.jsonl")]
        for path in cells.iterdir()
        if path.is_dir()
    }


@pytest.mark.slow
def test_run_status_and_run_again(words, tmp_path, capsys):
    assert command.main(words("run", RAW, "--jobs", 2)) == 0
    out = capsys.readouterr().out
    assert out.count(": begun") == 4 and "4 of 4 cells done" in out
    before = results(tmp_path)
    assert len(before) == 4
    links = tmp_path / "log/studies/rates/small/by_choice"
    links_to = {str(path.relative_to(links)): path.resolve() for path in links.rglob("seed_*")}
    assert len(links_to) == 4 and {path.name for path in links_to.values()} == set(before)
    assert command.main(words("run")) == 0
    out = capsys.readouterr().out
    assert "4 of 4 cells are done" in out and "begun" not in out and results(tmp_path) == before
    assert command.main(words("status")) == 0
    assert (
        len(
            re.findall(r"^\w{10}  0\.\d+, seed \d +done   3 episodes$", capsys.readouterr().out, re.MULTILINE)
        )
        == 4
    )
    report = tmp_path / "report"
    assert command.main(words("report", RAW, "--output", report)) == 0
    assert capsys.readouterr().out.strip() == str(report / "rates.html")
    text = (report / "rates.md").read_text()
    assert re.search(
        r"^rate, against `0.1` after \d+ gradient steps, in points \(mean and 95 % interval over "
        r"2 seeds\):\n\n- `0.01`: val accuracy [+-][\d.]+ \([+-][\d.]+ to [+-][\d.]+\), val balanced ",
        text,
        re.M,
    )
    assert len(re.findall(r"^\| 0\.\d+ \| 2 of 2 \| \d+ \| [01]\.\d{4} ± ", text, re.M)) == 2
    hours = re.search(r"^Time of 4 cells: (\d\.\d\d) core hours, ", text, re.M)
    rows = (report / "rates/cells.csv").read_text().splitlines()[1:]
    cells = [float(row.split(",")[-1]) for row in rows]
    assert len(cells) == 4 and min(cells) > 0 and abs(sum(cells) - float(hours.group(1))) < 0.006
    assert (report / "rates/rates.png").exists() and "![rates](rates/rates.png)" in text
    # the cells of an extended study are trained, the others' logs stay
    more = {**RAW, "seeds": [1, 2, 3]}
    with pytest.raises(
        UsageError, match=r"the study has changed: 2 cells are new, 0 are gone; give --extend"
    ):
        command.main(words("run", more))
    assert command.main(words("run", {**more, "seeds": [2, 3]}, "--extend")) == 0
    after = results(tmp_path)
    assert len(after) == 6 and {name: after[name] for name in before} == before


def report_of(words, raw, folder):
    """The report's page and figures, without the times that it tells."""
    assert command.main(words("report", raw, "--output", folder)) == 0
    page = (folder / "rates.md").read_text()
    page = re.sub(r"^Time of \d+ cells: .* killed\.$|\| (\d+\.\d{3}|–) \|$", "", page, flags=re.M)
    files = {path.name: path.read_bytes() for path in (folder / "rates").iterdir()}
    files["cells.csv"] = re.sub(rb",[\d.]*$", b"", files["cells.csv"], flags=re.M)
    return page, files


@pytest.mark.slow
def test_killed_anywhere_and_begun_again(words, tmp_path, data):
    """NAV_PKG_KILLS: how often it is killed, of trainings that are longer then."""
    kills = int(os.environ.get("NAV_PKG_KILLS", "1"))
    raw = {**RAW, "base": {**RAW["base"], "max_episodes": 2 + kills}}
    line = [sys.executable, str(ROOT / "scripts/study.py"), *words("run", raw, "--jobs", 2)]
    random = np.random.default_rng(7)
    for kill in [signal.SIGKILL] * kills + [signal.SIGTERM]:
        process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
        for _ in range(2):  # a cell has begun
            process.stdout.readline()
        time.sleep(random.uniform(0, 1.5))
        process.send_signal(kill)
        process.communicate(timeout=120)
        assert process.returncode in (-9 if kill == signal.SIGKILL else 85, 0)  # 0: it was faster
        # at once again: trainings of the killed one may still be saving
    done = subprocess.run(line, stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stdout
    cut, cut_report = results(tmp_path), report_of(words, raw, tmp_path / "report")
    (tmp_path / "log").rename(tmp_path / "other")
    assert command.main(words("run", raw)) == 0
    assert cut == results(tmp_path)
    assert cut_report == report_of(words, raw, tmp_path / "whole")


def test_a_cell_that_fails(words, tmp_path, capsys):
    raw = {**RAW, "grid": {"rate": {"0.1": {}, "huge": {"learning_rate": 1e30}}}, "seeds": [1]}
    assert command.main(words("run", raw, "--only", "rate=0.1")) == 0
    out = capsys.readouterr().out
    assert (
        "1 of 2 cells are done" not in out
        and "1 of 2 cells done, 1 left" in out
        and out.count(": begun") == 1
    )
    assert command.main(words("run", raw)) == command.EXIT_FAILED
    out = capsys.readouterr().out
    assert (
        "1 of 2 cells are done" in out
        and "huge, seed 1: failed: error: " in out
        and "1 of 2 cells done, 1 failed" in out
    )
    assert command.main(words("status", raw, "--watch")) == 0  # none of its cells runs
    assert "failed" in capsys.readouterr().out
    assert command.main(words("run", raw)) == command.EXIT_FAILED
    assert capsys.readouterr().out.count(": begun") == 1  # the failed one alone


def test_what_is_refused_before_anything_is_made(words, tmp_path):
    for raw, kind, text in (
        ({**RAW, "base": {**RAW["base"], "batch_siz": 3}}, UsageError, "unknown flag '--batch_siz'"),
        ({**RAW, "base": {**RAW["base"], "dataset": "esy"}}, DataError, "esy"),
        ({**RAW, "base": {**RAW["base"], "network": "tny_net"}}, UsageError, "did you mean 'tiny_net'"),
    ):
        with pytest.raises(kind, match=text):
            command.main(words("run", raw))
    for only, text in (
        ("rat=0.1", "the study has no axis 'rat'; did you mean 'rate'"),
        ("rate=0.2", "rate is one of 0.1, 0.01, not '0.2'"),
    ):
        with pytest.raises(UsageError, match=text):
            command.main(words("run", RAW, "--only", only))
    with pytest.raises(UsageError, match="--only chooses cells of one study"):
        command.main(words("status", RAW, "--only", "rate=0.1"))
    assert not (tmp_path / "log").exists()


def test_two_at_once_are_refused(words, tmp_path):
    folder = tmp_path / "log/studies/rates/small"
    folder.mkdir(parents=True)
    lock = files.lock_folder(folder)
    with pytest.raises(DataError, match="another process runs this study"):
        command.main(words("run"))
    os.close(lock)


@pytest.mark.parametrize("name", [name for name in study.names() if not study.load(name).checkpoints])
def test_every_study_can_be_resumed_at_every_scale(name, tmp_path):
    loaded = study.load(name)
    for scale in loaded.scales:
        StudyFolder(loaded, scale, tmp_path).open()
        StudyFolder(loaded, scale, tmp_path).open()
        assert len(recorded_cells(tmp_path / "studies" / name / scale)) == len(loaded.cells(scale))


def test_the_studies_there_are(capsys):
    assert command.main(["list"]) == 0
    names = [line.split(":")[0] for line in capsys.readouterr().out.splitlines()]
    assert sorted(names) == sorted(path.stem for path in (ROOT / "studies").glob("*.yaml"))
    with pytest.raises(UsageError, match="study.py run: which study"):
        command.main(["run"])
    json.dumps(names)
