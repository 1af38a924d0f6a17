"""Exported checkpoints in flight: ONNX and TorchScript files that `scripts/export.py` made.

Such a file holds network and preprocessing as one program and, as text, what a pilot has to know (action
space, camera ...). It flies like the checkpoint that it was made from: `load` gives a pilot of either.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import warnings
import zipfile
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Deque, Mapping, Optional, Sequence, Tuple, Union

import numpy as np
import torch

from nav_pkg import nets
from nav_pkg.core import DataError, UsageError
from nav_pkg.data.paths import PathLike
from nav_pkg.learn import checkpoint
from nav_pkg.learn.action import ActionSpace
from nav_pkg.learn.checkpoint import Checkpoint
from nav_pkg.learn.pilot import Pilot, check_given, resolve_device
from nav_pkg.learn.preprocess import Preprocessing

SUFFIXES = {".onnx": "onnx", ".pt": "torchscript"}
"""The format of an exported file by the end of its name."""

FORMAT = "nav_pkg export"
FORMAT_VERSION = 1
KEY = "nav_pkg"
"""Name of the description within a file: an entry of ONNX's metadata, an extra file of TorchScript."""

_REMEDY = "export it again with scripts/export.py"


@dataclass(frozen=True)
class Description:
    """What an exported file says of itself.

    Attributes:
        network: name in the registry.
        outputs: number of its outputs.
        net_options: options that it was built with.
        action_space: what its outputs mean.
        preprocessing: what the file does with an image, for those who want to know.
        camera: height and width of the images that it takes, pixels.
        state: shape of each part of a recurrent network's state, which starts as zeros.
        checkpoint: SHA-256 of the checkpoint that it was made from.
        dataset: what that learned from.
        versions: of what made the file.
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
        """The description as JSON, for a file."""
        values = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        values["action_space"] = self.action_space.state()
        values["preprocessing"] = self.preprocessing.state()
        return json.dumps({"format": FORMAT, "format_version": FORMAT_VERSION, **values}, sort_keys=True)

    @staticmethod
    def from_text(text: str, file: PathLike) -> Description:
        """The description of `text()`.

        Args:
            text: JSON.
            file: named in errors.

        Raises:
            DataError: it is not one, or of another version.
        """
        try:
            values = json.loads(text)
            if values.pop("format") != FORMAT:
                raise ValueError("of another program")
            version = values.pop("format_version")
            if version != FORMAT_VERSION:
                raise ValueError(f"version {version}; this nav_pkg reads {FORMAT_VERSION}")
            values["action_space"] = ActionSpace.from_state(values["action_space"])
            values["preprocessing"] = Preprocessing.from_state(values["preprocessing"])
            values["camera"] = tuple(int(side) for side in values["camera"])
            values["state"] = tuple(tuple(shape) for shape in values["state"])
            nets.spec(values["network"])
            return Description(**values)
        except (DataError, UsageError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{file}: its description is not readable ({' '.join(str(error).split())}): {_REMEDY}"
            ) from error


Run = Callable[[Sequence[np.ndarray]], Sequence[np.ndarray]]
"""A program: an image (or the last frames) and a state to the outputs and the next state."""


class ExportedPilot(Pilot):
    """Answers camera images through an exported file; otherwise as `Pilot`.

    Attributes:
        description: what the file says of itself.
    """

    def __init__(self, description: Description, run: Run):
        """Take a program; it is run on black images first, because the first runs are slow.

        Args:
            description: of the program.
            run: the program.
        """
        self.description = description
        self.network = description.network
        self.action_space = description.action_space
        self.preprocessing = description.preprocessing
        self._run = run
        self._kind = nets.spec(description.network).kind
        self._count = int(description.net_options.get("n_frames", 1))
        self.reset()
        for _ in range(3):  # TorchScript measures in its first runs and then compiles
            self.outputs(np.zeros((*description.camera, 3), np.uint8))
        self.reset()

    def reset(self, seed: int = 0) -> None:
        """Begin a run, as `Pilot.reset`."""
        self._random = np.random.RandomState(seed)
        self._images: Deque[np.ndarray] = deque(maxlen=self._count)
        self._parts = [np.zeros(shape, np.float32) for shape in self.description.state]

    def outputs(self, rgb: np.ndarray) -> np.ndarray:
        """The network's outputs for the next image of the run: float64 (outputs,).

        Raises:
            DataError: the image is not of the camera that the file was exported for.
        """
        wanted = (*self.description.camera, 3)
        if rgb.dtype != np.uint8 or rgb.shape != wanted:
            height, width = self.description.camera
            raise DataError(
                f"an image of {rgb.dtype} {rgb.shape}: the flown file was exported for uint8 images of "
                f"{width}x{height} pixels: export it with the camera's --width and --height"
            )
        image = np.ascontiguousarray(rgb)
        if self._kind == "frames":
            # at a run's start its first frame stands for those before it, as in training
            self._images.extend([image] * (1 if self._images else self._count))
            image = np.stack(self._images)
        outputs, *self._parts = self._run([image, *self._parts])
        return np.asarray(outputs, np.float64)


# ONNX: a protobuf message may be cut anywhere between fields and put together again, so the checksum is a
# last entry of the metadata, of known length, behind all that it is the checksum of.


def _checksum_field(digest: str) -> bytes:
    key = f"{KEY}_sha256".encode()
    entry = b"\x0a" + bytes([len(key)]) + key + b"\x12" + bytes([len(digest)]) + digest.encode()
    return b"\x72" + bytes([len(entry)]) + entry  # field 14 of ModelProto: metadata_props


def with_checksum(model: bytes) -> bytes:
    """An ONNX file's bytes with their SHA-256 as a last entry of the metadata."""
    return model + _checksum_field(hashlib.sha256(model).hexdigest())


def _check_onnx(file: Path, data: bytes) -> None:
    size = len(_checksum_field("0" * 64))
    field = _checksum_field(hashlib.sha256(data[:-size]).hexdigest())
    if data[-size:] != field:
        mine = data[-size:].startswith(field[: size - 64])
        what = "damaged (wrong checksum)" if mine else "cut, or not exported by nav_pkg"
        raise DataError(f"{file}: {what}: copy it again, or {_REMEDY}")


def _open_onnx(file: Path, device: str, threads: int) -> tuple[str, Run]:
    """The description and the program of an ONNX file."""
    try:
        import onnxruntime
    except ImportError:
        raise UsageError(
            f"{file}: flying ONNX needs onnxruntime: pip install onnxruntime, or export to .pt"
        ) from None
    if device == "cuda":
        raise UsageError(
            "--device cuda: ONNX files are computed on the CPU here: leave it out, or export to .pt"
        )
    data = file.read_bytes()
    _check_onnx(file, data)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own kinds; the bytes are whole
        reason = " ".join(str(error).split())
        raise DataError(f"{file}: this onnxruntime cannot run it ({reason}): {_REMEDY}") from error
    names = [item.name for item in session.get_inputs()]

    def run(values: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        return session.run(None, dict(zip(names, values)))

    return session.get_modelmeta().custom_metadata_map.get(KEY, ""), run


def _open_torchscript(file: Path, device: str, _threads: int) -> tuple[str, Run]:
    """The description and the program of a TorchScript file."""
    try:
        # as for checkpoints: torch does not check the archive's checksums
        with zipfile.ZipFile(file) as archive:
            damaged = archive.testzip()
            own = any(name.endswith(f"/extra/{KEY}") for name in archive.namelist())
    except zipfile.BadZipFile as error:
        raise DataError(f"{file}: damaged or no TorchScript file ({error}): {_REMEDY}") from error
    if damaged:
        raise DataError(f"{file}: damaged ({damaged} has a wrong checksum): copy it again, or {_REMEDY}")
    if not own:
        raise DataError(f"{file}: not exported by nav_pkg: {_REMEDY} (a checkpoint is called my-model)")
    extra = {KEY: ""}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that TorchScript is no longer developed
            program = torch.jit.load(str(file), map_location=device, _extra_files=extra).eval()
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{file}: this torch cannot run it ({reason}): {_REMEDY}") from error

    def run(values: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        with torch.inference_mode():
            answers = program(*(torch.from_numpy(np.array(value)).to(device) for value in values))
        answers = answers if isinstance(answers, tuple) else (answers,)
        return [answer.cpu().numpy() for answer in answers]

    text = extra[KEY]
    return text.decode() if isinstance(text, bytes) else text, run


_OPEN = {"onnx": _open_onnx, "torchscript": _open_torchscript}


def is_exported(path: PathLike) -> bool:
    """Whether a `--checkpoint_path` means an exported file, by the end of its name."""
    return Path(path).suffix in SUFFIXES


def open_exported(
    path: PathLike, summary_dir: Optional[PathLike] = None, device: str = "cpu"
) -> ExportedPilot:
    """The pilot of an exported file, on torch's present number of threads.

    Args:
        path: the file; absolute, or relative to `summary_dir`.
        summary_dir: the folder of all logs; None for the default one.
        device: `cpu` or `cuda`.

    Raises:
        DataError: the file is missing, damaged, or not one of ours.
        UsageError: what runs it is not installed, or can't use that device.
    """
    file = checkpoint.locate(path, summary_dir)
    if not file.is_file():
        raise DataError(
            f"{file.parent}: no such file: check --checkpoint_path (relative to --summary_dir, or absolute)"
        )
    try:
        text, run = _OPEN[SUFFIXES[file.suffix]](file, device, torch.get_num_threads())
    except OSError as error:
        raise DataError(f"{file}: cannot read: {(error.strerror or str(error)).lower()}") from error
    return ExportedPilot(Description.from_text(text, file), run)


def _check_network(description: Description, name: PathLike, network: Optional[str]) -> None:
    if network is not None and nets.canonical(network) != description.network:
        raise DataError(
            f"{name}: holds {description.network}, not {network}: give --network {description.network} "
            "or another --checkpoint_path"
        )


def describe(
    path: PathLike, summary_dir: Optional[PathLike] = None, network: Optional[str] = None
) -> Union[Checkpoint, Description]:
    """What a `--checkpoint_path` holds, checkpoint or exported file, once it is known to be whole.

    Args:
        path: as for `Pilot.load`, or an exported file.
        summary_dir: as there.
        network: as there.

    Raises:
        DataError, UsageError: as `Pilot.load` and `open_exported`.
    """
    if not is_exported(path):
        return checkpoint.load(path, summary_dir, network)
    description = open_exported(path, summary_dir).description
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
) -> Pilot:
    """The pilot of a checkpoint or of an exported file: the one place that chooses.

    Arguments and errors as for `Pilot.load`.
    """
    if not is_exported(checkpoint_path):
        return Pilot.load(checkpoint_path, summary_dir, device, speed, turn_speed, network, given)
    onnx = SUFFIXES[Path(checkpoint_path).suffix] == "onnx"
    chosen = resolve_device("cpu" if onnx and device == "auto" else device)
    pilot = open_exported(checkpoint_path, summary_dir, chosen)
    _check_network(pilot.description, checkpoint_path, network)
    check_given(pilot.description, given or {}, str(checkpoint_path))  # type: ignore[arg-type]
    speeds = {"speed": speed, "turn_speed": turn_speed}
    pilot.action_space = dataclasses.replace(
        pilot.action_space, **{key: value for key, value in speeds.items() if value is not None}
    )
    return pilot
