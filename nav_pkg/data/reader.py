"""Read datasets: runs, their frames as columns, their images, their splits.

Only committed runs are read. Files are read lazily, on first access. Errors name the file.
"""

from __future__ import annotations

import functools
import hashlib
import os
from pathlib import Path
from typing import Optional

import numpy as np

from nav_pkg import fields
from nav_pkg.config import paths
from nav_pkg.config.paths import PathLike
from nav_pkg.core import DataError, nearest_name
from nav_pkg.data import codec, commit, files, published
from nav_pkg.data import format as fmt
from nav_pkg.data.columns import Frames, read_frames, read_scan
from nav_pkg.data.folders import file_sha256
from nav_pkg.data.image_store import ImageStore


class Run:
    """A committed run.

    Attributes:
        path: its folder.
        name: e.g. `00003_esatv3`.
        images: the bytes of its images.
    """

    def __init__(self, path: PathLike):
        self.path = Path(path)
        self.name = self.path.name
        self.images = ImageStore(self.path)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    def __len__(self) -> int:
        return int(self.facts["frames"])

    @property
    def world(self) -> str:
        """The world's name."""
        parsed = fmt.parse_run_name(self.name)
        return str(self.facts.get("world") or (parsed[1] if parsed else ""))

    @property
    def outcome(self) -> str:
        """How the run ended."""
        return str(self.facts.get("outcome", ""))

    @functools.cached_property
    def facts(self) -> dict:
        """The entries of run.json; raises a DataError if it changed since the commit."""
        return self._committed.checked()

    @property
    def verified(self) -> bool:
        """Whether run.json has a correct checksum; in format 1 it has none."""
        return self._committed.has_valid_checksum

    @functools.cached_property
    def _committed(self) -> commit.Facts:
        commit.refuse_link(self.path)
        return commit.read_run(self.path)

    @functools.cached_property
    def sums(self) -> dict[str, bytes]:
        """SHA-256 of all committed files except run.json and sha256sums.txt, by path in the run."""
        return commit.read_sums(self.path, self.facts.get("content")).by_path

    def check_sum(self, name: str) -> None:
        """Compare a file with its checksum.

        Raises:
            DataError: the file changed since the commit.
        """
        path = self.path / name
        if file_sha256(path) != self.sums.get(name):
            raise DataError(f"{path}: changed since its commit; see dataset.py verify")

    @functools.cached_property
    def frames(self) -> Frames:
        """The columns of frames.csv."""
        return read_frames(self.path / fmt.FRAMES_FILE, len(self))

    def image_size(self, kind: str) -> Optional[tuple[int, int]]:
        """Height and width in run.json for a kind of image (`rgb`, `depth`, `rgb_left`), else None."""
        return fmt.image_size(self.facts.get("sensors"), kind)

    def files(self) -> list[str]:
        """Paths of the run's files in its folder: those that its commit covers, and the index of a tar."""
        return self.images.files([fmt.RUN_FILE, fmt.SUMS_FILE, *self.sums])

    def rgb(self, i: int) -> np.ndarray:
        """Colour image `i`: uint8 (height, width, 3), RGB."""
        return self._rgb(fmt.rgb_file(self._index(i)), "rgb")

    @property
    def side_cameras(self) -> tuple[str, ...]:
        """Names of the run's side cameras (`left`, `right`); usually empty."""
        return fmt.side_cameras(self.facts.get("sensors"))

    def side_rgb(self, camera: str, i: int) -> np.ndarray:
        """Image `i` of a side camera: uint8 (height, width, 3), RGB."""
        return self._rgb(fmt.side_file(camera, self._index(i)), fmt.side_sensor(camera))

    def _rgb(self, name: str, kind: str) -> np.ndarray:
        try:
            return codec.decode_rgb(self.images.read(name), expected=self.image_size(kind))
        except DataError as error:
            raise self._damaged(name, error) from error

    def depth(self, i: int) -> np.ndarray:
        """Depth image `i`: float32 (height, width), metres, inf where the sensor got no return."""
        name = fmt.depth_file(self._index(i))
        try:
            steps = codec.decode_depth(self.images.read(name), self.image_size("depth"))
            return codec.millimetres_to_depth(steps)
        except DataError as error:
            raise self._damaged(name, error) from error

    def _damaged(self, name: str, error: DataError) -> DataError:
        text = str(error)
        whole = str(self.path) in text
        return DataError(text if whole else f"{self.images.where(name)}: {text}; see dataset.py verify")

    def _index(self, i: int) -> int:
        if not -len(self) <= i < len(self):
            raise IndexError(f"{self.path}: frame {i} of {len(self)}")
        return int(i) % len(self)

    @functools.cached_property
    def scan(self) -> Optional[np.ndarray]:
        """Lidar ranges, float32 (frames, rays), metres; None when the run has no lidar."""
        path = self.path / fmt.SCAN_FILE
        rays = (self.facts.get("sensors") or {}).get("scan")
        if not rays and not os.path.lexists(path):
            return None
        return read_scan(path, len(self), rays)

    def labels(self, source: str = "expert", axis: str = "yaw", bound: Optional[float] = None) -> np.ndarray:
        """The commands to learn, one per frame.

        Args:
            source: `expert` (the command that the expert gives) or `applied` (the executed command).
            axis: x, y, z (m/s) or yaw (rad/s).
            bound: clip to +-bound; None does not clip.

        Returns:
            float32 (frames,).
        """
        labels = self.frames[f"{source}_{axis}"].astype(np.float32)
        return labels if bound is None else np.clip(labels, -np.float32(bound), np.float32(bound))

    def content_hash(self) -> str:
        """SHA-256 of the run's content: of sha256sums.txt (frames, images, scan) and run.json."""
        total = hashlib.sha256()
        for name in (fmt.SUMS_FILE, fmt.RUN_FILE):
            total.update(files.read_small(self.path / name, follow=False))
        return total.hexdigest()


class Dataset:
    """A dataset's committed runs and splits.

    Args:
        path: the dataset's folder; it may be a symbolic link, but nothing in it may be one.
        check: refuse a dataset.json that changed since it was written or has invalid entries.

    Attributes:
        description: the valid entries of dataset.json.
        problems: of dataset.json, one line each.
        verified: whether dataset.json has a correct checksum.

    Raises:
        DataError: the folder is missing (the message suggests the nearest name), is not a dataset, or has
            another format.
    """

    def __init__(self, path: PathLike, check: bool = True):
        self.path = Path(path)
        self.name = self.path.name
        if not os.path.isdir(self.path):
            near = find_datasets(self.path.parent)
            hint = nearest_name(self.name, [p.relative_to(self.path.parent).as_posix() for p in near])
            raise DataError(f"{self.path}: no such dataset{hint}")
        if not os.path.lexists(self.path / fmt.DATASET_FILE):
            raise DataError(f"{self.path}: not a dataset ({fmt.DATASET_FILE} is missing)")
        facts = commit.read_description(self.path)
        self.description = facts.checked() if check else facts.value
        self.problems, self.verified = facts.problems, facts.has_valid_checksum

    def require_checked(self) -> None:
        """Raise a DataError for the first problem of dataset.json; only its owner can restore the file."""
        if self.problems:
            raise DataError(f"{self.problems[0]} (restore it from a copy)")

    @property
    def control_rate(self) -> float:
        """Frames per second."""
        return float(self.description.get("control_rate") or 10)

    @property
    def runs(self) -> list[Run]:
        """The committed runs, sorted by name; each call lists the folder again."""
        return [Run(path) for path in self.entries() if _is_run(path)]

    @property
    def partials(self) -> list[Path]:
        """Folders of unfinished runs (being written or left by a crash)."""
        return [path for path in self.entries() if path.name.endswith(fmt.PARTIAL) and path.is_dir()]

    def entries(self) -> list[Path]:
        """All entries of the dataset's folder, sorted by name."""
        try:
            return sorted(self.path / name for name in os.listdir(self.path))
        except OSError as error:
            raise files.read_error(self.path, error) from error

    @property
    def has_splits(self) -> bool:
        """Whether the dataset has lists of train, val and test runs, or had them when it was made."""
        lists = (self.path / fmt.split_file(part) for part in fmt.SPLITS)
        return fmt.SPLIT_SIZES in self.description or any(os.path.lexists(file) for file in lists)

    def split(self, part: str) -> list[Run]:
        """The runs of `train_set.txt`, `val_set.txt` or `test_set.txt`, see `splits`."""
        if part not in fmt.SPLITS:
            raise ValueError(f"part {part!r} is not among {fmt.SPLITS}")
        return self.splits()[part]

    def splits(self) -> dict[str, list[Run]]:
        """The runs of all three lists, by part, in the files' order.

        Each line is the name of a run in this dataset. A run may be listed only once in all lists.

        Raises:
            DataError: a list is missing; a list is empty but the dataset was made with runs in it; a line is
                not the name of a run; a run is listed twice; or the train list is empty.
        """
        places: dict[str, str] = {}
        sizes = self.description.get(fmt.SPLIT_SIZES) or {}
        parts: dict[str, list[Run]] = {}
        for part in fmt.SPLITS:
            path = self.path / fmt.split_file(part)
            parts[part] = []
            for number, name in self._listed(path):
                where = f"{path}: line {number}"
                if name in places:
                    raise DataError(
                        f"{where}: {name} is listed in {places[name]} already; a run is in one list, once"
                    )
                places[name] = f"line {number} of {path.name}"
                parts[part].append(self._run_of(name, where))
            if part == "train" and not parts[part]:
                raise DataError(f"{path}: no runs to train on; record more or clean with other limits")
            if sizes.get(part) and not parts[part]:
                raise DataError(
                    f"{path}: is empty, but the dataset was made with {sizes[part]} runs in it; name them "
                    "again or make the dataset again (clean_dataset.py --owr)"
                )
        return parts

    @staticmethod
    def _listed(path: Path) -> list[tuple[int, str]]:
        """Line number and text of each non-empty line of a list."""
        if not os.path.lexists(path):
            raise DataError(f"{path}: cannot read; clean_dataset.py makes the splits")
        lines = files.read_text(path, follow=False).splitlines()
        return [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]

    def _run_of(self, name: str, where: str) -> Run:
        """The run that a line of a list names."""
        if fmt.parse_run_name(name) is None:
            raise DataError(
                f"{where}: {fields.shown(name)} is no run's name, such as 00003_esatv3 (no paths)"
            )
        if not _is_run(self.path / name):
            raise DataError(f"{where}: no run {name!r}{nearest_name(name, [run.name for run in self.runs])}")
        return Run(self.path / name)

    def require_runs(self) -> list[Run]:
        """The committed runs; raises a DataError if the dataset has none."""
        runs = self.runs
        if not runs:
            left = len(self.partials)
            more = f" ({left} unfinished; see dataset.py repair)" if left else ""
            raise DataError(f"{self.path}: the dataset has no runs{more}; record some first")
        return runs

    def files(self) -> list[str]:
        """Relative paths of all files of the dataset: its own files and those of its runs (`Run.files`).

        Raises:
            DataError: a run is damaged, or a folder of a run is a symbolic link.
        """
        own = (fmt.DATASET_FILE, *map(fmt.split_file, fmt.SPLITS), fmt.STATS_FILE)
        names = [name for name in own if os.path.lexists(self.path / name)]
        for run in self.runs:
            names += [f"{run.name}/{name}" for name in run.files()]
        return names

    def content_hash(self) -> str:
        """SHA-256 of the committed runs' names and contents."""
        text = "".join(f"{run.name} {run.content_hash()}\n" for run in self.runs)
        return hashlib.sha256(text.encode()).hexdigest()


def _is_run(path: Path) -> bool:
    return fmt.parse_run_name(path.name) is not None and os.path.isdir(path)


DEEPEST_DATASET = 4
"""Depth of the search for datasets below the data root, in folder levels."""


def find_datasets(root: PathLike, depth: int = DEEPEST_DATASET) -> list[Path]:
    """All datasets below a folder, sorted by path; the search does not descend into datasets."""
    root = Path(root)
    datasets: list[Path] = []
    try:
        entries = sorted(p for p in root.iterdir() if not p.name.startswith(".") and os.path.isdir(p))
    except OSError:
        return datasets
    for path in entries:
        if os.path.lexists(path / fmt.DATASET_FILE):
            datasets.append(path)
        elif depth > 1:
            datasets += find_datasets(path, depth - 1)
    return datasets


def load_dataset(name_or_path: PathLike, data_root: Optional[PathLike] = None, check: bool = True) -> Dataset:
    """Open a dataset by its path, or by its name under the data root.

    Args:
        name_or_path: `esatv3_expert`, `collect/esatv3_0`, or a path (absolute, or with ./ or ~).
        data_root: None for the default (`paths.data_root`).
        check: as for `Dataset`.

    Raises:
        DataError: the dataset does not exist (the message suggests the nearest name).
    """
    text = str(name_or_path)
    root = Path(data_root).expanduser() if data_root else paths.data_root()
    if text.startswith((".", "~", "/")):
        return Dataset(Path(text).expanduser(), check)
    if not os.path.isdir(root):
        raise DataError(
            f"{root}: no such data root; set --data_root or NAV_PKG_DATA{published.remedy(text, root)}"
        )
    path = root / text
    if not os.path.isdir(path):
        known = [p.relative_to(root).as_posix() for p in find_datasets(root)]
        more = published.remedy(text, root) or nearest_name(text, known)
        raise DataError(f"{path}: no such dataset{more}")
    return Dataset(path, check)
