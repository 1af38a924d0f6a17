"""Small environments that the tests share: a new one takes a second."""

import pytest

SMALL = {"width": 48, "height": 36, "depth_width": 48, "depth_height": 36}


@pytest.fixture(scope="session")
def make_env():
    """Makes an environment with small images from further arguments; the same arguments give the same one."""
    gymnasium = pytest.importorskip("gymnasium")
    import nav_pkg.gym  # noqa: F401 (registers)

    made = {}

    def make(**arguments):
        key = repr(sorted(arguments.items()))
        if key not in made:
            made[key] = gymnasium.make("nav_pkg/Corridor-v0", **{**SMALL, **arguments}).unwrapped
        return made[key]

    yield make
    for env in made.values():
        env.close()
