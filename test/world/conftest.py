"""What the world's tests share: the files of esatv3, made once."""

from __future__ import annotations

import pytest

from nav_pkg.world import load_plan
from nav_pkg.world.making import generate


@pytest.fixture(scope="session")
def files():
    """All generated files of esatv3, by path."""
    return generate(load_plan("esatv3"))
