"""Tells catkin_python_setup() what the Python package is; for pip, adds what pyproject.toml cannot say."""

import glob
import os
import re
import sys
from pathlib import Path

from setuptools import Extension, find_packages, setup

os.chdir(Path(__file__).resolve().parent)
source = Path("nav_pkg/__init__.py").read_text()
version = re.search(r'^__version__ = "(.+)"$', source, re.MULTILINE).group(1)
arguments = dict(
    name="nav_pkg",
    version=version,
    packages=find_packages(include=["nav_pkg", "nav_pkg.*"]),
    # As in pyproject.toml, which ROS Noetic's setuptools does not read.
    package_data={"nav_pkg": ["**/*.json"]},
)
catkin = "CATKIN_BINARY_DIR" in os.environ or "interrogate_setup" in sys.argv[0]
if not catkin:  # whose CMakeLists.txt builds and installs the same
    # The embedded simulator's physics. It is no Python module: nav_pkg.sim.embedded.library loads it. Without
    # a compiler, everything else is installed.
    arguments["ext_modules"] = [
        Extension(
            "nav_pkg.sim.embedded._embedded",
            sorted(glob.glob("src/core/*.cpp") + glob.glob("src/embedded/*.cpp")),
            depends=sorted(glob.glob("src/core/*.h") + glob.glob("src/embedded/*.h")),
            extra_compile_args=[
                "-std=c++17",
                "-O2",
                "-ftree-vectorize",
                "-fvisibility=hidden",
                "-ffp-contract=off",
            ],
            language="c++",
            optional=True,
        )
    ]
    # As in catkin's install space: robots, studies, and the scripts that commands start.
    arguments["data_files"] = [
        (f"share/nav_pkg/{folder}".rstrip("/"), sorted(glob.glob(pattern)))
        for folder, pattern in (
            ("", "package.xml"),
            ("config/robot", "config/robot/*.yaml"),
            ("models/drone", "models/drone/*"),
            ("models/turtlebot3", "models/turtlebot3/*"),
            ("scripts", "scripts/*.py"),
            ("studies", "studies/*.yaml"),
        )
    ]
setup(**arguments)
