"""Compare models in a table, learning curves and a page. This is the last job of a DAG, and also runs alone.

Example:
    dag_report.py -t compared --models tiny/seed_123 alex/seed_123
"""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Optional, Sequence

from nav_pkg.config.reports import DagReportConfig
from nav_pkg.config.setting import parse
from nav_pkg.core import DataError, UsageError


def _models(names: Sequence[str], folder: Path, summary: Path) -> Dict[str, Path]:
    from nav_pkg.report import models

    if len(set(names)) < len(names):
        twice = next(name for name in names if list(names).count(name) > 1)
        raise UsageError(f"dag_report.py: --models names {twice} twice: leave one out")
    if names:
        return {name: models.locate(name, folder, summary) for name in names}
    if not folder.is_dir():
        raise DataError(f"{folder}: no such log folder; give the log folders to compare with --models")
    folders = models.find(folder)
    if not folders:
        raise DataError(f"{folder}: no training, evaluation or flights below it; give --models")
    return folders


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command."""
    config = parse(DagReportConfig, argv, "dag_report.py", str(__doc__))
    from nav_pkg.report import models  # matplotlib takes a second

    summary = config.summary_dir.expanduser().resolve()
    folder = summary / config.log_tag
    print(models.write(folder, config.log_tag, _models(config.models, folder, summary)).text())
    print(f"{folder / 'report.html'}")
    return 0
