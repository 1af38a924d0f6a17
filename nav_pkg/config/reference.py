"""Writes what follows from the settings into launch files and docs: `make docs`.

A region stands between the lines `<!-- generated: NAME -->` and `<!-- end -->`, in XML as in Markdown; a test
holds that each says what is declared. All other lines are left alone.
"""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

from nav_pkg.config.flight import FlightConfig
from nav_pkg.config.learner import LearnerConfig
from nav_pkg.config.session import SessionConfig
from nav_pkg.config.setting import Declared, declared
from nav_pkg.core import ROOT

FILES = ("launch/graph.launch", "docs/command_line.md", "docs/ros_interface.md")
REGION = re.compile(r"^(.*<!-- generated: (.+?) -->\n)(?:.*\n)*?(.*<!-- end -->\n)", re.MULTILINE)
EFFECTS = {
    "training": " (offline only)",
    "online": " (learning in flight only)",
    "flight": " (flight only)",
}


def flag_tables(config: type) -> List[str]:
    """Tables of a configuration's flags, one for each group, under headings."""
    groups: Dict[str, List[Declared]] = {}
    for each in declared(config).values():
        groups.setdefault(each.group, []).append(each)
    lines: List[str] = []
    for group, members in groups.items():
        lines += [f"### {group}", "", "| flag | default | meaning |", "|---|---|---|"]
        lines += [*map(_flag_row, members), ""]
    return ["", *lines]


def _flag_row(each: Declared) -> str:
    about = each.about
    names = ", ".join(f"`{name}`" for name in (each.flag, about.short) if name)
    default = "the robot's own" if about.of_robot else _shown(each.default)
    text = about.help + (": " + ", ".join(f"`{choice}`" for choice in about.choices) if about.choices else "")
    return _row(names, default, text + EFFECTS.get(about.effect, ""))


def _shown(value: Any) -> str:
    if value is None or value is False or isinstance(value, Path):
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value) or "`''`"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def launch_value(value: Any) -> str:
    """A default as roslaunch writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def flight_arguments() -> List[str]:
    """The arguments of graph.launch that are settings of a flight."""
    return [
        f"  <arg name={quoteattr(each.key)} default={quoteattr(launch_value(each.default))} "
        f"doc={quoteattr(each.about.help)}/>"
        for each in declared(FlightConfig).values()
    ]


def flight_parameters() -> List[str]:
    """The supervisor's parameters that are settings of a flight, as graph.launch sets them."""
    texts = {field.name for field in fields(FlightConfig) if field.type in (str, "str")}
    quote = {True: '"', False: ""}
    return [
        f"      {key}: {quote[key in texts]}$(arg {key}){quote[key in texts]}"
        for key in declared(FlightConfig)
    ]


def parameter_table() -> List[str]:
    """The same parameters as a table."""
    lines = ["| parameter | default | meaning |", "|---|---|---|"]
    for each in declared(FlightConfig).values():
        default = f"`{launch_value(each.default)}`" if each.default != "" else "empty"
        lines.append(_row(f"`~{each.key}`", default, each.about.help))
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


REGIONS: Dict[str, Callable[[], Iterable[str]]] = {
    "flags of main.py": lambda: flag_tables(LearnerConfig),
    "flags of run_script.py": lambda: flag_tables(SessionConfig),
    "flight arguments": flight_arguments,
    "flight parameters": flight_parameters,
    "flight parameters of the supervisor": parameter_table,
}


def filled(text: str) -> str:
    """A file's text with its regions as they have to be."""

    def fill(match: re.Match[str]) -> str:
        begin, name, end = match.groups()
        launch = re.fullmatch(r"arguments of (\w+\.launch)", name)
        lines = launch_table(launch.group(1)) if launch else REGIONS[name]()
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
