"""Read datasets: runs, their frames as columns, their images, their splits.

Only committed runs are read. Everything is read when it is asked for, and errors name the file.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import Iterator, Optional

import numpy as np

from nav_pkg.core import Actor, Command, DataError, Frame, Pose, Velocity, nearest_name
from nav_pkg.data import codec, files, paths
from nav_pkg.data import format as fmt
from nav_pkg.data.paths import PathLike


class Frames:
    """The columns of a run's frames.csv, as attributes (`frames.expert_yaw`) and items alike.

    Attributes:
        index: int64 (frames,).
        stamp: int64 (frames,), nanoseconds since the run's first frame.
        actor, rgb, depth: str (frames,); empty where the run has no such image.
        others: float64 (frames,), metres, radians, seconds, nan in the learner's where none flew.
    """

    def __init__(self, columns: dict[str, np.ndarray]):
        self._columns = columns

    def __getattr__(self, name: str) -> np.ndarray:
        if name == "_columns" or name not in self._columns:
            raise AttributeError(f"frames have no column {name!r}{nearest_name(name, list(fmt.COLUMNS))}")
        return self._columns[name]

    def __getitem__(self, name: str) -> np.ndarray:
        try:
            return self._columns[name]
        except KeyError:
            hint = nearest_name(name, list(fmt.COLUMNS))
            raise KeyError(f"frames have no column {name!r}{hint}") from None

    def __len__(self) -> int:
        return len(self._columns["index"])

    def __iter__(self) -> Iterator[Frame]:
        return (self.frame(i) for i in range(len(self)))

    def frame(self, i: int) -> Frame:
        """Row `i` as a core Frame."""

        def values(*names: str) -> list[float]:
            return [float(self._columns[name][i]) for name in names]

        def command(who: str) -> Command:
            return Command(*values(f"{who}_x", f"{who}_y", f"{who}_z", f"{who}_yaw"))

        nobody = not self.has_learner[i]
        return Frame(
            index=int(self.index[i]),
            stamp=int(self.stamp[i]),
            expert=command("expert"),
            learner=None if nobody else command("learner"),
            applied=command("applied"),
            actor=Actor(self.actor[i]),
            pose=Pose(*values("x", "y", "z", "roll", "pitch", "yaw")),
            velocity=Velocity(*values("vx", "vy", "vz", "vyaw")),
            nearest=values("nearest")[0],
            progress=values("progress")[0],
        )


_TEXT = ("actor", "rgb", "depth")


def read_frames(path: PathLike, expected: Optional[int] = None) -> Frames:
    """Read a frames.csv.

    Args:
        path: the file.
        expected: number of frames that run.json states; None when unknown.

    Raises:
        DataError: when the file is missing or cut, or a line is not as the format says; the text
            names the line.
    """
    try:
        text = Path(path).read_bytes().decode("utf-8", "replace")
    except OSError as error:
        raise DataError(f"{path}: cannot read: {(error.strerror or str(error)).lower()}") from error
    lines = text.split("\n")
    if lines[0] != fmt.HEADER:
        raise DataError(f"{path}: line 1 is not the header of format {fmt.FORMAT_VERSION}")
    if lines[-1]:
        raise DataError(f"{path}: cut in line {len(lines)}; see dataset.py repair")
    lines = lines[1:-1]
    if expected is not None and len(lines) != expected:
        raise DataError(f"{path}: {len(lines)} frames, but run.json states {expected}; see dataset.py repair")
    return _columns(path, lines)


def _columns(path: PathLike, lines: list[str]) -> Frames:
    frames = []
    images: dict[str, list[str]] = {"rgb": [], "depth": []}
    for number, line in enumerate(lines):
        fields = line.split(",")
        try:
            frame = fmt.fields_to_frame(fields)
            if frame.index != number:
                raise ValueError(f"index is {frame.index} instead of {number}")
            for column, name in (("rgb", fmt.rgb_file), ("depth", fmt.depth_file)):
                value = fields[fmt.COLUMNS.index(column)]
                if value not in ("", name(number)):
                    raise ValueError(f"{column} is {value!r} instead of {name(number)!r}")
                images[column].append(value)
        except ValueError as error:
            raise DataError(f"{path}: line {number + 2}: {error}; see dataset.py repair") from error
        frames.append(frame)
    nothing = Command(*[float("nan")] * 4)
    numbers = [
        (*f.expert, *(f.learner or nothing), *f.applied, *f.pose, *f.velocity, f.nearest, f.progress)
        for f in frames
    ]
    names = [name for name in fmt.COLUMNS[2:] if name not in _TEXT]
    table = np.array(numbers, np.float64).reshape(len(frames), len(names)).T.copy()
    columns = dict(zip(names, table))
    columns["index"] = np.arange(len(frames))
    columns["stamp"] = np.array([f.stamp for f in frames], np.int64)
    columns["actor"] = np.array([f.actor.value for f in frames], dtype=str)
    columns["rgb"] = np.array(images["rgb"], dtype=str)
    columns["depth"] = np.array(images["depth"], dtype=str)
    columns["has_learner"] = np.array([f.learner is not None for f in frames], bool)
    return Frames(columns)


class Run:
    """A committed run.

    Attributes:
        path: its folder.
        name: e.g. `00003_esatv3`.
    """

    def __init__(self, path: PathLike):
        self.path = Path(path)
        self.name = self.path.name

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
        """run.json."""
        facts = files.read_json(self.path / fmt.RUN_FILE)
        if facts.get("format") != fmt.FORMAT_VERSION:
            raise DataError(
                f"{self.path / fmt.RUN_FILE}: format {facts.get('format')!r}, this program reads "
                f"{fmt.FORMAT_VERSION}"
            )
        if not isinstance(facts.get("frames"), int):
            raise DataError(f"{self.path / fmt.RUN_FILE}: states no number of frames")
        return facts

    @functools.cached_property
    def frames(self) -> Frames:
        """The columns of frames.csv."""
        return read_frames(self.path / fmt.FRAMES_FILE, len(self))

    def _image(self, name: str) -> bytes:
        path = self.path / name
        try:
            return path.read_bytes()
        except OSError as error:
            raise DataError(
                f"{path}: cannot read: {(error.strerror or str(error)).lower()}; see dataset.py verify"
            ) from error

    def rgb(self, i: int) -> np.ndarray:
        """Colour image `i`: uint8 (height, width, 3), RGB."""
        name = fmt.rgb_file(self._index(i))
        try:
            return codec.decode_rgb(self._image(name))
        except DataError as error:
            raise self._damaged(name, error) from error

    @property
    def side_cameras(self) -> tuple[str, ...]:
        """Names of the run's side cameras (`left`, `right`); mostly none."""
        return fmt.side_cameras(self.facts.get("sensors"))

    def side_rgb(self, camera: str, i: int) -> np.ndarray:
        """Image `i` of a side camera: uint8 (height, width, 3), RGB."""
        name = fmt.side_file(camera, self._index(i))
        try:
            return codec.decode_rgb(self._image(name))
        except DataError as error:
            raise self._damaged(name, error) from error

    def depth(self, i: int) -> np.ndarray:
        """Depth image `i`: float32 (height, width), metres, inf where nothing returned."""
        name = fmt.depth_file(self._index(i))
        try:
            return codec.millimetres_to_depth(codec.decode_depth(self._image(name)))
        except DataError as error:
            raise self._damaged(name, error) from error

    def _damaged(self, name: str, error: DataError) -> DataError:
        text = str(error)
        whole = text if str(self.path) in text else f"{self.path / name}: {text}; see dataset.py verify"
        return DataError(whole)

    def _index(self, i: int) -> int:
        if not -len(self) <= i < len(self):
            raise IndexError(f"{self.path}: frame {i} of {len(self)}")
        return int(i) % len(self)

    @functools.cached_property
    def scan(self) -> Optional[np.ndarray]:
        """Lidar ranges, float32 (frames, rays), metres; None when the run has no lidar."""
        path = self.path / fmt.SCAN_FILE
        if not self.facts.get("sensors", {}).get("scan") and not path.exists():
            return None
        try:
            scan = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{path}: cannot read: {error}; see dataset.py verify") from error
        if scan.ndim != 2 or scan.dtype != np.float32 or len(scan) != len(self):
            raise DataError(
                f"{path}: {scan.dtype} {scan.shape}, but run.json states {len(self)} frames of float32"
            )
        return scan

    def labels(self, source: str = "expert", axis: str = "yaw", bound: Optional[float] = None) -> np.ndarray:
        """The commands to learn, one a frame.

        Args:
            source: `expert` (what it would do here) or `applied` (what was done here).
            axis: x, y, z (m/s) or yaw (rad/s).
            bound: clip to +-bound; None leaves them.

        Returns:
            float32 (frames,).
        """
        labels = self.frames[f"{source}_{axis}"].astype(np.float32)
        return labels if bound is None else np.clip(labels, -np.float32(bound), np.float32(bound))

    def content_hash(self) -> str:
        """A SHA-256 of the run's content: frames, images, scans and facts, by the sums of its commit."""
        total = hashlib.sha256()
        for name in (fmt.SUMS_FILE, fmt.RUN_FILE):
            try:
                total.update((self.path / name).read_bytes())
            except OSError as error:
                raise DataError(
                    f"{self.path / name}: cannot read: {(error.strerror or str(error)).lower()}"
                ) from error
        return total.hexdigest()


class Dataset:
    """A dataset's committed runs and splits.

    Args:
        path: the dataset's folder.

    Raises:
        DataError: when it is missing (with the nearest name), no dataset, or of another format.
    """

    def __init__(self, path: PathLike):
        self.path = Path(path)
        self.name = self.path.name
        if not self.path.is_dir():
            near = find_datasets(self.path.parent)
            hint = nearest_name(self.name, [p.relative_to(self.path.parent).as_posix() for p in near])
            raise DataError(f"{self.path}: no such dataset{hint}")
        if not (self.path / fmt.DATASET_FILE).exists():
            raise DataError(f"{self.path}: not a dataset ({fmt.DATASET_FILE} is missing)")
        self.description = files.read_json(self.path / fmt.DATASET_FILE)
        if self.description.get("format") != fmt.FORMAT_VERSION:
            raise DataError(
                f"{self.path / fmt.DATASET_FILE}: format {self.description.get('format')!r}, "
                f"this program reads {fmt.FORMAT_VERSION}"
            )

    @property
    def runs(self) -> list[Run]:
        """The committed runs, by name; a new list of the folder's present state."""
        return [Run(path) for path in sorted(self.path.iterdir()) if _is_run(path)]

    @property
    def partials(self) -> list[Path]:
        """Folders of unfinished runs (being written, or left by a crash)."""
        return sorted(path for path in self.path.glob(f"*{fmt.PARTIAL}") if path.is_dir())

    def split(self, part: str) -> list[Run]:
        """The runs of `train_set.txt`, `val_set.txt` or `test_set.txt`, in the file's order.

        Args:
            part: train, val or test. A line is a run's name, or a path to a run.

        Raises:
            DataError: when the file or one of its runs is missing, or the train set is empty.
        """
        if part not in fmt.SPLITS:
            raise ValueError(f"part {part!r} is not among {fmt.SPLITS}")
        path = self.path / f"{part}_set.txt"
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise DataError(f"{path}: cannot read; clean_dataset.py makes the splits") from error
        runs = []
        for number, line in enumerate(lines, 1):
            name = line.strip()
            if not name:
                continue
            folder = self.path / name  # an absolute path replaces it
            if not folder.is_dir() and (self.path / Path(name).name).is_dir():
                folder = self.path / Path(name).name  # the dataset was moved
            if not _is_run(folder):
                known = [run.name for run in self.runs]
                raise DataError(f"{path}: line {number}: no run {name!r}{nearest_name(name, known)}")
            runs.append(Run(folder))
        if part == "train" and not runs:
            raise DataError(f"{path}: no runs to train on; record more or clean with other limits")
        return runs

    def require_runs(self) -> list[Run]:
        """The committed runs; a DataError when there are none."""
        runs = self.runs
        if not runs:
            left = len(self.partials)
            more = f" ({left} unfinished; see dataset.py repair)" if left else ""
            raise DataError(f"{self.path}: the dataset has no runs{more}; record some first")
        return runs

    def content_hash(self) -> str:
        """A SHA-256 of the committed runs' names and contents."""
        text = "".join(f"{run.name} {run.content_hash()}\n" for run in self.runs)
        return hashlib.sha256(text.encode()).hexdigest()


def _is_run(path: Path) -> bool:
    return fmt.parse_run_name(path.name) is not None and path.is_dir()


def find_datasets(root: PathLike, depth: int = 4) -> list[Path]:
    """All datasets below a folder, by path; datasets within datasets are not looked for."""
    root = Path(root)
    found: list[Path] = []
    try:
        entries = sorted(p for p in root.iterdir() if not p.name.startswith(".") and p.is_dir())
    except OSError:
        return found
    for path in entries:
        if (path / fmt.DATASET_FILE).exists():
            found.append(path)
        elif depth > 1:
            found += find_datasets(path, depth - 1)
    return found


def load_dataset(name_or_path: PathLike, data_root: Optional[PathLike] = None) -> Dataset:
    """Open a dataset by its path, or by its name under the data root.

    Args:
        name_or_path: `esatv3_expert`, `collect/esatv3_0`, or a path (absolute, or with ./ or ~).
        data_root: None for the default (`paths.data_root`).

    Raises:
        DataError: when there is no such dataset (with the nearest name).
    """
    text = str(name_or_path)
    root = Path(data_root).expanduser() if data_root else paths.data_root()
    if text.startswith((".", "~", "/")):
        return Dataset(Path(text).expanduser())
    if not root.is_dir():
        raise DataError(f"{root}: no such data root; set --data_root or NAV_PKG_DATA")
    path = root / text
    if not path.is_dir():
        known = [p.relative_to(root).as_posix() for p in find_datasets(root)]
        raise DataError(f"{path}: no such dataset{nearest_name(text, known)}")
    return Dataset(path)
