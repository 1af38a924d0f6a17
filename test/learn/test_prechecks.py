"""Wrong names are refused before torch is imported, and say what there is."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from nav_pkg import nets
from nav_pkg.config.learner import LearnerConfig
from nav_pkg.config.session import SessionConfig
from nav_pkg.core import DataError, UsageError
from nav_pkg.data import published
from nav_pkg.learn.training import prechecks
from nav_pkg.nets import registry
from nav_pkg.session import flight_progress

CODE = """
import importlib, sys
from nav_pkg.core import NavError

for line in sys.stdin.read().splitlines():
    command, *words = line.split()
    try:
        importlib.import_module(f"nav_pkg.cli.{command}").main(words)
    except NavError as error:
        print(error.code, error)
    assert "torch" not in sys.modules, line
"""
MISSING = "no such checkpoint: check --checkpoint_path"


@pytest.fixture
def places(tmp_path):
    """A data root with two datasets, and a folder of logs with a checkpoint that is read by no test."""
    make = runpy.run_path(str(Path(__file__).parents[1] / "data" / "conftest.py"))["Samples"]()
    own_dataset = make.dataset(tmp_path / "data" / "mine", runs=3, frames=2)
    for number, part in enumerate(("train", "val", "test")):
        (own_dataset / f"{part}_set.txt").write_text(f"{number:05d}_esatv3\n")
    (tmp_path / "data" / "collect" / "other").mkdir(parents=True)
    (tmp_path / "data" / "collect" / "other" / "dataset.json").write_text('{"format": 1}')
    (tmp_path / "log" / "there").mkdir(parents=True)
    (tmp_path / "log" / "there" / "my-model").write_text("")
    return f"--data_root {tmp_path / 'data'} --summary_dir {tmp_path / 'log'}"


def dag_lines(places):
    """Those of the cluster's commands: all names that a line can hold."""
    train = {
        "--dataset mint": "3 .*mint: no such dataset; did you mean 'mine'",
        "--dataset mine --network tiny_nett": "2 --network 'tiny_nett': .*mean 'tiny_net'",
        "--dataset mine --network no.py:Net": "2 .*there is no file",
    }
    start = {"--dataset mine --checkpoint_path nix": "3 .*nix/my-model"}
    fly = {"-m nix": f"3 .*nix/my-model: {MISSING}", "-m there --network tiny_nett": "2 .*mean 'tiny_net'"}
    world = {"-w esatv4": "2 .*did you mean 'esatv3'"}
    learner = {"--network tiny_nett": "2 .*mean 'tiny_net'", "--prefill_dataset mint": "3 .*mean 'mine'"}
    wrong_uses = {
        "dag_create_data --destination d": {**world, "--alpha 0 -m nix": fly["-m nix"]},
        "dag_train": {**train, **start, "--lerning_rate 1": "2 .*did you mean '--learning_rate'"},
        "dag_train_and_evaluate": {**train, **start, "--dataset mine --worlds esatv4": world["-w esatv4"]},
        "dag_evaluate": {
            **fly,
            "": "3 .*seed_123: holds no model",
            "-m there --worlds esatv4": "2 .*'esatv3'",
        },
        "dag_train_online": {**learner, **world, "-m nix": fly["-m nix"]},
        "dag_dagger --dataset mine": {**fly, "-m there -w esatv4": world["-w esatv4"]},
        "dag_dagger -m nix": {"--dataset mint": train["--dataset mint"]},
    }
    return {
        f"{command} {places} -t x {more}": message
        for command, lines in wrong_uses.items()
        for more, message in lines.items()
    }


def test_wrong_names_are_refused_without_torch(places, tmp_path):
    logs = f"--summary_dir {tmp_path / 'log'}"
    lines = {
        f"main {places} --dataset mint": "3 .*mint: no such dataset; did you mean 'mine'",
        f"main {places} --dataset mine --network tiny_nett": "2 --network 'tiny_nett': .*mean 'tiny_net'",
        f"main {places} --dataset mine --network no.py:Net": "2 .*there is no file",
        f"main {places} --dataset mine --checkpoint_path nix": f"3 .*nix/my-model: {MISSING}",
        f"main {places} -t ../x": "2 .*is not a name",
        f"run_script {places} --alpha 0 -m nix": f"3 .*nix/my-model: {MISSING}",
        f"run_script {places} --alpha 0 -m nix.onnx": f"3 .*nix.onnx: {MISSING}",
        f"run_script {places} --alpha 0 -m nix -w esatv4": "2 .*did you mean 'esatv3'",
        f"run_script {places} --online --network tiny_nett": "2 --network 'tiny_nett'",
        f"evaluate {logs} -m nix": f"3 .*nix/my-model: {MISSING}",
        f"evaluate {logs} -m nix --network tiny_nett": "2 --network 'tiny_nett'",
        f"export {places} -m nix --output x": f"3 .*nix/my-model: {MISSING}",
        f"demo --output {tmp_path / 'demo'} --network tiny_nett": "2 --network 'tiny_nett'",
        f"demo --output {tmp_path / 'demo'} -w esatv4": "2 .*did you mean 'esatv3'",
        f"run_script {places} --online --prefill_dataset mint": "3 .*mint: no such dataset",
        f"dagger {places} -t x --dataset mint -m nix": "3 .*mint: no such dataset",
        f"dagger {places} -t x --dataset mine -m nix": f"3 .*nix/my-model: {MISSING}",
        f"dagger {places} -t x --dataset mine -m there -w esatv4": "2 .*did you mean 'esatv3'",
        **dag_lines(places),
    }
    done = subprocess.run(
        [sys.executable, "-c", CODE], input="\n".join(lines), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    messages = done.stdout.splitlines()
    assert len(messages) == len(lines)
    for (line, wanted), got in zip(lines.items(), messages):
        assert re.match(wanted, got), (line, got)


def test_the_names_of_networks_are_those_of_the_registry():
    assert prechecks.network_names() == sorted([*nets.names(), *registry.ALIASES])
    prechecks.network("tinyv2")
    prechecks.network("my_nets.py:MyNet")  # looked at later
    with pytest.raises(UsageError, match="did you mean 'res18_net'"):
        prechecks.network("res18_ne")


def test_a_module_of_a_users_own_is_never_refused(tmp_path, monkeypatch):
    """However it gives its name: first, by keyword, or made up, which leaves all names to the registry."""
    monkeypatch.setattr(prechecks, "NETS", tmp_path)
    (tmp_path / "mine.py").write_text('@register(NetSpec("my_net", (8, 8)))\ndef net(outputs): ...\n')
    prechecks.network("my_net")
    with pytest.raises(UsageError, match="did you mean 'my_net'"):
        prechecks.network("my_nett")
    (tmp_path / "many.py").write_text("for n in 1, 2: register(NetSpec(name=f'net_{n}'))(make)\n")
    prechecks.network("net_1")


def test_without_a_dataset_those_that_are_there_are_listed(places, tmp_path):
    with pytest.raises(DataError) as error:
        prechecks.dataset("esatv3_expert_500", tmp_path / "data", given=False)
    text = str(error.value)
    assert text.startswith("no --dataset was given, and ") and "\n" not in text
    assert text.endswith(f"give one of those in {tmp_path / 'data'}: collect/other, mine")
    for number in range(20):
        (tmp_path / "data" / f"x{number:02}").mkdir()
        (tmp_path / "data" / f"x{number:02}" / "dataset.json").write_text("{}")
    with pytest.raises(DataError, match=r"x09 and 10 more \(dataset.py info\)"):
        prechecks.dataset("esatv3_expert_500", tmp_path / "data", given=False)
    with pytest.raises(DataError, match="there is none in .*: record one with run_script.py -ds"):
        prechecks.dataset("esatv3_expert_500", tmp_path / "log", given=False)


def test_what_may_lack():
    args = SessionConfig(learns=True, summary_dir=Path("/nowhere"))
    prechecks.checkpoint("tiny_net_scratch", "/nowhere", scratch=True)
    prechecks.checkpoint("", None)
    with pytest.raises(DataError, match=MISSING):
        prechecks.checkpoint("tiny_net_scratch", "/nowhere")
    with pytest.raises(DataError, match=MISSING):
        prechecks.flight(LearnerConfig(), "gone", args, prechecks.NETS)


def test_a_published_dataset_comes_with_the_commands_that_make_it(tmp_path):
    """And these commands are ones that the scripts take."""
    from nav_pkg.cli import dataset
    from nav_pkg.config import cleaning
    from nav_pkg.session import arguments

    with pytest.raises(
        DataError, match="esatv3_expert_200K: no such dataset; make it: python scripts/run_scr"
    ):
        prechecks.dataset("esatv3_expert_200K", tmp_path)
    text = published.remedy("esatv3_expert_200K", tmp_path)
    fly, clean, subset = text.split("make it: ")[1].split(" (docs")[0].split(" && ")
    args, _ = arguments.split(fly.split()[2:])
    arguments.schedule(args)
    assert (args.number_of_runs - 2) * published.LAP >= 200_000 * 1.05
    assert args.create_dataset and args.data_location == "collect/esatv3_expert" and args.alpha == 1
    assert cleaning.make_parser().parse_args(clean.split()[2:]).destination == "esatv3_expert"
    config = dataset.make_parser("subset").parse_args(subset.split()[3:])
    assert config.frames == [200_000]
    for name, frames in (("esatv3_expert_10K", 10_000), ("esatv3_expert_500", 500)):
        assert published.remedy(name, tmp_path).split(" (docs")[0].endswith(f"--frames {frames}")
    assert "subset" not in published.remedy("esatv3_expert", tmp_path)
    for name in ("mine", "esatv3_expert_x", "my_esatv3_expert", "esatv3_expert_10K/x"):
        assert published.remedy(name, tmp_path) == ""
    (tmp_path / "esatv3_expert").mkdir()
    only = "; make it: python scripts/dataset.py subset esatv3_expert --frames 200000"
    assert published.remedy("esatv3_expert_200K", tmp_path) == only
    page = (prechecks.NETS.parents[1] / "docs" / "dataset.md").read_text(encoding="utf-8")
    for line in (fly, clean, subset):
        assert line in " ".join(page.replace("\\\n", " ").split())


def test_learning_in_flight_shows_its_loss():
    assert flight_progress.learning_sign({"run": 1}) == flight_progress.learning_sign({"updates": 0}) == ""
    assert (
        flight_progress.learning_sign({"updates": 12, "loss": 0.123456})
        == ", loss 0.123 after 12 gradient steps"
    )
    assert "loss not finite after 3" in flight_progress.learning_sign({"updates": 3, "loss": None})
