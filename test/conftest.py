"""What all tests share."""

import sys

import pytest


@pytest.fixture(autouse=True)
def denormal_numbers():
    """Learning sets the processor to flush denormal numbers; hypothesis, in later tests, draws them."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)
