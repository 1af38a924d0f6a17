"""Facts about the software and the machine of a result: versions, machine, date."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import List, Tuple

import nav_pkg
from nav_pkg.core import ROOT
from nav_pkg.machine import processor_name

PACKAGES = ("numpy", "torch", "torchvision", "matplotlib", "Pillow", "simplejpeg", "isal")


def environment() -> List[Tuple[str, str]]:
    """Versions and machine as (name, value) in reading order, without those that are not available."""
    rows = [
        ("date", datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")),
        ("nav_pkg", _with_commit(nav_pkg.__version__)),
        ("processor", _processor()),
        ("memory", _memory()),
        ("GPU for training", _gpu()),
        ("system", _system()),
        ("Python", platform.python_version()),
        ("ROS", _ros()),
        ("Gazebo", _gazebo()),
    ]
    for package in PACKAGES:
        try:
            rows.append((package, importlib.metadata.version(package)))
        except importlib.metadata.PackageNotFoundError:
            continue
    return [(name, value) for name, value in rows if value]


def _with_commit(version: str) -> str:
    commit = _command_output(["git", "-C", str(ROOT), "describe", "--always", "--dirty"])
    return f"{version} ({commit})" if commit and (ROOT / ".git").exists() else version


def _command_output(command: List[str], strict: bool = True) -> str:
    """The first output line of a program; empty if it is not installed or (strict) fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    lines = done.stdout.strip().splitlines()
    return lines[0].strip() if lines and not (strict and done.returncode) else ""


def _processor() -> str:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{processor_name()}, {usable} logical cores"


def _memory() -> str:
    try:
        pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return ""
    return f"{pages * size / 2**30:.1f} GiB"


def _gpu() -> str:
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none"


def _system() -> str:
    name = ""
    try:
        for line in Path("/etc/os-release").read_text().splitlines():
            if line.startswith("PRETTY_NAME="):
                name = line.split("=", 1)[1].strip('"')
    except OSError:
        pass
    return f"{name or platform.system()}, kernel {platform.release()}"


def _ros() -> str:
    distribution = os.environ.get("ROS_DISTRO", "")
    version = _command_output(["rosversion", "roscpp"])
    return ", ".join(part for part in (distribution, f"roscpp {version}" if version else "") if part)


def _gazebo() -> str:
    for program in (ROOT / "setup" / "gzserver", Path("gzserver")):
        line = _command_output([str(program), "--version"], strict=False)  # it always exits with 255
        if line.startswith("Gazebo"):
            return line.replace("Gazebo multi-robot simulator, ", "")
    return ""
