"""The settings of the commands that show results: results, combine_results, dag_report, serve (.py)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Tuple

from nav_pkg.config import types
from nav_pkg.config.paths import summary_dir
from nav_pkg.config.session import PlaceConfig
from nav_pkg.config.setting import setting, shared
from nav_pkg.config.types import integer

METRICS = (
    "val_accuracy",
    "val_imitation_loss",
    "test_accuracy",
    "test_balanced_accuracy",
    "test_imitation_loss",
)
"""Scores of results.json that a table shows unless others are chosen."""


@dataclass(frozen=True)
class ResultsConfig:
    """Results."""

    action: str = setting("", "kind of result", str, positional=True, choices=("table", "rank", "compare"))
    log_folders: Tuple[str, ...] = setting(
        (),
        "log folders; compare needs two (default: all logs)",
        str,
        positional=True,
        nargs="*",
        metavar="FOLDER",
    )
    summary_dir: Path = setting(summary_dir, "folder of all logs", Path)
    metrics: Tuple[str, ...] = setting(
        METRICS, "scores of results.json; rank uses the first", str, nargs="+", metavar="METRIC"
    )
    sort: Optional[str] = setting(None, "sort the table by this score, the best first", str, metavar="METRIC")
    flights: bool = setting(
        False, "compare flights; FOLDER:CHECKPOINT chooses one checkpoint of an evaluation"
    )
    format: str = setting("text", "format of the table", str, choices=("text", "markdown", "csv", "latex"))
    output: Optional[Path] = setting(None, "write the table to this file instead of printing it", Path)


@dataclass(frozen=True)
class CombineConfig:
    """Learning curves."""

    log_folders: Tuple[str, ...] = setting(
        (),
        "log folders of trainings, or folders that hold one training per seed (seed_N)",
        str,
        nargs="+",
        required=True,
        metavar="FOLDER",
    )
    legend_names: Optional[Tuple[str, ...]] = setting(
        None, "name of each curve (default: its folder)", str, nargs="+", metavar="NAME"
    )
    mother_dir: Path = setting(summary_dir, "folder of the --log_folders", Path)
    tags: Tuple[str, ...] = setting(
        ("Loss_val_accuracy",),
        "TensorBoard names of the scalars to plot, one figure each",
        str,
        nargs="+",
        metavar="TAG",
    )
    subsample: int = setting(1, "draw every n-th point; the table uses all points", integer(1, 10**9))
    cutend: int = setting(-1, "gradient step at which the curves are cut; -1: no cut", int)
    seeds: str = setting(
        "mean",
        "mean: one curve with a band of one standard deviation; all: one curve per seed",
        str,
        choices=("mean", "all"),
    )
    title: str = setting("", "title of the figure, and the name of its files", str)
    blog_destination: Optional[Path] = setting(
        None, "folder for the files (default: combined/ in --mother_dir)", Path
    )
    headless: bool = setting(
        False, "has no effect: no window is ever opened (published command lines contain this flag)"
    )


@dataclass(frozen=True)
class DagReportConfig:
    """Report."""

    log_tag: str = setting("", "log folder for the report", types.name, short="-t", required=True)
    summary_dir: Path = shared(PlaceConfig, "summary_dir")
    models: Tuple[str, ...] = setting(
        (),
        "log folders of trainings, evaluations or flights: names below the tag's folder or "
        "below --summary_dir, or paths (default: all trainings below the tag's folder; if "
        "there are none, its evaluations or flights)",
        str,
        nargs="+",
    )


@dataclass(frozen=True)
class ServeConfig:
    """Page."""

    port: int = setting(8080, "port on 127.0.0.1; 0: any free port", integer(0, 65535))
    summary_dir: Path = shared(PlaceConfig, "summary_dir")
    data_root: Path = shared(PlaceConfig, "data_root")
    export: Optional[Path] = setting(None, "write the pages as files into this folder and exit", Path)
