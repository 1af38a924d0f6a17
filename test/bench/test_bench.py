"""The bench's page: which figures do not reach their targets."""

import json
from pathlib import Path

import pytest

from bench import bench


@pytest.mark.parametrize(
    ("target", "reached", "missed"),
    [
        ("at least 0.6", 0.6, 0.59),
        ("under 0.03", 0.0299, 0.03),
        ("0.60 to 0.80", 0.8, 0.81),
        ("never below 0.5 m", 0.5, 0.49),
        ("30 of 30", 31, 29),
        ("1", 1.0, 0.99),
    ],
)
def test_targets(target, reached, missed):
    assert target in bench.TARGETS.values()
    assert not bench.missed(reached, target) and bench.missed(missed, target)
    assert bench.missed(float("nan"), target) and not bench.missed(0, "")


def test_the_page_is_of_the_figures():
    """docs/performance.md marks what bench/results.json misses."""
    figures = json.loads((bench.ROOT / "bench" / "results.json").read_text())
    page = Path(bench.ROOT / "docs" / "performance.md").read_text().splitlines()
    for name, figure in figures.items():
        (row,) = (line for line in page if line.startswith(f"| {name} |"))
        target = bench.target_of(name)
        assert ("(**missed**)" in row) == bench.missed(figure["value"], target), row
