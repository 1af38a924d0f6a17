"""The catkin face: tells catkin_python_setup() what the Python package is. For pip, see pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

source = (Path(__file__).resolve().parent / "nav_pkg" / "__init__.py").read_text()
version = re.search(r'^__version__ = "(.+)"$', source, re.MULTILINE).group(1)
setup(
    name="nav_pkg",
    version=version,
    packages=find_packages(include=["nav_pkg", "nav_pkg.*"]),
    # As in pyproject.toml, which ROS Noetic's setuptools does not read.
    package_data={"nav_pkg": ["**/*.json"]},
)
