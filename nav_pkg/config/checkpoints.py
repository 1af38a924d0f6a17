"""The settings of the commands that use weights on the ground: export.py, playback.py, pretrained.py."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Tuple

from nav_pkg.config import types
from nav_pkg.config.learner import MOST_THREADS
from nav_pkg.config.session import PlaceConfig
from nav_pkg.config.setting import setting, shared
from nav_pkg.config.types import integer, real


@dataclass(frozen=True)
class ExportConfig:
    """Export."""

    checkpoint_path: str = setting("", "checkpoint: a log folder or a file", str, short="-m", required=True)
    summary_dir: Path = shared(PlaceConfig, "summary_dir")
    network: Optional[str] = setting(
        None, "network that the checkpoint must hold; FILE.py:NAME for your own", types.network
    )
    output: Tuple[Path, ...] = setting(
        (),
        "files to write: NAME.onnx, or NAME.pt (TorchScript) for robots with libtorch; NAME "
        "alone means NAME.onnx; a .pt file flies here only with --trust_torchscript",
        Path,
        nargs="+",
        required=True,
    )
    width: Optional[int] = setting(
        None, "width of the robot's camera, pixels (default: as in training)", integer(16, 8192)
    )
    height: Optional[int] = setting(
        None, "height of the robot's camera, pixels (default: as in training)", integer(16, 8192)
    )
    dataset: Optional[str] = setting(
        None, "dataset with the images for the check (default: that of the training)", str
    )
    data_root: Path = shared(PlaceConfig, "data_root")
    images: Tuple[Path, ...] = setting(
        (), "image files for the check, in this order, instead of a dataset", Path, nargs="+"
    )
    frames: int = setting(50, "frames of the dataset for the check", integer(1))
    tolerance: float = setting(
        1e-4,
        "largest accepted difference of an output, relative to the largest output",
        real(0, 1, open_least=True),
    )


@dataclass(frozen=True)
class PlaybackConfig:
    """Playback."""

    checkpoint_path: Tuple[str, ...] = setting(
        (), "checkpoints: log folders or files", str, short="-m", nargs="+", required=True
    )
    dataset: str = setting("", "dataset with the runs to play back", str, required=True)
    part: str = setting(
        "val",
        "part of the dataset; all: every run, also of a dataset without parts",
        str,
        choices=("train", "val", "test", "all"),
    )
    csv: Optional[Path] = setting(None, "also write the table to this file, with all digits", Path)
    num_threads: int = setting(0, "processor threads of a network; 0: one per core", integer(0, MOST_THREADS))
    summary_dir: Path = shared(PlaceConfig, "summary_dir")
    data_root: Path = shared(PlaceConfig, "data_root")


@dataclass(frozen=True)
class PretrainedConfig:
    """Pretrained weights."""

    network: Tuple[str, ...] = setting((), "alex_net or vgg16_net", str, positional=True, nargs="+")
    archive: Optional[Path] = setting(None, "source archive that was downloaded before", Path)
