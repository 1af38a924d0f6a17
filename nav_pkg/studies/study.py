"""A study: a YAML file that defines trainings (or flights) to answer a question, at one or more scales.

Example (`studies/normalisation.yaml`):

    title: Influence of data normalisation
    section: Influence of data normalization on Alexnet
    question: Does it matter how images are normalised?
    base: {network: alex_net, dataset: esatv3_expert_200K, discrete: true, loss: CrossEntropy}
    grid:
      input:
        reference: {}
        shifted: {shifted_input: true}
      learning rate:
        "0.1": {learning_rate: 0.1}
        "0.01": {learning_rate: 0.01}
    seeds: [123, 456, 789]
    scales:
      full: {base: {max_episodes: 500}}
      small: {base: {dataset: esatv3_expert_10K, max_steps: 500}}

A cell is a training: one choice along each axis of the grid, and a seed. Its configuration is merged from
`base`, the flags of its choices, the scale's `base`, the scale's `grid`, and the seed; later values win. Keys
are flags of main.py without their dashes. `null` removes a flag.

Other studies set `command`. `command: evaluate.py` flies; `checkpoints: {studies: [tinyv2], count: 12}` flies
12 of the networks that these studies trained, spread evenly over validation accuracy. `run_script.py`
collects, `network_details.py` measures networks.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from nav_pkg.config.session import SimulationConfig
from nav_pkg.config.setting import to_argv
from nav_pkg.core import ROOT, DataError, UsageError, nearest_name
from nav_pkg.fields import whole
from nav_pkg.reading import read_yaml
from nav_pkg.schemas import LINE
from nav_pkg.studies.commands import COMMANDS

STUDIES = ROOT / "studies"
SCALES = ("full", "small", "smoke")
DIGEST = 10
"""Number of characters of a cell's digest, the hash of its configuration."""

_KEYS = (
    *("title", "section", "question", "command", "base", "grid", "seeds", "scales", "checkpoints"),
    *("tuned", "published", "notes"),
)
_SCALE_KEYS = ("base", "only", "grid", "seeds")
PLACES = ("log_tag", "t", "summary_dir", "data_root", "owr", "random_seed", "dont_submit")
"""Flags that a study file must not set, because study.py sets them."""
FIELDS_OF_FLAGS = {"number_of_runs": whole(1)}
"""Flags whose values decide whether a cell is done."""
SEEDLESS = ("network_details.py",)
"""Commands without a seed."""
FLYING = ("evaluate.py", "run_script.py")
"""Commands that fly."""
Flags = Mapping[str, Any]


@dataclass(frozen=True)
class Cell:
    """A cell of a study: a training, or another command.

    Attributes:
        choices: the chosen label by axis.
        seed: the seed; None if the command has none.
        flags: the configuration: flags of the command by name, including the seed.
        command: the script that the cell runs.
    """

    choices: Mapping[str, str]
    seed: Optional[int]
    flags: Flags
    command: str = "main.py"

    @property
    def name(self) -> str:
        """Its choices and its seed, as text."""
        seed = f"seed {self.seed}" if self.seed is not None else ""
        return ", ".join(filter(None, [self.group, seed]))

    @property
    def digest(self) -> str:
        """The hash of its configuration."""
        text = json.dumps([self.command, to_argv(dict(sorted(self.flags.items())))])
        return hashlib.sha256(text.encode()).hexdigest()[:DIGEST]

    @property
    def group(self) -> str:
        """Its choices as text; cells that differ only in the seed have the same group."""
        return ", ".join(self.choices.values())

    @property
    def argv(self) -> List[str]:
        """Its configuration as flags of its command."""
        return to_argv(self.flags)


@dataclass(frozen=True)
class Scale:
    """A size at which a study runs.

    Attributes:
        base: flags that override those of the study.
        only: by axis, the labels to run; other labels are left out.
        grid: by axis and label, additional flags of a choice at this scale.
        seeds: the seeds; empty for the study's seeds.
    """

    base: Flags = field(default_factory=dict)
    only: Mapping[str, Sequence[str]] = field(default_factory=dict)
    grid: Mapping[str, Mapping[str, Flags]] = field(default_factory=dict)
    seeds: Tuple[int, ...] = ()


@dataclass(frozen=True)
class Source:
    """The source of the checkpoints that a study flies.

    Attributes:
        studies: names of studies of trainings; their cells at the same scale are used.
        count: number of networks to fly.
    """

    studies: Tuple[str, ...]
    count: int


@dataclass(frozen=True)
class Study:
    """The content of a study file.

    Attributes:
        name: name of the file, without its suffix.
        title: title of the report.
        section: heading in the published page that the study reproduces; empty for none.
        question: the question that the study answers.
        base: flags of all cells.
        grid: by axis and label, the flags of a choice.
        seeds: the seeds with which each choice runs.
        scales: the scales by name.
        command: the script that its cells run.
        checkpoints: source of the checkpoints to fly, from other studies; None for none.
        tuned: axes along which the report takes the best label when it compares choices of the other axes.
        published: content of the published page: text, or rows of a table.
        notes: remarks for readers of the report.
    """

    name: str
    title: str
    question: str
    base: Flags
    grid: Mapping[str, Mapping[str, Flags]]
    seeds: Tuple[int, ...]
    scales: Mapping[str, Scale]
    section: str = ""
    command: str = "main.py"
    checkpoints: Optional[Source] = None
    tuned: Tuple[str, ...] = ()
    published: str = ""
    notes: str = ""

    def flown_in(self, simulator: str) -> Study:
        """The same study with its flights in a simulator (`gazebo` or `embedded`)."""
        if simulator == SimulationConfig.simulator or self.command not in FLYING:
            return self
        return dataclasses.replace(self, base={**self.base, "simulator": simulator})

    def cells(self, scale: str, checkpoints: Mapping[str, Flags] = MappingProxyType({})) -> List[Cell]:
        """The cells at a scale, in the order of the file; cells of a group are adjacent.

        Args:
            scale: name of the scale.
            checkpoints: for a study that flies networks of other studies: by label, the flags that select
                a checkpoint.

        Raises:
            UsageError: the scale does not exist, or two cells have the same configuration.
        """
        if scale not in self.scales:
            raise UsageError(f"--scale {scale}: study {self.name} has {', '.join(self.scales)}")
        size = self.scales[scale]
        axes = [
            [
                (axis, label, flags)
                for label, flags in choices.items()
                if label in size.only.get(axis, choices)
            ]
            for axis, choices in (
                *self.grid.items(),
                *([("checkpoint", checkpoints)] if self.checkpoints else []),
            )
        ]
        cells, known = [], {}  # type: ignore[var-annotated]
        for chosen in itertools.product(*axes):
            flags: Dict[str, Any] = dict(self.base)
            for _, _, more in chosen:
                flags.update(more)
            flags.update(size.base)
            for axis, label, _ in chosen:
                flags.update(size.grid.get(axis, {}).get(label, {}))
            flags = {key: value for key, value in flags.items() if value is not None}
            choices = {axis: label for axis, label, _ in chosen}
            for seed in (None,) if self.command in SEEDLESS else size.seeds or self.seeds:
                more = {} if seed is None else {"random_seed": seed}
                cell = Cell(choices, seed, {**flags, **more}, self.command)
                twin = known.setdefault(cell.digest, cell)
                if twin is not cell:
                    raise UsageError(
                        f"study {self.name}: {twin.group!r} and {cell.group!r} are the same configuration"
                    )
                cells.append(cell)
        return cells


def selected(cells: Sequence[Cell], only: Sequence[str]) -> List[Cell]:
    """The cells that match all values of --only, each of the form `AXIS=CHOICE[,CHOICE]`.

    Raises:
        UsageError: an axis or choice does not exist, or no cell matches.
    """
    matching = list(cells)
    for text in only:
        axis, _, names = text.partition("=")
        known = list(dict.fromkeys(cell.choices[axis] for cell in cells if axis in cell.choices))
        if not known:
            axes = list(dict.fromkeys(name for cell in cells for name in cell.choices))
            raise UsageError(f"--only {text}: the study has no axis {axis!r}{nearest_name(axis, axes)}")
        wanted = names.split(",")
        for name in wanted:
            if name not in known:
                raise UsageError(f"--only {text}: {axis} is one of {', '.join(known)}, not {name!r}")
        matching = [cell for cell in matching if cell.choices.get(axis) in wanted]
    if not matching:
        raise UsageError(f"--only {' '.join(only)}: no cell of the study has all of these choices")
    return matching


def names() -> List[str]:
    """The names of all studies, sorted."""
    return sorted(path.stem for path in STUDIES.glob("*.yaml"))


def in_order() -> List[str]:
    """The names of all studies; studies that fly networks of other studies come last."""

    def flies(name: str) -> bool:
        try:
            return load(name).checkpoints is not None
        except DataError:
            return False  # raised again when that study is run

    return sorted(names(), key=lambda name: (flies(name), name))


def load(name: str) -> Study:
    """Load a study by its name or the path of its file.

    Raises:
        UsageError: no such study exists.
        DataError: the file is not a valid study.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else STUDIES / f"{name}.yaml"
    if not path.exists():
        raise UsageError(f"study {name!r}: no such study{nearest_name(name, names())}")
    raw = read_yaml(path)
    return parse(raw, path)


def parse(raw: Any, path: Path) -> Study:
    """Make a study from the content of its file.

    Raises:
        DataError: a key is unknown, missing or of the wrong type; the message names it.
    """
    content = _mapping(raw, path, "the file")
    _known(content, _KEYS, path, "")
    grid = {
        str(axis): {
            str(label): _flags(more, path, f"grid: {axis}: {label}") for label, more in choices.items()
        }
        for axis, choices in (
            (axis, _mapping(choices, path, f"grid: {axis}"))
            for axis, choices in _mapping(content.get("grid", {}), path, "grid").items()
        )
    }
    for text in (name for axis, choices in grid.items() for name in (axis, *choices)):
        if not LINE.fits(text):
            raise DataError(f"{path}: grid: {text!r}: must be {LINE.words}")
    empty = next((axis for axis, choices in grid.items() if not choices), None)
    if empty is not None:
        raise DataError(f"{path}: grid: {empty}: has no choice: give at least one, or leave the axis out")
    scales = {
        str(name): _scale(value, grid, path, f"scales: {name}")
        for name, value in _mapping(content.get("scales"), path, "scales").items()
    }
    if not scales:
        raise DataError(f"{path}: scales: empty: give at least one of {', '.join(SCALES)}")
    command = content.get("command", "main.py")
    if not isinstance(command, str) or command not in COMMANDS:
        raise DataError(f"{path}: command: {command!r}: must be one of {', '.join(COMMANDS)}")
    tuned = content.get("tuned", [])
    wrong = next((axis for axis in tuned if axis not in grid), None) if isinstance(tuned, list) else tuned
    if wrong is not None:
        raise DataError(f"{path}: tuned: {wrong!r}: must be a list of axes of the grid")
    texts = {}
    for key in ("title", "question", "section", "published", "notes"):
        texts[key] = content.get(key, "")
        if not isinstance(texts[key], str) or (not texts[key] and key in ("title", "question")):
            raise DataError(f"{path}: {key}: must be text")
    return Study(
        name=path.stem,
        base=_flags(content.get("base", {}), path, "base"),
        grid=grid,
        seeds=_seeds(content.get("seeds", [123]), path, "seeds"),
        scales=scales,
        command=command,
        tuned=tuple(tuned),
        checkpoints=_source(content["checkpoints"], path) if "checkpoints" in content else None,
        **texts,
    )


def _source(raw: Any, path: Path) -> Source:
    content = _mapping(raw, path, "checkpoints")
    _known(content, ("studies", "count"), path, "checkpoints: ")
    studies, count = content.get("studies"), content.get("count")
    if not isinstance(studies, list) or not studies or not all(isinstance(name, str) for name in studies):
        raise DataError(f"{path}: checkpoints: studies: must be a list of names of studies")
    if type(count) is not int or not 1 <= count <= 1000:
        raise DataError(f"{path}: checkpoints: count: must be a whole number from 1 to 1000")
    return Source(tuple(studies), count)


def _scale(raw: Any, grid: Mapping[str, Mapping[str, Flags]], path: Path, where: str) -> Scale:
    content = _mapping(raw if raw is not None else {}, path, where)
    _known(content, _SCALE_KEYS, path, f"{where}: ")
    only: Dict[str, List[str]] = {}
    for axis, labels in _mapping(content.get("only", {}), path, f"{where}: only").items():
        if axis not in grid:
            raise DataError(
                f"{path}: {where}: only: {axis!r}: no such axis{nearest_name(str(axis), list(grid))}"
            )
        chosen = [str(label) for label in labels] if isinstance(labels, list) else []
        wrong = next((label for label in chosen if label not in grid[axis]), None)
        if not chosen or wrong is not None:
            hint = nearest_name(wrong, list(grid[axis])) if wrong else ""
            raise DataError(f"{path}: {where}: only: {axis}: must be a list of its labels{hint}")
        only[str(axis)] = chosen
    more: Dict[str, Dict[str, Flags]] = {}
    for axis, labels in _mapping(content.get("grid", {}), path, f"{where}: grid").items():
        known = grid.get(axis, {})
        for label, flags in _mapping(labels, path, f"{where}: grid: {axis}").items():
            if str(label) not in known:
                hint = nearest_name(str(label), list(known))
                raise DataError(f"{path}: {where}: grid: {axis}: {label!r}: no such choice{hint}")
            more.setdefault(axis, {})[str(label)] = _flags(flags, path, f"{where}: grid: {axis}: {label}")
    seeds = _seeds(content["seeds"], path, f"{where}: seeds") if "seeds" in content else ()
    return Scale(_flags(content.get("base", {}), path, f"{where}: base"), only, more, seeds)


def _known(mapping: Mapping[str, Any], keys: Sequence[str], path: Path, where: str) -> None:
    for key in mapping:
        if key not in keys:
            raise DataError(f"{path}: {where}unknown key {str(key)!r}{nearest_name(str(key), list(keys))}")


def _mapping(value: Any, path: Path, where: str) -> Dict[str, Any]:
    if not isinstance(value, dict):
        raise DataError(f"{path}: {where}: must be a mapping of keys to values")
    return value


def _flags(value: Any, path: Path, where: str) -> Dict[str, Any]:
    flags = _mapping(value if value is not None else {}, path, where)
    for key, each in flags.items():
        if key in PLACES:
            raise DataError(f"{path}: {where}: {key}: study.py sets it: leave it out")
        entries = each if isinstance(each, list) else [each]
        if not isinstance(key, str) or not all(
            isinstance(entry, (str, bool, int, float, type(None))) for entry in entries
        ):
            raise DataError(f"{path}: {where}: {key}: must be text, a number, true, false, null or a list")
        if key in FIELDS_OF_FLAGS and each is not None and not FIELDS_OF_FLAGS[key].fits(each):
            raise DataError(f"{path}: {where}: {key}: {each!r}: must be {FIELDS_OF_FLAGS[key].words}")
    return flags


def _seeds(value: Any, path: Path, where: str) -> Tuple[int, ...]:
    fine = (
        isinstance(value, list) and value and all(type(seed) is int and 0 <= seed < 2**32 for seed in value)
    )
    if not fine or len(set(value)) < len(value):
        raise DataError(f"{path}: {where}: must be a list of different whole numbers from 0 to 2^32 - 1")
    return tuple(value)
