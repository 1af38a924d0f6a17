"""What must not change: see golden.py, which makes it again."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import golden  # noqa: E402
import made  # noqa: E402

NAMES = sorted(path.stem for path in golden.EXPECTED.glob("*.json"))
pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("golden")]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """All of it, made now."""
    work = golden.Work(tmp_path_factory.mktemp("golden"))
    yield golden.everything(work)
    work.close()


def test_everything_is_compared(found):
    assert sorted(found) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_nothing_has_changed(found, name):
    expected = golden.read(name)
    if "sums" in expected:
        assert made.differences(found[name], expected) == []
    else:
        assert found[name] == expected
