"""dataset.py: look at, verify and repair datasets; prepare them for training."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Iterator, Optional, Sequence

from nav_pkg.cli import dataset_manage, dataset_training
from nav_pkg.config import paths
from nav_pkg.config.parser import Parser
from nav_pkg.core import DataError, UsageError, nearest_name
from nav_pkg.data import files, info, repair, verify, view
from nav_pkg.data.progress import progress
from nav_pkg.data.reader import Dataset, find_datasets, load_dataset

_ABOUT = {
    "info": "Runs, outcomes, classes, colours and size; without a dataset, a list of all.",
    "verify": "Decode every image and compare everything with what was committed; exit code 3 on damage.",
    "repair": "Turn crashed recordings into runs and move damaged ones to quarantine/.",
    "view": "Write a contact sheet or a film with the commands drawn in.",
    "subset": "Make smaller datasets of a dataset's training frames; nested, by hard links.",
    "merge": "Make a dataset of a dataset and further runs to train on, by hard links.",
    "gather": "Make one recording of several whose runs have different numbers: the shards of a session.",
    "stats": "Means, deviations (as flags of main.py) and shares of the classes of the training set.",
    "pack": "Bring a dataset's images to a network's size ahead of training, or check or remove these.",
    "rename": "Give a dataset another name, in its subsets too.",
    "remove": "Remove a dataset, after its name has been typed. Subsets of it keep their files.",
}
_ACTIONS = tuple(_ABOUT)


_OTHERS = {
    "subset": (dataset_training.add_subset_flags, dataset_training.run_subset),
    "merge": (dataset_training.add_merge_flags, dataset_training.run_merge),
    "gather": (dataset_training.add_gather_flags, dataset_training.run_gather),
    "stats": (dataset_training.add_stats_flags, dataset_training.run_stats),
    "pack": (dataset_training.add_pack_flags, dataset_training.run_pack),
    "rename": (dataset_manage.add_rename_flags, dataset_manage.run_rename),
    "remove": (dataset_manage.add_remove_flags, dataset_manage.run_remove),
}


def _parser(action: Optional[str]) -> Parser:
    if action is None:
        lines = [f"  {name:8}{about}" for name, about in _ABOUT.items()]
        parser = Parser(
            prog="dataset.py",
            description=f"{__doc__}\n\nactions:\n" + "\n".join(lines),
            epilog="`dataset.py ACTION --help` explains an action's flags.",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        parser.add_argument("action", choices=_ACTIONS, metavar="ACTION", help="one of the above")
        parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
        return parser
    parser = Parser(prog=f"dataset.py {action}", description=_ABOUT[action])
    more = "; none lists all datasets" if action == "info" else ""
    if action not in ("subset", "gather"):  # which take several
        parser.add_argument(
            "dataset", nargs="?" if more else None, help=f"name under --data_root, or path with / or .{more}"
        )
    parser.add_argument("--data_root", type=Path, default=paths.data_root(), help="folder of all datasets")
    if action == "info":
        parser.add_argument("--images", type=int, default=500, help="images that the colours are taken from")
        parser.add_argument("--random_seed", type=int, default=123, help="chooses these images")
    if action in ("info", "verify"):
        parser.add_argument("--json", action="store_true", help="print JSON")
    if action == "view":
        parser.add_argument("--run", default="", help="name of the run; the first when not given")
        parser.add_argument("--output", type=Path, default=None, help=".jpg, .png, .gif or .mp4")
        parser.add_argument("--frames", type=int, default=24, help="frames of a contact sheet")
        parser.add_argument("--every", type=int, default=1, help="films show every n-th frame")
        parser.add_argument("--depth", action="store_true", help="show depth instead of colours")
    if action in _OTHERS:
        _OTHERS[action][0](parser)
    return parser


def _bar(runs: list) -> Iterator:
    return progress(runs, "runs")


def _info(args: argparse.Namespace) -> int:
    for flag in ("images", "random_seed"):
        if getattr(args, flag) < 0:
            raise UsageError(
                f"dataset.py info: --{flag} {getattr(args, flag)} must not be negative: give 0 or more"
            )
    if args.dataset is None:
        root = args.data_root.expanduser()
        found = find_datasets(root)
        if not found:
            raise DataError(f"{root}: no datasets here; record one, or set --data_root")
        for path in found:
            print(f"{path.relative_to(root).as_posix():40} {len(Dataset(path).runs)} runs")
        return 0
    facts = info.dataset_info(load_dataset(args.dataset, args.data_root), args.images, args.random_seed)
    if args.json:
        print(files.to_json(facts), end="")
    else:
        print(info.as_text(facts))
    if not facts["runs"]:
        raise DataError(f"{facts['path']}: the dataset has no whole runs; record some first")
    return 3 if facts["damaged"] else 0


def _verify(args: argparse.Namespace) -> int:
    report = verify.verify_dataset(load_dataset(args.dataset, args.data_root, check=False), _bar)
    problems = report.all_problems
    if args.json:
        print(json.dumps(json.loads(verify.dump(report)), indent=2))
    else:
        for line in report.notes + [note for item in report.runs for note in item.notes]:
            print(f"note: {line}")
        for line in report.warnings:
            print(f"warning: {line}")
        for line in problems:
            print(f"problem: {line}")
        bad = sum(bool(item.problems) for item in report.runs)
        print(f"{len(report.runs)} runs, {bad} damaged, {len(problems)} problems")
    return DataError.code if problems else 0


def _repair(args: argparse.Namespace) -> int:
    dataset = load_dataset(args.dataset, args.data_root, check=False)
    done = repair.repair_dataset(dataset, _bar)
    for line in done:
        print(line)
    print(f"{len(done)} repairs" if done else "nothing to repair")
    dataset.require_checked()  # an error that only its owner can mend comes last
    if dataset.has_splits:
        dataset.splits()
    return 0


def _view(args: argparse.Namespace) -> int:
    dataset = load_dataset(args.dataset, args.data_root)
    runs = {run.name: run for run in dataset.require_runs()}
    name = args.run or next(iter(runs))
    if name not in runs:
        raise UsageError(f"{dataset.path}: no run {name!r}{nearest_name(name, list(runs))}")
    if args.frames < 1 or args.every < 1:
        raise UsageError("--frames and --every must be at least 1")
    output = args.output or Path(f"{dataset.name}_{name}.jpg")
    view.view(runs[name], output, args.frames, args.every, args.depth)
    print(output)
    return 0


def main(argv: Optional[Sequence[str]] = None) -> int:
    """The command."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ("-h", "--help") or argv[0] not in _ACTIONS:
        if argv and argv[0] not in ("-h", "--help"):
            raise UsageError(f"dataset.py: unknown action {argv[0]!r}{nearest_name(argv[0], list(_ACTIONS))}")
        _parser(None).parse_args(argv)
    args = _parser(argv[0]).parse_args(argv[1:])
    if argv[0] in _OTHERS:
        return _OTHERS[argv[0]][1](args)
    return {"info": _info, "verify": _verify, "repair": _repair, "view": _view}[argv[0]](args)
