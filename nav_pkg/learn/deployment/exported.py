"""Pilots for exported checkpoints: ONNX files from `scripts/export.py`, and TorchScript on request.

An exported file contains network and preprocessing as one program and, as text, a description for the pilot
(action space, camera ...). It flies like its checkpoint: `load_pilot` loads a pilot from either.
"""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Deque, Mapping, Optional, Sequence, Tuple, Union

import numpy as np
import torch

from nav_pkg import nets
from nav_pkg.config.paths import PathLike
from nav_pkg.core import DataError, UsageError
from nav_pkg.learn.action import ActionSpace
from nav_pkg.learn.batches.preprocess import Preprocessing
from nav_pkg.learn.checkpoints import checkpoint
from nav_pkg.learn.checkpoints.checkpoint import Checkpoint
from nav_pkg.learn.checkpoints.checkpoint_paths import require
from nav_pkg.learn.deployment.exported_files import READERS, REMEDY, SUFFIXES, PrepareProgram, RunProgram
from nav_pkg.learn.deployment.pilot import Pilot, check_given, resolve_device
from nav_pkg.reading import parse_object

FORMAT = "nav_pkg export"
FORMAT_VERSION = 1
SIDES = (16, 8192)
"""Smallest and largest side of a camera, pixels."""
_MOST = 1 << 24
"""Limit on the values in a part of a network's state: a file's own numbers must not decide how much memory
is allocated."""


@dataclass(frozen=True)
class Description:
    """The description in an exported file.

    Attributes:
        network: the network's name in the registry.
        outputs: the network's number of outputs.
        net_options: options that the network was built with.
        action_space: meaning of the outputs.
        preprocessing: the preprocessing in the file, for information.
        camera: height and width of the input images, pixels.
        state: shape of each part of a recurrent network's state, which starts as zeros.
        checkpoint: SHA-256 of the exported checkpoint.
        dataset: training data of the checkpoint.
        versions: versions of the software that exported the file.
    """

    network: str
    outputs: int
    net_options: Mapping[str, Any]
    action_space: ActionSpace
    preprocessing: Preprocessing
    camera: Tuple[int, int]
    state: Tuple[Tuple[int, ...], ...]
    checkpoint: str
    dataset: Mapping[str, Any]
    versions: Mapping[str, str]

    def text(self) -> str:
        """Convert the description to JSON, for a file."""
        values = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        values["action_space"] = self.action_space.state()
        values["preprocessing"] = self.preprocessing.state()
        return json.dumps({"format": FORMAT, "format_version": FORMAT_VERSION, **values}, sort_keys=True)

    @staticmethod
    def from_text(text: str, file: PathLike) -> Description:
        """Parse the JSON of `text()`.

        Args:
            text: JSON.
            file: named in errors.

        Raises:
            DataError: the text is not a description, or of another version.
        """
        try:
            values = parse_object(text, "its text")
            if values.pop("format") != FORMAT:
                raise ValueError("of another program")
            version = values.pop("format_version")
            if version != FORMAT_VERSION:
                raise ValueError(f"version {version}; this nav_pkg reads {FORMAT_VERSION}")
            values["action_space"] = ActionSpace.from_state(values["action_space"])
            values["preprocessing"] = Preprocessing.from_state(values["preprocessing"])
            values["camera"] = tuple(int(side) for side in values["camera"])
            values["state"] = tuple(tuple(shape) for shape in values["state"])
            if ":" not in values["network"]:  # a user's own network: its file is no longer needed
                nets.spec(values["network"])
            description = Description(**values)
            description._check()
            return description
        except (
            DataError,
            UsageError,
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            OverflowError,
        ) as error:
            raise DataError(
                f"{file}: its description is not readable ({' '.join(str(error).split())}): {REMEDY}"
            ) from error

    def _check(self) -> None:
        """Raise ValueError for impossible sizes."""
        if len(self.camera) != 2 or not all(SIDES[0] <= side <= SIDES[1] for side in self.camera):
            raise ValueError(f"camera {self.camera}")
        for shape in self.state:
            if not all(isinstance(side, int) and side > 0 for side in shape) or math.prod(shape) > _MOST:
                raise ValueError(f"state {shape}")
        if not 1 <= int(self.net_options.get("n_frames", 1)) <= 1000:
            raise ValueError(f"n_frames {self.net_options['n_frames']}")


class ExportedPilot(Pilot):
    """Computes commands from camera images with an exported file; otherwise as `Pilot`.

    Attributes:
        description: the description in the file.
    """

    def __init__(self, description: Description, run: RunProgram):
        """Run the program on black images first, because its first runs are slow.

        Args:
            description: description of the program.
            run: the program.
        """
        self.description = description
        self.network = description.network
        self.action_space = description.action_space
        self.preprocessing = description.preprocessing
        self._run = run
        self._frames = "n_frames" in description.net_options
        self._count = int(description.net_options.get("n_frames", 1))
        self.reset()
        for _ in range(3):  # TorchScript profiles in its first runs and then compiles
            self.outputs(np.zeros((*description.camera, 3), np.uint8))
        self.reset()

    def reset(self, seed: int = 0) -> None:
        """Begin a run, as `Pilot.reset`."""
        self._random = np.random.RandomState(seed)
        self._images: Deque[np.ndarray] = deque(maxlen=self._count)
        self._parts = [np.zeros(shape, np.float32) for shape in self.description.state]

    def outputs(self, rgb: np.ndarray) -> np.ndarray:
        """Compute the network's outputs for the next image of the run: float64 (outputs,).

        Raises:
            DataError: the image has another type or size than the file was exported for, or the file's
                outputs do not match its description.
        """
        wanted = (*self.description.camera, 3)
        if rgb.dtype != np.uint8 or rgb.shape != wanted:
            height, width = self.description.camera
            raise DataError(
                f"an image of {rgb.dtype} {rgb.shape}: the flown file was exported for uint8 images of "
                f"{width}x{height} pixels: export it with the camera's --width and --height"
            )
        image = np.ascontiguousarray(rgb)
        if self._frames:
            # at a run's start the first frame stands in for the missing ones, as in training
            self._images.extend([image] * (1 if self._images else self._count))
            image = np.stack(self._images)
        outputs, *parts = self._run([image, *self._parts])
        shapes = (np.shape(outputs), *map(np.shape, parts))
        wanted = ((self.action_space.outputs,), *self.description.state)
        if shapes != wanted or outputs.dtype.kind != "f":
            raise DataError(
                f"the flown file gives {outputs.dtype} {' '.join(map(str, shapes))}, not what it says "
                f"of itself ({' '.join(map(str, wanted))}): {REMEDY}"
            )
        self._parts = list(parts)
        return np.asarray(outputs, np.float64)


def is_exported(path: PathLike) -> bool:
    """Whether a `--checkpoint_path` is an exported file, by its suffix."""
    return Path(path).suffix in SUFFIXES


def _read(path: PathLike, summary_dir: Optional[PathLike], trust: bool) -> Tuple[Description, PrepareProgram]:
    """Read the description of an exported file and the function that prepares its program; run no code."""
    file = require(path, summary_dir)
    try:
        text, prepare = READERS[SUFFIXES[file.suffix]](file)
    except OSError as error:
        raise DataError(f"{file}: cannot read: {(error.strerror or str(error)).lower()}") from error
    description = Description.from_text(text, file)
    if needs_trust(file) and not trust:
        raise UsageError(
            f"{file}: not loaded: a TorchScript file is a program that can write any of your files "
            "as soon as "
            "torch loads it: export the checkpoint as .onnx and fly that, or give --trust_torchscript for a "
            "file that you made yourself"
        )
    return description, prepare


def needs_trust(path: PathLike) -> bool:
    """Whether a `--checkpoint_path` is a TorchScript file, by its suffix."""
    return SUFFIXES.get(Path(path).suffix) == "torchscript"


def check_trust(paths: Sequence[PathLike], trust: bool) -> None:
    """Raise UsageError if `--trust_torchscript` is given without a TorchScript file."""
    if trust and not any(needs_trust(path) for path in paths):
        raise UsageError("--trust_torchscript has no effect without a .pt file to fly: leave it out")


def open_exported(
    path: PathLike, summary_dir: Optional[PathLike] = None, device: str = "cpu", trust: bool = False
) -> ExportedPilot:
    """Load the pilot of an exported file, with torch's current number of threads.

    Args:
        path: the file; absolute, or relative to `summary_dir`.
        summary_dir: the folder of all logs; None for the default one.
        device: `cpu` or `cuda`.
        trust: whether a TorchScript file may be loaded, which runs code of the file.

    Raises:
        DataError: the file is missing, damaged, or not exported by nav_pkg.
        UsageError: the runtime is not installed or cannot use that device, or the file is an untrusted
            TorchScript file.
    """
    description, prepare = _read(path, summary_dir, trust)
    return ExportedPilot(description, prepare(device, torch.get_num_threads()))


def _check_network(description: Description, name: PathLike, network: Optional[str]) -> None:
    if network is not None and nets.canonical(network) != description.network:
        raise DataError(
            f"{name}: holds {description.network}, not {network}: give --network {description.network} "
            "or another --checkpoint_path"
        )


def describe(
    path: PathLike,
    summary_dir: Optional[PathLike] = None,
    network: Optional[str] = None,
    trust: bool = False,
) -> Union[Checkpoint, Description]:
    """Read the content of a `--checkpoint_path`, checkpoint or exported file, after checking it for damage.

    No code of an exported file is run.

    Args:
        path: as for `Pilot.load`, or an exported file.
        summary_dir: as for `Pilot.load`.
        network: as for `Pilot.load`.
        trust: as for `open_exported`.

    Raises:
        DataError, UsageError: as `Pilot.load` and `open_exported`.
    """
    check_trust([path], trust)
    if not is_exported(path):
        return checkpoint.load(path, summary_dir, network)
    description, _ = _read(path, summary_dir, trust)
    _check_network(description, path, network)
    return description


def load_pilot(
    checkpoint_path: PathLike,
    summary_dir: Optional[PathLike] = None,
    device: str = "cpu",
    speed: Optional[float] = None,
    turn_speed: Optional[float] = None,
    network: Optional[str] = None,
    given: Optional[Mapping[str, Any]] = None,
    trust: bool = False,
) -> Pilot:
    """Load the pilot of a checkpoint or of an exported file; the only place that chooses between them.

    Arguments and errors are those of `Pilot.load`; `trust` is as for `open_exported` and prints a warning.
    """
    check_trust([checkpoint_path], trust)
    if not is_exported(checkpoint_path):
        return Pilot.load(checkpoint_path, summary_dir, device, speed, turn_speed, network, given)
    onnx = SUFFIXES[Path(checkpoint_path).suffix] == "onnx"
    chosen = resolve_device("cpu" if onnx and device == "auto" else device)
    description, prepare = _read(checkpoint_path, summary_dir, trust)
    _check_network(description, checkpoint_path, network)
    check_given(description, given or {}, str(checkpoint_path))  # type: ignore[arg-type]
    if trust:
        print(
            f"warning: {checkpoint_path}: --trust_torchscript: this file's code runs with your rights",
            file=sys.stderr,
            flush=True,
        )
    pilot = ExportedPilot(description, prepare(chosen, torch.get_num_threads()))
    speeds = {"speed": speed, "turn_speed": turn_speed}
    pilot.action_space = dataclasses.replace(
        pilot.action_space, **{key: value for key, value in speeds.items() if value is not None}
    )
    return pilot
