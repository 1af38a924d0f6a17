"""The whole graph (expert, supervisor, recorder) with the embedded simulator's node, beside Gazebo."""

from __future__ import annotations

import shutil
import time

import numpy as np
import pytest

from nav_pkg.core import ROOT
from nav_pkg.data.format import COLUMNS
from nav_pkg.data.reader import load_dataset
from nav_pkg.sim.graph import Graph

pytestmark = pytest.mark.skipif(
    shutil.which("roslaunch") is None or not (ROOT / "build" / ".ws" / "devel").exists(),
    reason="ROS or the catkin build is missing (make setup)",
)
LIMIT = 240.0
"""Wall seconds for a graph on a busy machine."""
SIZES = {"width": "160", "height": "120", "depth_width": "80", "depth_height": "60"}
FLIGHT = {
    "runs": "2",
    "seed": "512",
    "start": "route",
    "max_duration": "5",
    "noise": "gau",
    "sigma_yaw": "0.5",
}


def fly(folder, **arguments):
    """The dataset that roslaunch graph.launch records, and what the simulator printed."""
    folder.mkdir()
    arguments = {**SIZES, **FLIGHT, **arguments, "dataset": str(folder / "data"), "log_folder": str(folder)}
    graph = Graph(arguments, folder)
    try:
        deadline = time.monotonic() + LIMIT
        while graph.running and time.monotonic() < deadline:
            time.sleep(0.1)
        failure = graph.failure()
    finally:
        graph.stop()
    assert (failure.node, failure.code) == ("supervisor", 0), graph.output()[-6000:]
    return load_dataset(folder / "data"), graph.output()


@pytest.mark.parametrize("robot, speed", [("drone", "0.8"), ("turtlebot3", "0.3")])
def test_the_same_flights_as_in_gazebo(tmp_path, robot, speed):
    common = {"robot": robot, "speed": speed, "turn_speed": speed}
    gazebo, _ = fly(tmp_path / "gazebo", **common)
    embedded, output = fly(tmp_path / "embedded", simulator="embedded", **common)
    assert "[nav_pkg] ready: lock-step" in output and "gzserver" not in output
    for first, second in zip(gazebo.runs, embedded.runs):
        one, two = first.frames, second.frames
        assert len(one) == len(two) == 50 and first.facts["outcome"] == second.facts["outcome"] == "timeout"
        for name in COLUMNS:
            if name.startswith(("expert_", "applied_", "stamp", "actor")):
                assert np.array_equal(one[name], two[name]), name
        for name in ("x", "y", "z"):
            assert np.abs(one[name] - two[name]).max() < 0.001, name
        for name in ("roll", "pitch", "yaw"):
            assert np.abs(np.angle(np.exp(1j * (one[name] - two[name])))).max() < np.radians(0.01), name
        for index in (0, 25, 49):
            images = [run.rgb(index).astype(float) for run in (first, second)]
            assert np.abs(images[0] - images[1]).mean() < 2.0
            depths = [run.depth(index) for run in (first, second)]
            hit = np.isfinite(depths[0]) & np.isfinite(depths[1])
            assert np.median(np.abs(depths[0][hit] - depths[1][hit])) < 0.002
        scans = [run.scan for run in (first, second)]
        near = np.isfinite(scans[0]) & np.isfinite(scans[1])
        assert np.mean(np.isfinite(scans[0]) == np.isfinite(scans[1])) > 0.9999
        assert np.abs(scans[0][near] - scans[1][near]).max() < 0.001
