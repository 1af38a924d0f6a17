"""What all tests share."""

import contextlib
import ctypes
import gc
import json
import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SYSTEM = ("e2e", "cluster", "golden", "sim", "ros", "setup")
"""Folders whose tests need ROS, Gazebo or HTCondor, those that take longest first."""
LONG = ("learn", "studies", "world")
"""Folders of other tests that take long. They come next; the others are of short files."""
LARGE = {"vgg16_net", "inception_net", "dense_net", "alex_net"}
"""Networks that take seconds a step: tests of one of them are slow."""
WORLD = '<sdf version="1.6"><world name="w"><plugin name="p" filename="libnav_pkg_gazebo.so"/></world></sdf>'


def pytest_runtest_logreport(report):
    """Print a failure when it happens, too: a run that is cut off has no summary."""
    if report.failed and _reporter and not os.environ.get("PYTEST_XDIST_WORKER"):
        _reporter[0].write_line(f"\nFAILED {report.nodeid} ({report.when})\n{report.longreprtext[-3000:]}")


_reporter: list = []


@pytest.hookimpl(trylast=True)
def pytest_configure(config):
    """Keep the terminal's reporter for `pytest_runtest_logreport`."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        _reporter[:] = [reporter]


def pytest_collection_modifyitems(items):
    """Mark the tests that need more than Python, and put long ones first, so that all cores end together."""
    folders = SYSTEM + LONG

    def place(item):
        folder = item.path.relative_to(HERE).parts[0]
        return folders.index(folder) if folder in folders else len(folders)

    for item in items:
        if place(item) < len(SYSTEM):
            item.add_marker("system")
        elif hasattr(item, "callspec") and any(
            isinstance(value, str) and value in LARGE for value in item.callspec.params.values()
        ):
            item.add_marker("slow")
    items.sort(key=place)


@pytest.fixture(scope="session")
def documented_plan():
    """The plan that docs/worlds.md makes in ten lines."""
    page = (HERE.parent / "docs" / "worlds.md").read_text()
    lines = page.split("```python\nimport json\n")[1].split("```")[0].splitlines()
    names: dict = {}
    exec("\n".join(["import json", *lines[:-1]]), names)
    return names["plan"]


@pytest.fixture
def small_plan(tmp_path, monkeypatch, documented_plan):
    """A plan file of a user's own; its world is made of two small files, in a cache of the test's own."""
    from nav_pkg.sim import description
    from nav_pkg.world import making

    def generate(plan):
        return {f"worlds/{plan.name}.world": WORLD.encode(), f"models/{plan.name}/model.sdf": b"<sdf/>"}

    monkeypatch.setattr(making, "generate", generate)
    monkeypatch.setenv("NAV_PKG_WORLDS", str(tmp_path / "cache"))
    description._generated_world.cache_clear()
    path = tmp_path / "mine" / "small.json"
    path.parent.mkdir()
    path.write_text(json.dumps(documented_plan))
    yield path
    description._generated_world.cache_clear()


@pytest.fixture(autouse=True)
def state_of_torch(request):
    """Undo what learning sets for its process: flushed denormal numbers (hypothesis draws them), kept memory.

    A large network would leave 3 to 5 GB with the process, while other tests start simulators and compilers.
    """
    yield
    if "torch" not in sys.modules:
        return
    sys.modules["torch"].set_flush_denormal(False)
    if request.node.get_closest_marker("slow"):
        gc.collect()
        with contextlib.suppress(AttributeError):  # not glibc
            ctypes.CDLL(None).malloc_trim(0)
