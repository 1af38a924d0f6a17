"""The same flights in Gazebo and in the embedded simulator."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import numpy as np
import pytest

from nav_pkg.control.expert import Expert
from nav_pkg.core import CONTROL_PERIOD_NS, ROOT, Command, Pose
from nav_pkg.data import codec
from nav_pkg.data.reader import load_dataset
from nav_pkg.flight.body import Body
from nav_pkg.flight.rollout import fly
from nav_pkg.flight.schedule import FlightSchedule
from nav_pkg.sim.description import SimulatorOptions, load_robot
from nav_pkg.sim.embedded.simulator import EmbeddedSimulator
from nav_pkg.sim.gazebo import Gazebo

SIZE = {"width": 160, "height": 120, "depth_width": 80, "depth_height": 60}
QUALITY = 95
"""Of the JPEGs of a dataset."""


def blurred(image):
    """Local means with a Gaussian window of 11 x 11 pixels, sigma 1.5."""
    offsets = np.arange(-5, 6)
    weights = np.exp(-(offsets**2) / (2 * 1.5**2))
    weights /= weights.sum()
    for axis in (0, 1):
        pad = [(0, 0)] * image.ndim
        pad[axis] = (5, 5)
        wide = np.pad(image, pad, mode="reflect")
        image = sum(
            weight * np.take(wide, range(i, i + image.shape[axis]), axis) for i, weight in enumerate(weights)
        )
    return image


def ssim(first, other):
    """Structural similarity of two uint8 images (Wang et al., 2004), mean over pixels and channels."""
    a, b = first.astype(np.float64), other.astype(np.float64)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_a, mean_b = blurred(a), blurred(b)
    both = blurred(a * b) - mean_a * mean_b
    spread = blurred(a * a) - mean_a**2 + blurred(b * b) - mean_b**2
    score = (2 * mean_a * mean_b + c1) * (2 * both + c2) / ((mean_a**2 + mean_b**2 + c1) * (spread + c2))
    return float(score.mean())


def test_ssim_tells_images_apart():
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3)).astype(np.uint8)
    assert ssim(image, image) == pytest.approx(1.0)
    assert ssim(image, np.roll(image, 1, axis=1)) < 0.5
    assert ssim(np.full_like(image, 100), np.full_like(image, 110)) == pytest.approx(
        (2 * 100 * 110 + 6.5025) / (100**2 + 110**2 + 6.5025)
    )


def as_recorded(rgb):
    """An image as a dataset has it."""
    return codec.decode_rgb(codec.encode_rgb(np.ascontiguousarray(rgb), QUALITY))


@pytest.fixture(scope="module", params=[
    ("drone", 25, ()),
    ("drone_recovery", 25, ()),
    ("turtlebot3", 40, ()),
    ("drone", 20, ("--noise", "ou", "--sigma_yaw", 0.3, "--sigma_z", 0.05, "--speed", 1.2)),
], ids=["drone", "drone_recovery", "turtlebot3", "fast_with_noise"])  # fmt: skip
def recorded(request, master, tmp_path_factory):
    """Two runs that Gazebo recorded, with a turn each."""
    robot, seconds, flags = request.param
    folder = tmp_path_factory.mktemp("side_by_side")
    sizes = [word for name, value in SIZE.items() for word in (f"--{name}", value)]
    words = ("-t", "runs", "-ds", "--robot", robot, "--start", "route", "--number_of_runs", 2)
    environment = dict(os.environ, NAV_PKG_DATA=str(folder / "data"), NAV_PKG_LOG=str(folder / "log"))
    environment["ROS_LOG_DIR"] = str(folder / "ros")
    command = [
        sys.executable,
        ROOT / "scripts" / "run_script.py",
        *words,
        "--max_duration",
        seconds,
        *sizes,
        *flags,
    ]
    done = subprocess.run(
        [str(word) for word in command],
        env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return robot, load_dataset(folder / "data" / "runs")


def flown_again(simulator, run, robot):
    """Fly a recorded run again in closed loop; its frames and observations, and its facts."""
    facts, body = run.facts, Body.from_robot(load_robot(robot))
    schedule = FlightSchedule(
        world=facts["world"],
        runs=facts["run"] + 1,
        first_run=facts["run"],
        seed=facts["seed"],
        speed=facts["speed"],
        turn_speed=facts["turn_speed"],
        start=facts["start"],
        max_duration=facts["max_duration"],
        min_depth=facts["min_depth"],
        noise=facts["noise"]["kind"],
        **{f"sigma_{axis}": facts["noise"][f"sigma_{axis}"] for axis in ("x", "y", "z", "yaw")},
    )
    (plan,) = schedule.runs_to_fly(body)
    expert = Expert(
        simulator.plan,
        speed=facts["speed"],
        turn_speed=facts["turn_speed"],
        height=None if body.ground else facts["height"],
    )
    flown = []
    result = fly(
        simulator,
        schedule.flight(plan, body),
        expert,
        on_frame=lambda frame, observation: flown.append((frame, observation)),
        run=facts["run"],
        seed=facts["seed"],
        pose=plan.start,
    )
    return flown, result


def test_a_recorded_run_is_the_same_run_in_the_embedded_simulator(recorded, record_property):
    robot, dataset = recorded
    assert len(dataset.runs) == 2
    with EmbeddedSimulator(SimulatorOptions(robot=robot, **SIZE)) as simulator:
        for run in dataset.runs:
            flown, facts = flown_again(simulator, run, robot)
            frames = run.frames
            assert [facts[key] for key in ("frames", "outcome", "reason")] == [
                run.facts[key] for key in ("frames", "outcome", "reason")
            ]
            assert len(flown) == len(run)
            for source in ("expert", "applied"):
                own = np.array([getattr(frame, source) for frame, _ in flown])
                labels = np.stack([frames[f"{source}_{axis}"] for axis in ("x", "y", "z", "yaw")], axis=1)
                assert np.array_equal(own, labels)
            assert len(np.unique(frames.expert_yaw)) > 1, "the run has no turn"

            own = np.array([frame.pose for frame, _ in flown])
            poses = np.stack([frames[axis] for axis in ("x", "y", "z", "roll", "pitch", "yaw")], axis=1)
            assert np.linalg.norm(own[:, :3] - poses[:, :3], axis=1).max() < 1e-3
            turned = (own[:, 3:] - poses[:, 3:] + math.pi) % (2 * math.pi) - math.pi
            assert np.degrees(np.abs(turned).max()) < 0.01

            own, scans = np.array([observation.scan for _, observation in flown]), run.scan
            returned = np.isfinite(scans)
            assert np.array_equal(np.isfinite(own), returned) and not returned.all()
            assert np.abs(own[returned] - scans[returned]).max() < 1e-3

            errors, alike = [], {name: [] for name in ("ahead", *run.side_cameras)}
            for frame, observation in flown[:: max(1, len(flown) // 20)]:
                depth = run.depth(frame.index)
                both = np.isfinite(depth) & np.isfinite(observation.depth)
                assert both.mean() > 0.99
                errors.append(np.abs(observation.depth[both] - depth[both]))
                alike["ahead"].append(ssim(as_recorded(observation.rgb), run.rgb(frame.index)))
                for name in run.side_cameras:
                    image = run.side_rgb(name, frame.index)
                    alike[name].append(ssim(as_recorded(observation.sides[name]), image))
            assert np.median(np.concatenate(errors)) < 2e-3
            assert (robot == "drone_recovery") == (len(alike) == 3)
            for name, scores in alike.items():
                record_property(
                    f"{run.name} {name}", f"SSIM {np.mean(scores):.5f}, at least {min(scores):.5f}"
                )
                assert min(scores) > 0.995, f"{name}: {min(scores)}"


WALLS = {
    "drone": [
        (Pose(0.0, 0.0, 1.0), Command(0.8, 0.0, 0.0, 0.3)),
        (Pose(0.0, 0.0, 0.8, yaw=1.0), Command(-0.5, 0.4, 0.1, 0.0)),
        (Pose(-20.0, -4.0, 1.4, yaw=0.4), Command(1.2, 0.0, 0.0, 0.0)),
        (Pose(-20.0, -4.0, 1.4), Command(0.3, 0.0, 0.5, 0.0)),  # the ceiling
        (Pose(-20.0, -4.0, 0.6), Command(0.3, 0.0, -0.5, 0.5)),  # the floor
    ],
    "turtlebot3": [
        (Pose(0.0, 0.0, 0.0), Command(0.3, 0.0, 0.0, 0.1)),
        (Pose(-20.0, -4.0, 0.0, yaw=1.2), Command(0.5, 0.0, 0.0, 0.0)),
        (Pose(-20.0, -4.0, 0.0, yaw=0.3), Command(-0.4, 0.0, 0.0, 0.1)),
    ],
}  # fmt: skip


@pytest.mark.parametrize("robot", WALLS)
def test_contacts_come_in_the_same_frame_and_images_have_the_same_bytes(master, robot):
    from ros_client import Client

    options = SimulatorOptions(robot=robot, seed=1, **SIZE)
    with Gazebo(options), EmbeddedSimulator(options) as embedded:
        client = Client()
        try:
            for number, (start, command) in enumerate(WALLS[robot]):
                theirs, ours = client.reset(start, number), embedded.reset(start, number)
                for frame in range(300):
                    touched = bool(theirs.contacts)
                    assert ours.contact == touched, f"flight {number}, frame {frame}"
                    if touched:
                        break
                    assert np.allclose(ours.pose, theirs.pose, rtol=0, atol=1e-9)
                    assert np.array_equal(np.isfinite(ours.scan), np.isfinite(theirs.scan))
                    # Before any JPEG: only the rounding of positions in the vertex shaders differs.
                    assert (ours.rgb == theirs.rgb).mean() > 0.99
                    theirs = client.step(command)
                    ours = embedded.step([(command, CONTROL_PERIOD_NS)])
                assert touched and frame > 3, f"flight {number} ends after {frame} frames without contact"
        finally:
            client.close()
