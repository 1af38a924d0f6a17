"""What dataset.py does for training: subsets, statistics and packs."""

from __future__ import annotations

import argparse
import time
from collections import Counter

from nav_pkg.config import paths, types
from nav_pkg.config.parser import Parser
from nav_pkg.config.types import network
from nav_pkg.core import DataError, UsageError
from nav_pkg.data import files, pack, statistics, subset
from nav_pkg.data import format as fmt
from nav_pkg.data.gather import Gather
from nav_pkg.data.links import LinkedDataset, make_datasets
from nav_pkg.data.merge import Merge
from nav_pkg.data.progress import Bar, progress, say
from nav_pkg.data.reader import Dataset, Run, load_dataset
from nav_pkg.learn import prechecks


def add_subset_flags(parser: Parser) -> None:
    """The flags of `dataset.py subset`, beside --data_root."""
    add = parser.add_argument
    add("dataset", nargs="+", help="names under --data_root, or paths with / or .")
    add(
        "--frames",
        type=int,
        nargs="+",
        default=None,
        help=f"frames to train on, a subset each; those above what there is are left out; "
        f"none: all of {', '.join(map(str, subset.SIZES))} that "
        "are fewer than there are",
    )
    add(
        "--destination",
        type=types.name,
        default=None,
        help="name of the one subset under --data_root; else beside the dataset, as NAME_10K, NAME_500",
    )
    add("--random_seed", type=int, default=123, help="orders the training runs")
    add("--owr", action="store_true", help="replace subsets that exist")


def run_subset(args: argparse.Namespace) -> int:
    """Make subsets."""
    if args.random_seed < 0:
        raise UsageError(f"dataset.py subset: --random_seed {args.random_seed} must not be negative")
    if args.destination and (len(args.dataset) > 1 or len(args.frames or ()) != 1):
        raise UsageError(
            f"dataset.py subset: --destination {args.destination} names one subset: give one dataset and "
            "one number of --frames with it"
        )
    wanted = []
    impossible = []
    for name in args.dataset:
        dataset = load_dataset(name, args.data_root)
        sizes = args.frames or _usual(dataset)
        there = sum(len(run) for run in dataset.split("train"))
        too_many = [frames for frames in sizes if frames > there]
        if len(too_many) < len(sizes):  # else the first one is the error
            impossible += [(dataset, frames, there) for frames in too_many]
            sizes = [frames for frames in sizes if frames <= there]
        for frames in sizes:
            place = dataset.path.with_name(subset.subset_name(dataset.path.resolve().name, frames))
            if args.destination:
                place = args.data_root.expanduser() / args.destination
            wanted.append(subset.Subset(dataset, frames, place, args.random_seed))
    make_datasets(wanted, args.owr, lambda items: progress(items, "runs"))
    for made in wanted:
        runs = Counter(item.part for item in made.taken)
        cut = "".join(
            f"; {item.run.name} is cut to its first {item.frames} of {len(item.run)} frames"
            for item in made.taken
            if item.frames < len(item.run)
        )
        print(
            f"{made.destination}: train {runs['train']} runs, {made.training_frames} frames; "
            f"val {runs['val']}, test {runs['test']} runs{cut}"
        )
        _warn(made)
    for dataset, frames, there in impossible:
        say(f"not made: --frames {frames}: the training set of {dataset.path} has only {there} frames")
    return 0


def add_merge_flags(parser: Parser) -> None:
    """The flags of `dataset.py merge`, beside --data_root."""
    add = parser.add_argument
    add("--add", nargs="+", required=True, help="datasets whose runs are trained on as well")
    add("--destination", type=types.name, required=True, help="name of the new dataset under --data_root")
    add("--owr", action="store_true", help="replace a dataset that exists")


def run_merge(args: argparse.Namespace) -> int:
    """Make a dataset of a dataset and further runs to train on."""
    base = load_dataset(args.dataset, args.data_root)
    added = [load_dataset(name, args.data_root) for name in args.add]
    merged = Merge(base, added, args.data_root.expanduser() / args.destination)
    make_datasets([merged], args.owr, lambda items: progress(items, "runs"))
    runs = Counter(item.part for item in merged.taken)
    print(
        f"{merged.destination}: train {runs['train']} runs, {merged.training_frames} frames; "
        f"val {runs['val']}, test {runs['test']} runs"
    )
    _warn(merged)
    return 0


def _warn(made: LinkedDataset) -> None:
    for line in made.warnings():
        print(f"warning: {made.destination}: {line}")


def add_gather_flags(parser: Parser) -> None:
    """The flags of `dataset.py gather`, beside the recordings and --data_root."""
    add = parser.add_argument
    add("dataset", nargs="+", help="names under --data_root, or paths with / or .")
    add("--destination", type=types.name, required=True, help="name of the new dataset under --data_root")
    add("--owr", action="store_true", help="replace a dataset that exists")


def run_gather(args: argparse.Namespace) -> int:
    """Make one recording of several."""
    sources = [load_dataset(name, args.data_root) for name in args.dataset]
    gathered = Gather(sources, args.data_root.expanduser() / args.destination)
    make_datasets([gathered], args.owr, lambda items: progress(items, "runs"))
    frames = sum(item.frames for item in gathered.taken)
    print(f"{gathered.destination}: {len(gathered.taken)} runs, {frames} frames")
    return 0


def _usual(dataset: Dataset) -> list[int]:
    there = sum(len(run) for run in dataset.split("train"))
    sizes = [size for size in subset.SIZES if size < there]
    if not sizes:
        raise UsageError(
            f"dataset.py subset: the training set of {dataset.path} has {there} frames, fewer than any usual "
            "subset: give --frames"
        )
    return sizes


def add_stats_flags(parser: Parser) -> None:
    """The flags of `dataset.py stats`, beside the dataset and --data_root."""
    parser.add_argument("--images", type=int, default=2000, help="images that the colours are taken from")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run_stats(args: argparse.Namespace) -> int:
    """Print means, deviations and shares of the classes."""
    if args.images < 1:
        raise UsageError(f"dataset.py stats: --images {args.images} must be 1 or more")
    found = statistics.dataset_statistics(load_dataset(args.dataset, args.data_root), args.images)
    print(files.to_json(found) if args.json else statistics.as_text(found) + "\n", end="")
    return 0


def add_pack_flags(parser: Parser) -> None:
    """The flags of `dataset.py pack`, beside the dataset and --data_root."""
    parser.add_argument(
        "--network", default="tiny_net", type=network, help="the network whose input size is packed for"
    )
    parser.add_argument(
        "--recovery_cameras",
        action="store_true",
        help="those of recovery cameras too, of the training runs, for main.py --recovery_compensation",
    )
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--verify", action="store_true", help="compare all images and packs; exit code 3 on damage"
    )
    group.add_argument("--remove", action="store_true", help="remove the packs")


def run_pack(args: argparse.Namespace) -> int:
    """Make, compare or remove the packs of a dataset's runs."""
    dataset = load_dataset(args.dataset, args.data_root)
    runs = _packed_runs(dataset)
    prechecks.network(args.network)
    from nav_pkg import nets  # torch takes seconds

    size = nets.spec(nets.canonical(args.network)).input_size
    what = f"images of {size[0]}x{size[1]}"
    groups = _cameras(dataset, runs, args.recovery_cameras)
    if args.remove:
        removed = [pack.remove_packs(some, size, camera=camera) for camera, some in groups]
        count, size_bytes = (sum(numbers) for numbers in zip(*removed))
        print(f"{count} packs of {what} removed, {size_bytes / 1e6:,.1f} MB")
        return 0
    frames = sum(len(run) for _, some in groups for run in some)
    start = time.monotonic()
    if args.verify:
        problems = [line for camera, some in groups for line in pack.verify_packs(some, size, camera=camera)]
        for line in problems:
            print(f"problem: {line}")
        taken = time.monotonic() - start
        print(f"{len(runs)} runs, {frames} {what} compared in {taken:.1f} s, {len(problems)} problems")
        return DataError.code if problems else 0
    done: Counter = Counter()

    class Counting(Bar):
        """A bar that keeps count for the summary."""

        def add(self, count: int) -> None:
            done[self.unit] += count
            super().add(count)

    packs = [
        item for camera, some in groups for item in pack.open_packs(some, size, bar=Counting, camera=camera)
    ]
    taken = time.monotonic() - start
    total = sum({item.path: item.images.nbytes for item in packs}.values())
    made = done["images packed"]
    speed = f"{made} were packed in {taken:.1f} s, {made / taken:.0f} images/s" if made else "all are there"
    print(f"{len(runs)} runs, {frames} {what}, {total / 1e6:,.1f} MB in {paths.cache_dir()}: {speed}")
    return 0


def _cameras(dataset: Dataset, runs: list[Run], recovery: bool) -> list[tuple[str, list[Run]]]:
    """Whose images are packed: cameras (the first one is the empty name) and the runs that have them."""
    groups: list[tuple[str, list[Run]]] = [("", runs)]
    if not recovery:
        return groups
    learned = dataset.split("train") if dataset.has_splits else runs
    for camera in fmt.SIDE_CAMERAS:
        some = [run for run in learned if camera in run.side_cameras]
        if some:
            groups.append((camera, some))
    if len(groups) == 1:
        raise DataError(f"{dataset.path}: no training run has recovery cameras; leave --recovery_cameras out")
    return groups


def _packed_runs(dataset: Dataset) -> list[Run]:
    """What training reads: the runs of all parts; all runs of a dataset without parts."""
    if not dataset.has_splits:
        return dataset.require_runs()
    return [run for runs in dataset.splits().values() for run in runs]
