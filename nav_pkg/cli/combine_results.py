"""Plot learning curves of several trainings in one figure, with a table and the data as CSV.

Example:
    combine_results.py --log_folders ref/1 shifted/1 --legend_names reference shifted
"""

from __future__ import annotations

from typing import Optional, Sequence

from nav_pkg.config.reports import CombineConfig
from nav_pkg.config.setting import parse


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command."""
    config = parse(CombineConfig, argv, "combine_results.py", str(__doc__))
    from nav_pkg.report import combine  # matplotlib takes a second

    for figure in combine.write_all(config):
        print(figure)
    return 0
