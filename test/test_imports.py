"""The core knows no ROS: only nav_pkg.ros imports rospy, other ROS libraries or ROS messages."""

import ast
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "nav_pkg"

ROS = {
    "actionlib",
    "catkin",
    "cv_bridge",
    "genmsg",
    "genpy",
    "message_filters",
    "rosbag",
    "rosgraph",
    "roslaunch",
    "roslib",
    "rosmaster",
    "rosmsg",
    "rosnode",
    "rosparam",
    "rospkg",
    "rospy",
    "rosservice",
    "rostest",
    "rostopic",
    "rosunit",
    "std_srvs",
    "tf",
    "tf2_ros",
}


def is_ros(module):
    top = module.split(".")[0]
    generated = module.split(".")[:2] in (["nav_pkg", "msg"], ["nav_pkg", "srv"])
    return top in ROS or top.endswith("_msgs") or generated


def imported(tree, package):
    """Full names of all modules that the source imports, relative imports resolved."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join(package[: len(package) - node.level + 1] + ([base] if base else []))
            yield base
            for alias in node.names:
                yield f"{base}.{alias.name}"


def sources():
    return sorted(p for p in PACKAGE.rglob("*.py") if p.relative_to(PACKAGE).parts[0] != "ros")


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_ros_outside_its_folder(path):
    package = ["nav_pkg", *path.relative_to(PACKAGE).parts[:-1]]
    names = set(imported(ast.parse(path.read_text(encoding="utf-8")), package))
    assert sorted(name for name in names if is_ros(name)) == []


def test_the_walk_sees_every_kind_of_import():
    source = (
        "import rospy\nfrom nav_pkg import msg\nfrom ..srv import Step\nfrom std_msgs.msg import Header\n"
    )
    names = [n for n in imported(ast.parse(source), ["nav_pkg", "sim"]) if is_ros(n)]
    assert names[0] == "rospy"
    assert {"nav_pkg.msg", "nav_pkg.srv.Step", "std_msgs.msg"} <= set(names)


def test_import_layers():
    """The contract in pyproject.toml (core <- ... <- cli, ros), as `lint-imports` checks it."""
    cli = pytest.importorskip("importlinter.cli")
    root = str(PACKAGE.parent)
    if root not in sys.path:
        sys.path.insert(0, root)
    assert cli.lint_imports(config_filename=str(PACKAGE.parent / "pyproject.toml"), no_cache=True) == 0
