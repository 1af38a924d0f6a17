"""The files of export.py: a checkpoint exported in each format, checked on real images."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator, List, Optional, Sequence, Tuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from nav_pkg.config.checkpoints import ExportConfig
from nav_pkg.core import DataError, UsageError
from nav_pkg.data.reader import load_dataset
from nav_pkg.data.resize import resize
from nav_pkg.learn.checkpoints import checkpoint
from nav_pkg.learn.deployment import export
from nav_pkg.learn.deployment.exported import is_exported
from nav_pkg.learn.deployment.exported_files import SUFFIXES


def export_files(config: ExportConfig) -> Iterator[str]:
    """Write each file, and say what it holds and how far its answers are from the checkpoint's.

    Raises:
        UsageError: a file's format, the camera or the images are not known.
        DataError: the checkpoint, the dataset or an image is missing or damaged.
    """
    files = [file if file.suffix else file.with_suffix(".onnx") for file in config.output]
    for file in files:
        if file.suffix not in SUFFIXES:
            raise UsageError(f"--output {file}: must end in {' or '.join(SUFFIXES)}, which says the format")
    if is_exported(config.checkpoint_path):
        raise UsageError(f"export.py: {config.checkpoint_path} is exported already: give its checkpoint")
    loaded = checkpoint.load(config.checkpoint_path, config.summary_dir, config.network)
    source = checkpoint.locate(config.checkpoint_path, config.summary_dir)
    camera = _camera(config, loaded.dataset.get("camera"))
    images = [resize(image, camera) for image in _images(config, loaded.dataset.get("name"))]
    for file in files:
        parity = export.export(loaded, source, file, camera, images, config.tolerance)
        size = file.stat().st_size / 1e6
        yield f"{file}: {loaded.network}, camera {camera[1]}x{camera[0]}, {size:.1f} MB"
        yield f"  against the checkpoint on {parity}"


def _camera(config: ExportConfig, trained_on: Optional[Sequence[int]]) -> Tuple[int, int]:
    """Height and width of the exported file's input images; `trained_on` is (width, height)."""
    if (config.width is None) != (config.height is None):
        raise UsageError("export.py: give both --width and --height, or neither")
    if config.width is not None:
        return config.height, config.width
    if not trained_on:
        raise UsageError(
            f"export.py: {config.checkpoint_path} does not state its training camera: give --width and "
            "--height"
        )
    return int(trained_on[1]), int(trained_on[0])


def _read(file: Path) -> np.ndarray:
    try:
        return np.asarray(Image.open(file).convert("RGB"))
    except UnidentifiedImageError:
        raise DataError(f"{file}: not an image: check --images") from None
    except OSError as error:
        raise DataError(f"{file}: cannot read: {error.strerror or error}: check --images") from error


def _images(config: ExportConfig, trained_on: Optional[str]) -> List[np.ndarray]:
    """Images for the comparison of answers: given files, or consecutive frames of a run."""
    if config.images:
        return [_read(file) for file in config.images]
    name = config.dataset or trained_on
    if not name:
        raise UsageError(
            f"export.py: {config.checkpoint_path} names no dataset: give --dataset or --images with real "
            "images for the check"
        )
    try:
        run = max(load_dataset(name, config.data_root).require_runs(), key=len)
    except DataError as error:
        if config.dataset:
            raise
        raise DataError(
            f"{error} (the dataset of the training; --dataset or --images give other images for the check)"
        ) from error
    # the middle of the longest run: at its start the robot is just beginning to move
    first = max(0, (len(run) - config.frames) // 2)
    return [run.rgb(i) for i in range(first, min(first + config.frames, len(run)))]
