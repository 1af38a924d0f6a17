"""Generate the regions of launch files and docs that follow from the settings: `make docs`.

A region is between the lines `<!-- generated: NAME -->` and `<!-- end -->`, in XML and in Markdown. A test
checks that each region matches the declarations. All other lines stay unchanged.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Optional, Set
from xml.etree import ElementTree

from nav_pkg.config import cluster, dataset, reports, simulator
from nav_pkg.config.checkpoints import ExportConfig, PlaybackConfig, PretrainedConfig
from nav_pkg.config.cleaning import CleaningConfig
from nav_pkg.config.cluster import ClusterConfig
from nav_pkg.config.demo import DemoConfig
from nav_pkg.config.details import DetailsConfig
from nav_pkg.config.evaluation import DaggerConfig, EvaluationConfig
from nav_pkg.config.flight import FlightConfig
from nav_pkg.config.gym import GymConfig
from nav_pkg.config.launch_files import (
    LAUNCH_FILES,
    flight_arguments,
    flight_parameters,
    launch_value,
)
from nav_pkg.config.learner import LearnerConfig
from nav_pkg.config.session import SessionConfig
from nav_pkg.config.setting import Declared, declared
from nav_pkg.config.study import StudyConfig
from nav_pkg.core import ROOT

FILES = (
    "launch/graph.launch",
    *(f"launch/{name}" for name in LAUNCH_FILES),
    "docs/reference/flags.md",
    "docs/reference/ros.md",
    "docs/gymnasium.md",
    "docs/architecture.md",
)
REGION = re.compile(r"^(.*<!-- generated: (.+?) -->\n)(?:.*\n)*?(.*<!-- end -->\n)", re.MULTILINE)
EFFECTS = {
    "training": " (offline only)",
    "online": " (learning in flight only)",
    "flight": " (flight only)",
}


def flag_tables(config: type, users: Optional[Callable[[Declared], str]] = None) -> List[str]:
    """Tables of a configuration's flags, one for each group, under headings where there are several.

    Args:
        config: the configuration.
        users: who uses a setting, for a column of its own.
    """
    groups: Dict[str, List[Declared]] = {}
    for each in declared(config).values():
        groups.setdefault(each.group, []).append(each)
    lines: List[str] = []
    for group, members in groups.items():
        lines += [f"### {group}", ""] if len(groups) > 1 else []
        columns = ["flag", "default", *(["used by"] if users else []), "meaning"]
        lines += [_row(*columns), f"|{'---|' * len(columns)}"]
        lines += [_flag_row(each, [users(each)] if users else []) for each in members] + [""]
    return ["", *lines]


def other_tables() -> List[str]:
    """The flags of the commands without a section of their own, a table each."""
    lines = [""]
    for command, config in OTHER_COMMANDS.items():
        rows = [_flag_row(each, []) for each in declared(config).values()]
        lines += [f"### `{command}`", "", _row("flag", "default", "meaning"), "|---|---|---|", *rows, ""]
    return lines


def used_by(each: Declared) -> str:
    """The cluster's commands that use a setting, in short."""
    names = cluster.users(each)
    if names == cluster.ALL:
        return "all"
    return ", ".join(name.replace("dag_", "").replace(".py", "") for name in names)


def _flag_row(each: Declared, more: List[str]) -> str:
    about = each.about
    spellings = (each.key,) if about.positional else (each.flag, about.short, about.alias)
    names = ", ".join(f"`{name}`" for name in spellings if name)
    default = (
        "the robot's own" if about.of_robot else "must be given" if about.required else _shown(each.default)
    )
    text = about.help + (": " + ", ".join(f"`{choice}`" for choice in about.choices) if about.choices else "")
    return _row(names, default, *more, text + EFFECTS.get(about.effect, ""))


def _shown(value: Any) -> str:
    if value is None or value is False or isinstance(value, Path):
        return ""
    if isinstance(value, tuple):
        return " ".join(map(_shown, value))
    return f"{value:g}" if isinstance(value, float) else str(value) or "`''`"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def parameter_table() -> List[str]:
    """The same parameters as a table."""
    lines = ["| parameter | default | meaning |", "|---|---|---|"]
    for each in declared(FlightConfig).values():
        default = f"`{launch_value(each.default)}`" if each.default != "" else "empty"
        lines.append(_row(f"`~{each.key}`", default, each.about.help))
    return lines


def argument_table() -> List[str]:
    """The arguments of the Gymnasium environment as a table."""
    lines = ["| argument | default | meaning |", "|---|---|---|"]
    for each in declared(GymConfig).values():
        row = _flag_row(each, [])
        lines.append(
            row.replace(f"`{each.flag}`", f"`{each.key}`", 1).replace(f", `{each.about.short}`", "", 1)
        )
    return lines


def launch_table(name: str) -> List[str]:
    """The arguments of a launch file as a table."""
    lines = ["| argument | default | meaning |", "|---|---|---|"]
    for arg in ElementTree.parse(ROOT / "launch" / name).getroot().findall("arg"):
        if arg.get("value") is None:
            default = arg.get("default")
            shown = "must be given" if default is None else f"`{default}`" if default else "empty"
            lines.append(_row(f"`{arg.get('name')}`", shown, arg.get("doc", "")))
    return lines


def imports() -> List[str]:
    """A table of nav_pkg's packages, lowest first, each with those that it imports."""
    imports_of: Dict[str, Set[str]] = {}
    for file in sorted((ROOT / "nav_pkg").rglob("*.py")):
        package = file.relative_to(ROOT / "nav_pkg").parts[0].replace(".py", "")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if names == ["nav_pkg"] and isinstance(node, ast.ImportFrom):
                names = [f"nav_pkg.{alias.name}" for alias in node.names]
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            others = {name.split(".")[1] for name in names if name.startswith("nav_pkg.")}
            imports_of.setdefault(package, set()).update(others - {package})
    packages = {
        package: others
        for package, others in imports_of.items()
        if not package.startswith("__") and package != "start"
    }
    ordered: List[str] = []
    while len(ordered) < len(packages):
        left = [package for package in packages if package not in ordered]
        ready = sorted(package for package in left if packages[package] & {*left} == set())
        if not ready:
            raise ValueError(f"packages import each other: {', '.join(sorted(left))}")
        ordered.append(min(ready, key=lambda package: (len(packages[package]), package)))
    lines = ["| package | imports |", "|---|---|"]
    for package in ordered:
        imported = [other for other in ordered if other in packages[package]]
        lines.append(
            _row(f"`{package}`", ", ".join(f"`{other}`" for other in imported) or "nothing of nav_pkg")
        )
    return lines


OTHER_COMMANDS: Dict[str, type] = {
    "demo.py": DemoConfig,
    "clean_dataset.py": CleaningConfig,
    "dataset.py info": dataset.InfoConfig,
    "dataset.py verify": dataset.VerifyConfig,
    "dataset.py view": dataset.ViewConfig,
    "dataset.py subset": dataset.SubsetConfig,
    "dataset.py merge": dataset.MergeConfig,
    "dataset.py gather": dataset.GatherConfig,
    "dataset.py convert": dataset.ConvertConfig,
    "dataset.py stats": dataset.StatsConfig,
    "dataset.py pack": dataset.PackConfig,
    "dataset.py rename": dataset.RenameConfig,
    "dataset.py remove": dataset.RemoveConfig,
    "bag_to_dataset.py": dataset.BagConfig,
    "playback.py": PlaybackConfig,
    "pretrained.py": PretrainedConfig,
    "network_details.py": DetailsConfig,
    "study.py": StudyConfig,
    "combine_results.py": reports.CombineConfig,
    "results.py": reports.ResultsConfig,
    "dag_report.py": reports.DagReportConfig,
    "serve.py": reports.ServeConfig,
    "simulator.py": simulator.SimulatorConfig,
    "make_world.py": simulator.MakeWorldConfig,
    "attach.py": simulator.AttachConfig,
    "pool.py start": cluster.PoolStartConfig,
    "pool.py stop": cluster.PoolStopConfig,
}

REGIONS: Dict[str, Callable[[], Iterable[str]]] = {
    "imports": imports,
    "flags of main.py": lambda: flag_tables(LearnerConfig),
    "flags of run_script.py": lambda: flag_tables(SessionConfig),
    "flags of dag_*.py": lambda: flag_tables(ClusterConfig, used_by),
    "flags of evaluate.py": lambda: flag_tables(EvaluationConfig),
    "flags of dagger.py": lambda: flag_tables(DaggerConfig),
    "flags of export.py": lambda: flag_tables(ExportConfig),
    "flags of the other commands": other_tables,
    "environment arguments": argument_table,
    "flight arguments": flight_arguments,
    "flight parameters": flight_parameters,
    "flight parameters of the supervisor": parameter_table,
}

LAUNCH_REGIONS: Dict[str, Callable[[str], Iterable[str]]] = {
    "arguments": launch_table,
    "settings": lambda file: LAUNCH_FILES[file].lines(),
}
"""Regions of a launch file's name."""


def filled(text: str) -> str:
    """A file's text with its regions as they have to be."""

    def fill(match: re.Match[str]) -> str:
        begin, name, end = match.groups()
        subject, _, file = name.rpartition(" of ")
        lines = LAUNCH_REGIONS[subject](file) if subject in LAUNCH_REGIONS else REGIONS[name]()
        return begin + "".join(f"{line}\n" for line in lines) + end

    return REGION.sub(fill, text)


def main() -> None:
    """Write the regions of all files."""
    for name in FILES:  # launch files first: tables in the docs follow from them
        file = ROOT / name
        before = file.read_text(encoding="utf-8")
        after = filled(before)
        if after != before:
            file.write_text(after, encoding="utf-8")
            print(f"{name}: written")


if __name__ == "__main__":
    main()
