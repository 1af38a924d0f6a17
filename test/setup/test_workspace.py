"""nav_pkg in an ordinary catkin workspace, beside a package that uses its messages: built, flown, installed.

The Gazebo plugin, whose compilation takes a minute and more, is taken from this checkout's own build; with
NAV_PKG_WHOLE_BUILD=1 the workspace compiles it.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from nav_pkg.cluster.transfer import _code

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = ROOT / "build/.ws/devel/lib/libnav_pkg_gazebo.so"
WHOLE = os.environ.get("NAV_PKG_WHOLE_BUILD") == "1"
TARGETS = (
    "nav_pkg_generate_messages gazebo_msgs_generate_messages nav_pkg_embedded nav_pkg_listen nav_pkg_worlds"
)
"""All but the plugin."""
NOETIC = "/opt/ros/noetic/setup.bash"

pytestmark = [
    pytest.mark.skipif(not shutil.which("catkin_make") or not PLUGIN.exists(), reason="needs make setup"),
    pytest.mark.timeout(1800),
]

PACKAGE = """<package format="2">
  <name>uses_nav</name><version>1.0.0</version><description>Uses messages.</description>
  <maintainer email="someone@example.com">Someone</maintainer><license>BSD</license>
  <buildtool_depend>catkin</buildtool_depend>
  <depend>roscpp</depend><depend>nav_pkg</depend><depend>gazebo_msgs</depend>
</package>
"""
CMAKE = """cmake_minimum_required(VERSION 3.10)
project(uses_nav)
find_package(catkin REQUIRED COMPONENTS roscpp nav_pkg gazebo_msgs)
catkin_package(CATKIN_DEPENDS roscpp nav_pkg gazebo_msgs)
include_directories(${catkin_INCLUDE_DIRS})
add_executable(uses src/uses.cpp)
add_dependencies(uses ${catkin_EXPORTED_TARGETS})
target_link_libraries(uses ${catkin_LIBRARIES})
install(TARGETS uses RUNTIME DESTINATION ${CATKIN_PACKAGE_BIN_DESTINATION})
catkin_install_python(PROGRAMS scripts/uses.py DESTINATION ${CATKIN_PACKAGE_BIN_DESTINATION})
"""
CPP = """#include <gazebo_msgs/ModelStates.h>
#include <nav_pkg/Episode.h>
#include <iostream>
int main() {
  nav_pkg::Episode episode;
  gazebo_msgs::ModelStates states;
  episode.run = 3;
  states.name.push_back("drone");
  std::cout << "C++ " << episode.run << " " << states.name[0] << std::endl;
}
"""
PYTHON = """#!/usr/bin/env python
from gazebo_msgs.msg import ModelStates
from nav_pkg.msg import Episode
print("Python", Episode(run=3).run, *ModelStates(name=["drone"]).name)
"""


class Workspace:
    """A catkin workspace in a shell that has no settings of nav_pkg."""

    def __init__(self, folder):
        self.folder = folder
        self.checkout = folder / "checkout"
        for name in _code(ROOT):
            (self.checkout / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, self.checkout / name)
        user = self.folder / "ws/src/uses_nav"
        for name, text in {
            "package.xml": PACKAGE,
            "CMakeLists.txt": CMAKE,
            "src/uses.cpp": CPP,
            "scripts/uses.py": PYTHON,
        }.items():
            (user / name).parent.mkdir(parents=True, exist_ok=True)
            (user / name).write_text(text)
        (user / "scripts/uses.py").chmod(0o755)
        (self.folder / "ws/src/nav_pkg").symlink_to(self.checkout)

    def run(self, command, limit=1500):
        kept = ("HOME", "LANG", "USER", "TMPDIR", "NAV_PKG_SHARE", "NAV_PKG_TORCH")
        environment = {name: os.environ[name] for name in kept if name in os.environ}
        environment.update(
            PATH="/usr/sbin:/usr/bin:/sbin:/bin",
            NAV_PKG_DATA=str(self.folder / "data"),
            NAV_PKG_LOG=str(self.folder / "log"),
            ROS_LOG_DIR=str(self.folder / "ros"),
        )
        if Path(NOETIC).exists():
            command = f". {NOETIC} && {command}"
        done = subprocess.run(
            ["bash", "-c", command],
            env=environment,
            cwd=self.folder / "ws",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=limit,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-6000:]}"
        return done.stdout

    def works(self, space):
        """What a user of the devel or install space does."""
        ready = f". {space}/setup.bash && "
        assert "usage: main.py" in self.run(ready + "rosrun nav_pkg main.py --help")
        assert "usage: nav_pkg COMMAND" in self.run(ready + "nav_pkg --help")
        assert "C++ 3 drone" in self.run(ready + "rosrun uses_nav uses")
        assert "Python 3 drone" in self.run(ready + "rosrun uses_nav uses.py")
        assert "string[] name" in self.run(ready + "rosmsg show gazebo_msgs/ModelStates")
        flight = f"dataset:=in_{space} runs:=1 max_duration:=1.5 width:=160 height:=90"
        output = self.run(ready + f"roslaunch -p 11399 nav_pkg collect.launch {flight}")
        runs = list((self.folder / "data" / f"in_{space}").glob("*/run.json"))
        assert len(runs) == 1, output[-6000:]
        assert json.loads(runs[0].read_text())["outcome"] == "timeout", output[-6000:]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    workspace = Workspace(tmp_path_factory.mktemp("workspace"))
    if WHOLE:
        workspace.run("catkin_make")
    else:
        workspace.run(f"catkin_make {TARGETS} uses")
        shutil.copy2(PLUGIN, workspace.folder / "ws/devel/lib")
    return workspace


def test_the_devel_space(built):
    built.works("devel")


def test_the_install_space_needs_no_checkout(built):
    if WHOLE:
        built.run("catkin_make install")
    else:
        built.run("cmake -P build/cmake_install.cmake")
    renamed = built.checkout.with_name("gone")
    built.checkout.rename(renamed)
    devel = built.folder / "ws/devel"
    devel.rename(devel.with_name("gone"))
    try:
        built.works("install")
        shell = ". install/share/nav_pkg/env.sh && python -c 'import nav_pkg.core as c; print(c.ROOT)'"
        assert "install/share/nav_pkg" in built.run(shell)  # as cluster jobs begin
    finally:
        renamed.rename(built.checkout)
        devel.with_name("gone").rename(devel)


@pytest.mark.skipif(not shutil.which("catkin"), reason="needs catkin_tools")
def test_catkin_tools_build_it_too(tmp_path):
    workspace = Workspace(tmp_path)
    if WHOLE:
        workspace.run("catkin build --no-status")
    else:
        # Arguments for make are for all packages, also the tools' own, which comes first and is built once.
        workspace.run("! catkin build --no-status --no-deps uses_nav")
        workspace.run(f"catkin build --no-status nav_pkg --make-args {TARGETS}")
        workspace.run("catkin build --no-status --no-deps uses_nav")
        shutil.copy2(PLUGIN, workspace.folder / "ws/devel/lib")
    workspace.works("devel")
