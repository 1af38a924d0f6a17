"""The number of threads that training takes."""

import os

import pytest

from nav_pkg.learn.training import determinism


@pytest.mark.parametrize("said, wanted", [("", 3), ("2", 2), ("8", 3), ("0", 3), ("many", 3)])
def test_cores(monkeypatch, said, wanted):
    """A cluster's job has the processors that it asked for; OMP_NUM_THREADS tells how many."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2})
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert determinism.cores() == wanted
