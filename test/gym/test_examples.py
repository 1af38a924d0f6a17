"""The examples train, at the smallest size."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(script, folder, *arguments):
    """The progress that an example reports, by the name of the policy."""
    done = subprocess.run(
        [
            sys.executable,
            EXAMPLES / script,
            *arguments,
            "--processes",
            "1",
            "--episodes",
            "1",
            "--duration",
            "2",
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(EXAMPLES.parent), *sys.path])},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(re.findall(r"^(expert|before training|after training): (\S+) m", done.stdout, re.MULTILINE))


def needs(package):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed (docs/gymnasium.md)")


@pytest.mark.slow
def test_stable_baselines_trains(tmp_path):
    needs("stable_baselines3")
    reported = run("train_ppo.py", tmp_path, "--steps", "32", "--rollout", "32", "--model", "mine.zip")
    assert reported.keys() == {"expert", "before training", "after training"}
    assert float(reported["expert"]) > 1.0
    assert (tmp_path / "mine.zip").is_file()


@pytest.mark.slow
def test_imitation_trains(tmp_path):
    needs("imitation")
    reported = run("train_dagger.py", tmp_path, "--steps", "32", "--round", "32", "--epochs", "1")
    assert reported.keys() == {"expert", "before training", "after training"}
    assert float(reported["expert"]) > 1.0
