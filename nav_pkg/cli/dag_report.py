"""dag_report: a table, learning curves and a page of the models of a DAG; the DAG's last job."""

from __future__ import annotations

from pathlib import Path
from typing import Optional, Sequence

from nav_pkg.cli import flags
from nav_pkg.data.paths import summary_dir


def make_parser() -> flags.Parser:
    """The parser of dag_report.py."""
    p = flags.Parser(prog="dag_report.py", description=__doc__)
    add = p.add_argument
    add("-t", "--log_tag", type=flags.name, required=True, help="log folder that the models lie in")
    add("--summary_dir", type=Path, default=summary_dir(), help="folder of all logs")
    add("--models", type=flags.name, nargs="+", required=True, help="folders of the models, below the tag's")
    return p


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command."""
    args = make_parser().parse_args(argv)
    from nav_pkg.report import models  # matplotlib takes a second

    folder = args.summary_dir.expanduser().resolve() / args.log_tag
    print(models.write(folder, args.log_tag, args.models).text())
    print(f"{folder / 'report.html'}")
    return 0
