"""Compare models in a table, learning curves and a page. This is the last job of a DAG, and also runs alone.

Example:
    dag_report.py -t compared --models tiny/seed_123 alex/seed_123
"""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List, Optional, Sequence

from nav_pkg.config import types
from nav_pkg.config.parser import Parser
from nav_pkg.config.paths import summary_dir
from nav_pkg.core import DataError, UsageError


def make_parser() -> Parser:
    """Make the parser of dag_report.py."""
    p = Parser(prog="dag_report.py", description=__doc__)
    add = p.add_argument
    add("-t", "--log_tag", type=types.name, required=True, help="log folder for the report")
    add("--summary_dir", type=Path, default=summary_dir(), help="folder of all logs")
    add(
        "--models",
        nargs="+",
        default=[],
        help="log folders of trainings, evaluations or flights: names below the tag's folder or below "
        "--summary_dir, or paths (default: all trainings below the tag's folder; if there are none, its "
        "evaluations or flights)",
    )
    return p


def _models(names: List[str], folder: Path, summary: Path) -> Dict[str, Path]:
    from nav_pkg.report import models

    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UsageError(f"dag_report.py: --models names {twice} twice: leave one out")
    if names:
        return {name: models.locate(name, folder, summary) for name in names}
    if not folder.is_dir():
        raise DataError(f"{folder}: no such log folder; give the log folders to compare with --models")
    found = models.find(folder)
    if not found:
        raise DataError(f"{folder}: no training, evaluation or flights below it; give --models")
    return found


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command."""
    args = make_parser().parse_args(argv)
    from nav_pkg.report import models  # matplotlib takes a second

    summary = args.summary_dir.expanduser().resolve()
    folder = summary / args.log_tag
    print(models.write(folder, args.log_tag, _models(args.models, folder, summary)).text())
    print(f"{folder / 'report.html'}")
    return 0
