"""What all tests share."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SYSTEM = ("e2e", "cluster", "sim", "ros", "setup")
"""Folders whose tests need ROS, Gazebo or HTCondor, those that take longest first."""


def pytest_collection_modifyitems(items):
    """Mark the tests that need more than Python, and put them first, so that all cores end together."""

    def place(item):
        folder = item.path.relative_to(HERE).parts[0]
        return SYSTEM.index(folder) if folder in SYSTEM else len(SYSTEM)

    for item in items:
        if place(item) < len(SYSTEM):
            item.add_marker("system")
    items.sort(key=place)


@pytest.fixture(autouse=True)
def denormal_numbers():
    """Learning sets the processor to flush denormal numbers; hypothesis, in later tests, draws them."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)
