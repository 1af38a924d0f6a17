"""The ROS interface page says what the launch files and nodes take; rviz shows topics that there are."""

from __future__ import annotations

import ast
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml

from nav_pkg.config import reference

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "reference" / "ros.md").read_text()


def section(title):
    """The lines of a section, to the next one of any level."""
    lines = PAGE.split(f"\n### {title}\n", 1)[1].splitlines()
    end = next((i for i, line in enumerate(lines) if line.startswith("##")), len(lines))
    return lines[:end]


@pytest.mark.parametrize("file", sorted((ROOT / "launch").glob("*.launch")), ids=lambda file: file.name)
def test_launch_arguments(file):
    """Which `make docs` writes."""
    assert f"<!-- generated: arguments of {file.name} -->" in PAGE


@pytest.mark.parametrize("name", reference.FILES)
def test_generated_regions_say_what_is_declared(name):
    """Else: `make docs`."""
    text = (ROOT / name).read_text(encoding="utf-8")
    assert reference.filled(text) == text
    assert text.count("<!-- generated: ") == len(reference.REGION.findall(text)) > 0


def test_each_region_stands_somewhere():
    in_docs = {
        match[1] for name in reference.FILES for match in reference.REGION.findall((ROOT / name).read_text())
    }
    assert set(reference.REGIONS) <= in_docs


def value(node):
    """The default of a field, which may be a setting."""
    return node.args[0] if isinstance(node, ast.Call) else node


def fields(path, name):
    """The fields of a dataclass, by name with their defaults, without importing ROS."""
    for node in ast.parse((ROOT / path).read_text()).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return {
                item.target.id: ast.literal_eval(value(item.value))
                for item in node.body
                if isinstance(item, ast.AnnAssign)
            }
    raise AssertionError(f"no class {name} in {path}")


@pytest.mark.parametrize(
    "node, sources",
    [
        (
            "supervisor",
            [
                ("config/flight.py", "FlightConfig"),
                ("flight/schedule.py", "FlightSchedule"),
                ("ros/supervisor.py", "Parameters"),
            ],
        ),
        ("expert", [("ros/expert.py", "Parameters")]),
        ("recorder", [("ros/recorder.py", "Parameters")]),
        ("bag", [("ros/bag.py", "Parameters")]),
        ("learner", [("ros/learner.py", "Parameters")]),
        ("guardian", [("ros/guardian.py", "Parameters")]),
    ],
)
def test_node_parameters(node, sources):
    wanted = {}
    for path, name in sources:
        wanted.update(fields(f"nav_pkg/{path}", name))
    rows = [line.split(" | ") for line in section(node) if line.startswith("| `~")]
    documented = {row[0].strip("| `~"): row[1].strip("`") for row in rows}
    shown = {
        key: str(value).lower() if isinstance(value, bool) else str(value) if value != "" else "empty"
        for key, value in wanted.items()
    }
    assert documented == shown


def test_every_topic_of_our_nodes_is_in_the_page():
    tree = ast.parse((ROOT / "nav_pkg" / "ros" / "topics.py").read_text())
    texts = [
        n.value.value for n in tree.body if isinstance(n, ast.Assign) and isinstance(n.value, ast.Constant)
    ]
    topics = [text for text in texts if text.startswith("/")]
    assert len(topics) >= 6 and [topic for topic in topics if f"| `{topic}` |" not in PAGE] == []


def test_every_python_package_that_is_asked_for_is_used_and_explained():
    """Of those that come first in the requirements; tools and what others bring need no import."""
    first = (ROOT / "setup" / "requirements.txt").read_text().split("\n\n")[0]
    pinned = [line.split("==")[0] for line in first.splitlines() if "==" in line]
    page = (ROOT / "docs" / "dependencies.md").read_text()
    assert [name for name in pinned if f"`{name}`" not in page] == []
    tools = {"ruff", "vermin", "import-linter", "mypy", "pytest-timeout", "pytest-xdist", "tensorboard"}
    modules = {"pillow": "PIL", "htcondor": "htcondor2", "stable-baselines3": "stable_baselines3"}
    sources = [file.read_text() for room in ("nav_pkg", "test") for file in (ROOT / room).rglob("*.py")]
    imports = {
        line.split()[1].split(".")[0] for text in sources for line in text.splitlines() if IMPORT(line)
    }
    unused = [name for name in pinned if name not in tools and modules.get(name, name) not in imports]
    assert unused == []


IMPORT = re.compile(r"\s*(import|from) \w").match


def test_messages_that_the_plugin_includes_are_declared():
    used = set()
    for file in (ROOT / "src").rglob("*.*"):
        used |= set(re.findall(r"#include <(\w+_msgs|std_srvs)/", file.read_text()))
    declared = {tag.text for tag in ET.parse(ROOT / "package.xml").getroot().findall("depend")}
    cmake = (ROOT / "CMakeLists.txt").read_text().split("COMPONENTS", 1)[1].split(")")[0].split()
    assert used and used <= declared and used <= set(cmake)


def test_topics_of_the_robot_are_in_the_page_and_in_rviz():
    topics = yaml.safe_load((ROOT / "config" / "robot" / "drone.yaml").read_text())["topics"]
    assert [topic for topic in topics.values() if f"`{topic}`" not in PAGE] == []
    shown = yaml.safe_load((ROOT / "config" / "flight.rviz").read_text())["Visualization Manager"]
    used = {
        value
        for display in shown["Displays"]
        for key, value in display.items()
        if key.endswith("Topic") and value
    }
    assert used <= set(topics.values()) and {topics["rgb"], topics["depth"], topics["scan"]} <= used
    assert shown["Global Options"]["Fixed Frame"] == "world"


def test_links_of_our_pages_lead_somewhere():
    for page in (
        "README.md",
        "CONTRIBUTING.md",
        "docs/demo.md",
        "docs/command_line.md",
        "docs/reference/flags.md",
        "docs/reference/ros.md",
        "docs/ros_interface.md",
        "docs/deployment.md",
        "docs/cluster.md",
        "docs/scaling.md",
    ):
        file = ROOT / page
        for link in re.findall(r"\]\(([^)#]+)", file.read_text()):
            if not link.startswith("http"):
                assert (file.parent / link).exists(), f"{page}: {link}"
