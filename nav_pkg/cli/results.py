"""Tabulate finished trainings over seeds, rank them, or compare two of them (also two sets of flights).

Examples:
    results.py table vgg16_net --metrics val_accuracy test_accuracy --sort test_accuracy
    results.py rank tiny --metrics test_accuracy
    results.py compare tiny/ref tiny/shifted
    results.py compare evaluation:seed_123 evaluation:seed_456 --flights
"""

from __future__ import annotations

from typing import Optional, Sequence

from nav_pkg.config.reports import ResultsConfig
from nav_pkg.config.setting import parse
from nav_pkg.data.files import atomic_write


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command."""
    config = parse(ResultsConfig, argv, "results.py", str(__doc__))
    from nav_pkg.report.results import results_table  # matplotlib takes a second

    text = getattr(results_table(config), config.format)().rstrip("\n")
    if config.output is None:
        print(text)
    else:
        atomic_write(config.output, f"{text}\n", "--output")
        print(config.output)
    return 0
