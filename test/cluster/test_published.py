"""The published page of experiments: each of its command lines, verbatim, on small datasets of its names.

What is added ends it early: `--dont_submit` a DAG, `--max_steps 1` a training, of four images where the line
says no `--batch_size`.
"""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nav_pkg.data.writer import create_dataset

pytestmark = pytest.mark.timeout(300)
ROOT = Path(__file__).resolve().parents[2]
PAGE = Path(__file__).parent / "data" / "published_lines.md"
BLOCKS = re.findall(r"^```bash\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
ELSEWHERE = ("combine_results.py",)  # on finished trainings: test/report/test_combine.py
DATASETS = (
    "esatv3_expert_200K",
    "esatv3_expert",
    *(f"esatv3_expert_{size}" for size in ("10K", "5K", "1K", "500")),
)

# `python` on the page: what bash makes of a line, kept for RUN.
PYTHON = """
python() { printf '%s\\0' "$@" >>"$LINES"; printf '\\n\\0' >>"$LINES"; }
"""
# Runs the lines one after the other as scripts/ does, each in a process of its own; imports are shared.
RUN = """
import importlib, json, os, sys, time
import torch
from nav_pkg.cli import entry
from nav_pkg.learn.training import offline
from nav_pkg.nets import torchvision_compat

file, weights = sys.argv[1:]
torch.save(torchvision_compat.load().models.resnet18().state_dict(), weights)
for line in json.load(open(file)):
    script, *words = line["words"]
    command = importlib.import_module("nav_pkg.cli." + script.removesuffix(".py"))
    os.environ.update(line["environment"])
    begin = time.monotonic()
    child = os.fork()
    if not child:
        out = os.open(line["out"], os.O_WRONLY | os.O_CREAT)
        os.dup2(out, 1), os.dup2(out, 2)
        try:
            entry.run(command.main, words)
        except SystemExit as end:
            sys.stdout.flush()
            os._exit(end.code)  # torch takes a second to be taken down
    line["code"] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    line["seconds"] = time.monotonic() - begin
    print(json.dumps(line), flush=True)
"""


def lines_of(block, folder):
    """The command lines that bash makes of a block, each a list of words."""
    file = folder / "lines"
    file.write_bytes(b"")
    subprocess.run(
        ["bash", "-euc", PYTHON + block],
        env={**os.environ, "LINES": str(file)},
        cwd=ROOT / "scripts",
        check=True,
    )
    calls = file.read_bytes().decode().split("\n\0")[:-1]
    return [call.split("\0")[:-1] for call in calls]


def write_dataset(path, frames):
    """A dataset with a number of frames to learn from, and four each to validate and test."""
    make = runpy.run_path(str(ROOT / "test" / "learn" / "conftest.py"))
    create_dataset(path, make["DESCRIPTION"])
    for number, (part, count) in enumerate((("train", frames), ("val", 4), ("test", 4))):
        make["_write_run"](path, f"{number:05d}_esatv3", count, number)
        (path / f"{part}_set.txt").write_text(f"{number:05d}_esatv3\n")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """All lines of the page as they ended: words, exit code, output."""
    folder = tmp_path_factory.mktemp("page")
    data = folder / "data"
    write_dataset(data / DATASETS[0], 320)  # 32 windows of 10
    write_dataset(data / DATASETS[1], 4)
    for name in DATASETS[2:]:
        shutil.copytree(data / DATASETS[1], data / name, copy_function=os.link)
    (folder / "empty").mkdir()
    weights = folder / "torch" / "hub" / "checkpoints"
    weights.mkdir(parents=True)
    lines = []
    for block in BLOCKS:
        for words in lines_of(block, folder):
            if words[0] in ELSEWHERE:
                continue
            if words[0].startswith("dag_"):
                words += ["--dont_submit"]
            else:
                words += ["--max_steps", "1"] + ([] if "--batch_size" in words else ["--batch_size", "4"])
            collects = words[0] == "dag_create_data.py"  # which the others follow
            environment = {
                "NAV_PKG_DATA": str(folder / "empty" if collects else data),
                "NAV_PKG_LOG": str(folder / "log"),
                "NAV_PKG_CACHE": str(folder / "packs"),
                "TORCH_HOME": str(folder / "torch"),
                "OMP_NUM_THREADS": "1",
            }
            out = folder / f"{len(lines)}.txt"
            lines.append({"words": words, "environment": environment, "out": str(out)})
    (folder / "lines.json").write_text(json.dumps(lines))
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(folder / "lines.json"), str(weights / "resnet18-f37072fd.pth")],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT / "scripts",
    )
    assert done.returncode == 0
    dags = [json.loads(line) for line in done.stdout.splitlines()]
    for line in dags:
        line["said"] = Path(line["out"]).read_text()
    return dags, folder


def test_every_line_of_the_page_is_taken_as_it_is_written(page):
    lines, folder = page
    for line in lines:
        print(f"{line['seconds']:5.2f} s", *line["words"][:5])
    assert [(line["words"], line["said"]) for line in lines if line["code"] != 0] == []
    scripts = [line["words"][0] for line in lines]
    assert {name: scripts.count(name) for name in scripts} == {
        "main.py": 2,
        "dag_train.py": 9 + 16 + 5,
        "dag_create_data.py": 1,
    }


def test_its_wall_times_are_kept(page):
    """Those of recorders, on trainings: taken, with a warning."""
    lines, folder = page
    for line in (line for line in lines if line["words"][0] == "dag_train.py"):
        words = line["words"]
        (flag,) = [word for word in words if word.startswith("--wall_time")]
        tag = words[words.index("-t") + 1]
        spec = json.loads((folder / "log" / tag / "DAG" / "jobs" / "m_0_train.json").read_text())
        assert spec["wall_time"] == float(words[words.index(flag) + 1])
        assert ("warning: --wall_time_rec" in line["said"]) == (flag == "--wall_time_rec")


def test_the_lines_that_are_tested_elsewhere(tmp_path):
    names = [words[0] for block in BLOCKS for words in lines_of(block, tmp_path)]
    assert names.count("combine_results.py") == 3
