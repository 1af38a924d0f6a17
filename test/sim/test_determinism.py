"""After a reset the same commands give the same bytes, whatever was flown before, in any process."""

from __future__ import annotations

import random

import pytest
from conftest import ROOM

from nav_pkg.core import Command, Pose
from nav_pkg.sim.description import SimulatorOptions
from nav_pkg.sim.gazebo import Gazebo

START = Pose(-1.0, 0.3, 1.0, 0.0, 0.0, 0.2)
SEED = 42


def reference(client):
    """Hashes of all sensors of a flight along and into a wall and onto the floor."""
    hashes = [client.reset(START, SEED).digest()]
    touched = 0
    for index in range(55):
        push = Command(0.3, -0.9 if index > 8 else 0.1, -0.6 if index > 25 else 0.0, 0.2 * (index % 2))
        sensors = client.step(push)
        hashes.append(sensors.digest())
        touched += bool(sensors.contacts)
    assert touched > 5
    return hashes


def disturb(client, number):
    """Another flight, which may crash, end between two frames, or run freely for a moment."""
    rng = random.Random(number)
    pose = Pose(
        rng.uniform(-3, 3), rng.uniform(-1, 2), rng.uniform(0.05, 2), rng.uniform(-0.5, 0.5), 0.1, 7 * number
    )
    client.reset(pose, number)
    for _ in range(5 + number % 11):
        client.step(Command(rng.uniform(-2, 2), rng.uniform(-2, 2), rng.uniform(-2, 1), rng.uniform(-2, 2)))
    if number % 3 == 0:
        assert client.raw_step(Command(1.0, 0.5, 0.0, 1.0), 1 + number % 19).success


@pytest.fixture(scope="module")
def expected(client):
    return reference(client)


def test_twenty_five_times_in_one_process(client, expected):
    for number in range(25):
        disturb(client, number)
        hashes = reference(client)
        wrong = [index for index, (a, b) in enumerate(zip(expected, hashes)) if a != b]
        assert not wrong, (
            f"repetition {number} differs from frame {wrong[0]}: {expected[wrong[0]]} {hashes[wrong[0]]}"
        )


def test_another_seed_is_another_noise(client, expected):
    assert client.reset(START, SEED + 1).digest()["scan"] != expected[0]["scan"]
    assert client.reset(START, SEED).digest() == expected[0]


# The last test of this module: it ends the module's simulator.
@pytest.mark.parametrize("seed", [1, 2])
def test_in_other_processes(expected, simulator, client, seed):
    client.close()
    simulator.close()
    from ros_client import Client

    with Gazebo(SimulatorOptions(world=ROOM, seed=seed)):
        other = Client()
        try:
            if seed == 2:
                disturb(other, 3)
            assert reference(other) == expected
        finally:
            other.close()
