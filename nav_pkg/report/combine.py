"""Learning curves of several trainings in one figure and one table, over seeds."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from nav_pkg.config.reports import CombineConfig
from nav_pkg.core import DataError, UsageError
from nav_pkg.data.files import atomic_write, disk_error
from nav_pkg.report import style
from nav_pkg.report.curves import RESULTS_FILE, read_results
from nav_pkg.report.scalars import Curve, is_training, lower_is_better, read_curves, score_of
from nav_pkg.report.tables import Column, Table

MAX_POINTS = 2000
"""Maximum number of drawn points of a curve: more than a figure has pixels."""
MARKERS = "os^Dv"
MAX_INNER_LEGEND = 4
"""With more curves than this, the legend is beside the axes, where it hides no curve."""
DASHES = ("-", "--", "-.", ":")

SEED_FOLDER = re.compile(r"(?:seed_)?([0-9]+)\Z")
"""Name of a seed's log folder: `seed_123`, or a number as in the predecessor."""


def find_members(folder: Path) -> List[Path]:
    """Find the trainings that an entry of `--log_folders` names.

    Args:
        folder: the log folder of a training; or a folder with one log folder per seed (`seed_123`, or `0`,
            `1` as in the predecessor); or an index into such a folder (`2`: the third seed, smallest first).

    Returns:
        Their log folders, by seed.

    Raises:
        DataError: no training found.
    """
    if is_training(folder):
        return [folder]
    below = _by_number(folder)
    if below:
        return below
    number = SEED_FOLDER.match(folder.name)
    beside = _by_number(folder.parent) if number and not folder.exists() else []
    if number and int(number.group(1)) < len(beside):
        return [beside[int(number.group(1))]]
    if beside:
        raise DataError(
            f"{folder}: {folder.parent} holds {len(beside)} trainings, numbers 0 to {len(beside) - 1}"
        )
    if not folder.is_dir():
        raise DataError(f"{folder}: no such log folder; see --mother_dir and --log_folders")
    raise DataError(
        f"{folder}: holds no training (metrics.jsonl or event files), nor folders seed_N of trainings"
    )


def _by_number(folder: Path) -> List[Path]:
    if not folder.is_dir():
        return []
    trainings = [
        (int(number.group(1)), path)
        for path in folder.iterdir()
        for number in [SEED_FOLDER.match(path.name)]
        if number and path.is_dir() and is_training(path)
    ]
    return [path for _, path in sorted(trainings)]


@dataclass(frozen=True)
class Group:
    """The trainings of one curve of the figure, which differ only in their seed.

    Attributes:
        name: in the legend.
        folders: their log folders.
        curves: their curves of one scalar, in the same order.
    """

    name: str
    folders: Tuple[Path, ...]
    curves: Tuple[Curve, ...]

    def cut(self, steps: int) -> Group:
        """Return the group, cut after a number of gradient steps."""
        curves = tuple(
            Curve(curve.steps[kept], curve.values[kept], curve.notes)
            for curve in self.curves
            for kept in [curve.steps <= steps]
        )
        empty = next((folder for folder, curve in zip(self.folders, curves) if not len(curve.steps)), None)
        if empty is not None:
            raise UsageError(f"--cutend {steps}: {empty} has no point up to that gradient step")
        return Group(self.name, self.folders, curves)

    def band(self) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean and standard deviation over seeds.

        Returns:
            The gradient steps that all curves span, float64 (n,); the means (n,); the sample standard
            deviations (n,), 0 for one seed. Curves are interpolated linearly.
        """
        first = max(int(curve.steps[0]) for curve in self.curves)
        last = min(int(curve.steps[-1]) for curve in self.curves)
        steps = np.unique(np.concatenate([curve.steps for curve in self.curves]))
        steps = steps[(steps >= first) & (steps <= last)]
        values = np.stack([np.interp(steps, curve.steps, curve.values) for curve in self.curves])
        spread = values.std(axis=0, ddof=1) if len(values) > 1 else np.zeros(len(steps))
        return steps, values.mean(axis=0), spread


def read_groups(trainings: Mapping[str, Sequence[Path]], tag: str) -> List[Group]:
    """Read the curves of a scalar; `trainings` maps each group to its log folders."""
    curves = iter(read_curves([folder for folders in trainings.values() for folder in folders], tag))
    return [
        Group(name, tuple(folders), tuple(next(curves) for _ in folders))
        for name, folders in trainings.items()
    ]


def notes_of(groups: Sequence[Group]) -> List[str]:
    """Notes for readers of the figure: single seeds, different lengths, missing points and scores."""
    notes = []
    for group in groups:
        notes += [note for curve in group.curves for note in curve.notes]
        errors = [error for _, error in map(_test_accuracy, group.folders) if error]
        notes += [f"no test accuracy: {error}" for error in errors]
        ends = [int(curve.steps[-1]) for curve in group.curves]
        if len(ends) == 1:
            notes.append(f"{group.name}: one seed, so no band")
        elif min(ends) < max(ends):
            notes.append(
                f"{group.name}: its seeds end after {min(ends)} to {max(ends)} gradient steps; "
                "the mean ends with the first of them"
            )
    return notes


def combined_table(groups: Sequence[Group], tag: str) -> Table:
    """Make one row per group: mean and sample standard deviation over seeds.

    `best` is the largest value of a curve (the smallest of a loss). `area` is the area under the curve
    divided by the number of steps that it spans, i.e. the mean value during training.
    """
    columns = (
        Column("name", "trainings"),
        Column("seeds", "seeds", 0),
        Column("steps", "gradient steps", 0),
        *(Column(key, key) for key in ("final", "best", "area")),
        Column("test", "test accuracy"),
    )
    rows = []
    for group in groups:
        best = np.min if lower_is_better(tag) else np.max
        tests = [accuracy for accuracy, _ in map(_test_accuracy, group.folders)]
        rows.append(
            {
                "name": group.name,
                "seeds": len(group.curves),
                "steps": min(int(curve.steps[-1]) for curve in group.curves),
                "final": mean_std([curve.values[-1] for curve in group.curves]),
                "best": mean_std([best(curve.values) for curve in group.curves]),
                "area": mean_std([area(curve) for curve in group.curves]),
                "test": mean_std([value for value in tests if value is not None])
                if None not in tests
                else None,
            }
        )
    return Table(columns, rows)


def area(curve: Curve) -> float:
    """The area under a curve (trapezoids), divided by the number of steps that it spans."""
    if len(curve.steps) == 1:
        return float(curve.values[0])
    widths = np.diff(curve.steps)
    return float(((curve.values[1:] + curve.values[:-1]) / 2 * widths).sum() / widths.sum())


def mean_std(values: Sequence[float], digits: int = 4) -> str:
    """Format mean and standard deviation: `0.8942 ± 0.0031`; a single value without deviation."""
    mean = f"{float(np.mean(values)):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {float(np.std(values, ddof=1)):.{digits}f}"


def _test_accuracy(folder: Path) -> Tuple[Optional[float], str]:
    """The test accuracy of a training (None if unknown), and the error if results.json cannot be read."""
    try:
        results = read_results(folder) if (folder / RESULTS_FILE).exists() else {}
    except DataError as error:
        return None, str(error)
    return (results.get("test") or {}).get("accuracy"), ""


def _thinned(points: np.ndarray, subsample: int) -> np.ndarray:
    """Every `subsample`-th point and the last one, but not more than DRAWN."""
    every = max(subsample, -(-len(points) // MAX_POINTS))
    kept = points[::every]
    return kept if not len(points) or (len(points) - 1) % every == 0 else np.concatenate([kept, points[-1:]])


def drawn_points(group: Group, subsample: int = 1, each: bool = False) -> List[Dict[str, Any]]:
    """The drawn points of a group's curves: rows of name, seed, step, value, deviation."""
    rows: List[Dict[str, Any]] = []
    if each:
        for folder, curve in zip(group.folders, group.curves):
            points = _thinned(np.column_stack([curve.steps, curve.values]), subsample)
            rows += [
                {"name": group.name, "seed": folder.name, "step": int(s), "value": v, "deviation": 0.0}
                for s, v in points.tolist()
            ]
        return rows
    points = _thinned(np.column_stack(group.band()), subsample)
    return [
        {"name": group.name, "seed": "", "step": int(step), "value": value, "deviation": deviation}
        for step, value, deviation in points.tolist()
    ]


def combined_csv(rows: Sequence[Dict[str, Any]]) -> str:
    """The data of the figure as CSV."""
    out = io.StringIO()
    writer = csv.DictWriter(out, ["name", "seed", "step", "value", "deviation"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


@style.styled
def combined_figure(rows: Sequence[Dict[str, Any]], tag: str, title: str) -> Any:
    """Draw the curves, with a band of one standard deviation over seeds where a group has several.

    Groups differ in colour, dashes and marker: print and any colour vision can tell them apart.
    """
    figure, axes = style.new_figure(8.0, 4.6)
    names = list(dict.fromkeys(row["name"] for row in rows))
    colours = (style.BLUE, style.ORANGE, style.GREEN, style.RED, style.PINK, style.SKY, style.INK)
    percent = (score_of(tag) or ("", ""))[1].endswith("accuracy")
    scale = 100.0 if percent else 1.0
    for number, name in enumerate(names):
        group_rows = [row for row in rows if row["name"] == name]
        label: Optional[str] = name
        for seed in dict.fromkeys(row["seed"] for row in group_rows):
            steps, values, spread = (
                np.array([row[key] for row in group_rows if row["seed"] == seed], float)
                for key in ("step", "value", "deviation")
            )
            look = {
                "color": colours[number % len(colours)],
                "linestyle": DASHES[number // len(colours) % len(DASHES)],
            }
            if len(names) > 1 or len(steps) < 3:
                look.update(
                    marker=MARKERS[number % len(MARKERS)], markersize=4, markevery=max(1, len(steps) // 12)
                )
            axes.plot(steps, scale * values, label=label, **look)
            if spread.any():
                axes.fill_between(
                    steps,
                    scale * (values - spread),
                    scale * (values + spread),
                    color=look["color"],
                    alpha=0.18,
                    linewidth=0,
                )
            label = None
    axes.set_xlabel("gradient steps")
    axes.set_ylabel(_axis(tag) + (" [%]" if percent else ""))
    if title:
        axes.set_title(title)
    if len(names) > 1 or names != [""]:
        beside = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0)} if len(names) > MAX_INNER_LEGEND else {}
        axes.legend(ncols=1 + (len(names) - 1) // 12, **beside)
    return figure


def _axis(tag: str) -> str:
    score = score_of(tag)
    if score is None:
        return tag
    part = {"val": "validation", "train": "training", "test": "test"}[score[0]]
    return f"{part} {score[1].replace('_', ' ')}"


def write(
    tag: str,
    trainings: Dict[str, List[Path]],
    stem: Path,
    title: str = "",
    subsample: int = 1,
    cutend: int = -1,
    each: bool = False,
) -> str:
    """Write the figure of a scalar as PNG and SVG, its data as CSV, and the table as Markdown.

    Args:
        tag: the scalar.
        trainings: name of a group -> its log folders.
        stem: path of the files without suffix; its folder is created if missing.
        title: of the figure.
        subsample: draw every n-th point.
        cutend: last gradient step of the curves; -1 for no limit.
        each: draw each seed instead of their mean.

    Returns:
        The table, the notes and the paths of the files, as text.

    Raises:
        DataError: a training has no such scalar, or a file cannot be written.
        UsageError: a curve has no point up to `cutend`.
    """
    groups = read_groups(trainings, tag)
    if cutend >= 0:
        groups = [group.cut(cutend) for group in groups]
    rows = [row for group in groups for row in drawn_points(group, subsample, each)]
    table, notes = combined_table(groups, tag), notes_of(groups)
    figure = combined_figure(rows, tag, title)
    markdown = f"{table.markdown()}\n" + "".join(f"\n{note}.\n" for note in notes)
    try:
        stem.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(stem.parent, error, "--blog_destination") from error
    files = {
        ".png": style.png(figure),
        ".svg": style.svg(figure),
        ".csv": combined_csv(rows).encode(),
        ".md": markdown.encode(),
    }
    for suffix, data in files.items():
        atomic_write(stem.with_name(stem.name + suffix), data, "--blog_destination")
    places = f"{stem}{{{','.join(files)}}}"
    return "\n".join([tag, table.text(), *(f"note: {note}" for note in notes), places])


def write_all(config: CombineConfig) -> Iterator[str]:
    """Write the files of each scalar that the flags ask for, and say what `write` says.

    Raises:
        UsageError: names that do not fit the folders, or a flag's value can't be.
        DataError: a folder holds no training, or no such scalar.
    """
    names = config.legend_names or config.log_folders
    if len(names) != len(config.log_folders):
        raise UsageError(
            f"{len(names)} --legend_names for {len(config.log_folders)} --log_folders: give one each"
        )
    if len(set(names)) < len(names):
        twice = next(name for name in names if list(names).count(name) > 1)
        raise UsageError(
            f"--legend_names or --log_folders has {twice!r} twice: give each curve a name of its own"
        )
    if config.cutend < -1:
        raise UsageError(f"--cutend {config.cutend}: give a gradient step, or -1 for all")
    mother = config.mother_dir.expanduser()
    trainings = {name: find_members(mother / folder) for name, folder in zip(names, config.log_folders)}
    for tag in config.tags:
        name = "_".join(filter(None, [config.title, tag if len(config.tags) > 1 or not config.title else ""]))
        stem = (config.blog_destination or mother / "combined") / re.sub(r"[^A-Za-z0-9_.-]+", "_", name)
        look = {"subsample": config.subsample, "cutend": config.cutend, "each": config.seeds == "all"}
        yield write(tag, trainings, stem, config.title, **look)
