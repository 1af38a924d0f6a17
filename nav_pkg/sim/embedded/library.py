"""Finds and loads the C++ library of the embedded simulator (src/embedded)."""

from __future__ import annotations

import ctypes
import functools
import os
from pathlib import Path
from typing import Iterator

from nav_pkg.core import ROOT, SimulatorError

VERSION = 2
"""Of the library's functions; `nav_pkg_version` in src/embedded/api.cpp."""
NAME = "libnav_pkg_embedded.so"
_REMEDY = "run 'make setup', or install with pip on a machine with a C++ compiler: pip install 'nav_pkg[sim]'"


def _candidates() -> Iterator[Path]:
    """Where the library may be: pip's beside this file, then those of catkin."""
    yield from sorted(Path(__file__).parent.glob("_embedded*.so"))
    for prefix in os.environ.get("CMAKE_PREFIX_PATH", "").split(":"):
        if prefix:
            yield Path(prefix) / "lib" / NAME
    yield ROOT.parent.parent / "lib" / NAME  # an install space: PREFIX/share/nav_pkg
    yield ROOT / "build" / ".ws" / "devel" / "lib" / NAME


@functools.lru_cache(maxsize=1)
def load() -> ctypes.CDLL:
    """Load the library.

    Raises:
        SimulatorError: it is missing, cannot be loaded, or is of another version of nav_pkg.
    """
    path = next((path for path in _candidates() if path.is_file()), None)
    if path is None:
        raise SimulatorError(f"the embedded simulator's library {NAME} is not built; {_REMEDY}")
    try:
        library = ctypes.CDLL(str(path))
        version = library.nav_pkg_version()
    except (OSError, AttributeError) as error:
        raise SimulatorError(f"{path} cannot be loaded ({error}); {_REMEDY}") from None
    if version != VERSION:
        raise SimulatorError(f"{path} is of another version of nav_pkg; {_REMEDY}")
    number, address, integer = ctypes.c_double, ctypes.c_void_p, ctypes.c_int
    library.nav_pkg_building_new.restype = address
    library.nav_pkg_building_new.argtypes = [address, ctypes.c_size_t, number, number, number]
    library.nav_pkg_building_delete.argtypes = [address]
    library.nav_pkg_robot_new.restype = address
    library.nav_pkg_robot_new.argtypes = [address, integer]
    library.nav_pkg_robot_delete.argtypes = [address]
    library.nav_pkg_robot_place.argtypes = [address, address]
    library.nav_pkg_robot_move.argtypes = [address, address, address]
    library.nav_pkg_robot_touched.argtypes = [address, address]
    library.nav_pkg_robot_step.argtypes = [address, address, address, integer, number]
    library.nav_pkg_robot_state.argtypes = [address, address]
    library.nav_pkg_robot_scan.argtypes = [
        *(address, address, address, integer, number, number, address),
        *(ctypes.c_uint64, ctypes.c_uint64, address, address),
    ]
    return library
