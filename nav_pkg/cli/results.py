"""Tabulate finished trainings over seeds, rank them, or compare two of them (also two sets of flights).

Examples:
    results.py table vgg16_net --metrics val_accuracy test_accuracy --sort test_accuracy
    results.py rank tiny --metrics test_accuracy
    results.py compare tiny/ref tiny/shifted
    results.py compare evaluation:seed_123 evaluation:seed_456 --flights
"""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

from nav_pkg.config.parser import Parser
from nav_pkg.config.paths import summary_dir
from nav_pkg.core import UsageError
from nav_pkg.data.files import atomic_write

DEFAULT = (
    "val_accuracy",
    "val_imitation_loss",
    "test_accuracy",
    "test_balanced_accuracy",
    "test_imitation_loss",
)
FORMATS = ("text", "markdown", "csv", "latex")


def make_parser() -> Parser:
    """Make the parser of results.py."""
    p = Parser(prog="results.py", description=__doc__)
    add = p.add_argument
    add("action", choices=("table", "rank", "compare"), help="kind of result")
    add("log_folders", nargs="*", metavar="FOLDER", help="log folders; compare needs two (default: all logs)")
    add("--summary_dir", type=Path, default=summary_dir(), help="folder of all logs")
    add(
        "--metrics",
        nargs="+",
        default=list(DEFAULT),
        metavar="METRIC",
        help="scores of results.json; rank uses the first",
    )
    add("--sort", metavar="METRIC", help="sort the table by this score, the best first")
    add(
        "--flights",
        action="store_true",
        help="compare flights; FOLDER:CHECKPOINT chooses one checkpoint of an evaluation",
    )
    add("--format", choices=FORMATS, default="text", help="format of the table")
    add("--output", type=Path, help="write the table to this file instead of printing it")
    return p


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command."""
    args = make_parser().parse_args(argv)
    from nav_pkg.report import trainings

    root = args.summary_dir.expanduser()
    for metric in [*args.metrics, *([args.sort] if args.sort else [])]:
        trainings.check_metric(metric)
    if args.action == "compare":
        if len(args.log_folders) != 2:
            raise UsageError(f"results.py compare: {len(args.log_folders)} folders given: give two")
        if args.flights:
            one, other = (trainings.read_flights(*_flown(root, word)) for word in args.log_folders)
            table = trainings.compare_flights(one, other)
        else:
            first, second = (_one(trainings.find_trainings(root / word), word) for word in args.log_folders)
            table = trainings.compare_trainings(first, second, args.metrics)
    else:
        if args.flights:
            raise UsageError("results.py: --flights has an effect only with compare")
        groups: Dict[str, List[trainings.Training]] = {}
        for word in args.log_folders or ["."]:
            found = trainings.find_trainings(root / word)
            several = len(args.log_folders) > 1
            groups.update(
                {
                    f"{word}/{name}" if several and name != Path(word).name else name: runs
                    for name, runs in found.items()
                }
            )
        if args.action == "rank":
            table = trainings.ranking(groups, args.metrics[0])
        else:
            table = trainings.table(groups, args.metrics, args.sort)
    text = getattr(table, args.format)().rstrip("\n")
    if args.output is None:
        print(text)
    else:
        atomic_write(args.output, f"{text}\n", "--output")
        print(args.output)
    return 0


def _one(groups: Dict[str, List], word: str) -> List:
    if len(groups) > 1:
        raise UsageError(
            f"results.py compare: {word} holds {len(groups)} trainings ({', '.join(groups)}): name one"
        )
    return next(iter(groups.values()))


def _flown(root: Path, word: str) -> Tuple[Path, Optional[str]]:
    folder, _, checkpoint = word.partition(":")
    return root / folder, checkpoint or None
