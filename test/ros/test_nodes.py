"""Nodes under rostest, and what they say about bad parameters."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
pytestmark = pytest.mark.skipif(shutil.which("rostest") is None, reason="ROS is not installed")


@pytest.mark.parametrize("node", ["expert", "learner"])
def test_node(node, tmp_path):
    # To a file: a pipe would be waited for until the last process of the graph has let go of it.
    with open(tmp_path / "output", "w") as output:
        done = subprocess.run(
            ["rostest", "--text", str(HERE / f"{node}.test")],
            env=dict(os.environ, ROS_LOG_DIR=str(tmp_path)),
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=1200,
        )
    assert done.returncode == 0, (tmp_path / "output").read_text()


def test_node_without_a_master_says_so():
    code = "from nav_pkg.ros import node_tools; node_tools.run(lambda: node_tools.start('tester', limit=0.3))"
    environment = dict(os.environ, ROS_MASTER_URI="http://127.0.0.1:1")
    done = subprocess.run(
        ["python3", "-c", code], env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 4
    assert done.stderr.count("\n") == 1
    assert "waited 0.3 s for the ROS master at http://127.0.0.1:1" in done.stderr
