"""What source files may import and write: no ROS outside nav_pkg.ros, layers in order, Python 3.8."""

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
    files = [*PACKAGE.rglob("*.py"), *(PACKAGE.parent / "bench").rglob("*.py")]
    return sorted(p for p in files if "ros" not in p.relative_to(PACKAGE.parent).parts[:2])


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(PACKAGE.parent)))
def test_no_ros_outside_its_folder(path):
    package = [*path.relative_to(PACKAGE.parent).parts[:-1]]
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
    """The contract in pyproject.toml (core <- ... <- ros, serve <- cli), as `lint-imports` checks it."""
    cli = pytest.importorskip("importlinter.cli")
    root = str(PACKAGE.parent)
    if root not in sys.path:
        sys.path.insert(0, root)
    assert cli.lint_imports(config_filename=str(PACKAGE.parent / "pyproject.toml"), no_cache=True) == 0


# vermin knows the standard library and the syntax, but not these two, which fail on 3.8 when they are
# run: list[int] and X | None. In annotations they are not run, given the __future__ import.


def newer_than_38(source):
    """Line numbers of built-in generics, and of unions in annotations, that Python 3.8 would evaluate."""
    tree = ast.parse(source)
    annotations = set()
    for node in ast.walk(tree):
        for part in (getattr(node, "annotation", None), getattr(node, "returns", None)):
            if part is not None:
                annotations.update(ast.walk(part))
    postponed = any(
        isinstance(node, ast.ImportFrom)
        and node.module == "__future__"
        and any(alias.name == "annotations" for alias in node.names)
        for node in tree.body
    )
    for node in ast.walk(tree):
        if node in annotations and postponed:
            continue
        generic = (
            isinstance(node, ast.Subscript)
            and isinstance(node.value, ast.Name)
            and node.value.id in {"dict", "frozenset", "list", "set", "tuple", "type"}
        )
        union = node in annotations and isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr)
        if generic or union:
            yield node.lineno


@pytest.mark.parametrize(
    "path",
    sorted(p for folder in ("nav_pkg", "bench", "scripts") for p in (PACKAGE.parent / folder).rglob("*.py")),
    ids=lambda p: str(p.relative_to(PACKAGE.parent)),
)
def test_types_are_written_for_python_38(path):
    assert list(newer_than_38(path.read_text(encoding="utf-8"))) == []


def test_types_that_python_38_can_not_evaluate_are_found():
    future = "from __future__ import annotations\n"
    assert list(newer_than_38("def f(x: list[int]): pass")) == [1]
    assert list(newer_than_38("def f() -> int | None: pass")) == [1]
    assert list(newer_than_38(future + "def f(x: list[int]) -> int | None: pass")) == []
    assert list(newer_than_38(future + "Alias = dict[str, int]")) == [2]
