"""Export a checkpoint as one ONNX file that contains the preprocessing, and check it on real images.

Examples:
    export.py --checkpoint_path my_training --output my_net.onnx
    export.py --checkpoint_path my_training --output bebop.onnx --width 856 --height 480
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

import numpy as np

from nav_pkg.config.parser import Parser
from nav_pkg.config.paths import data_root, summary_dir
from nav_pkg.config.types import network, real, whole
from nav_pkg.core import DataError, UsageError
from nav_pkg.data.resize import resize
from nav_pkg.learn import prechecks


def parser() -> Parser:
    """Make the parser."""
    p = Parser(prog="export.py", description=__doc__)
    add = p.add_argument
    add("-m", "--checkpoint_path", required=True, help="checkpoint: a log folder or a file")
    add("--summary_dir", type=Path, default=summary_dir(), help="folder of all logs")
    add("--network", type=network, help="network that the checkpoint must hold; FILE.py:NAME for your own")
    add(
        "--output",
        type=Path,
        nargs="+",
        required=True,
        help="files to write: NAME.onnx, or NAME.pt (TorchScript) for robots with libtorch; NAME alone means "
        "NAME.onnx; a .pt file flies here only with --trust_torchscript",
    )
    add("--width", type=whole(16, 8192), help="width of the robot's camera, pixels (default: as in training)")
    add(
        "--height",
        type=whole(16, 8192),
        help="height of the robot's camera, pixels (default: as in training)",
    )
    add("--dataset", help="dataset with the images for the check (default: that of the training)")
    add("--data_root", type=Path, default=data_root(), help="folder of all datasets")
    add(
        "--images",
        type=Path,
        nargs="+",
        help="image files for the check, in this order, instead of a dataset",
    )
    add("--frames", type=whole(1), default=50, help="frames of the dataset for the check")
    add(
        "--tolerance",
        type=real(0, 1, open_least=True),
        default=1e-4,
        help="largest accepted difference of an output, relative to the largest output",
    )
    return p


def _camera(args: argparse.Namespace, trained_on: Optional[Sequence[int]]) -> Tuple[int, int]:
    """Height and width of the exported file's input images; `trained_on` is (width, height)."""
    if (args.width is None) != (args.height is None):
        raise UsageError("export.py: give both --width and --height, or neither")
    if args.width is not None:
        return args.height, args.width
    if not trained_on:
        raise UsageError(
            f"export.py: {args.checkpoint_path} does not state its training camera: give --width and --height"
        )
    return int(trained_on[1]), int(trained_on[0])


def _read(file: Path) -> np.ndarray:
    from PIL import Image, UnidentifiedImageError

    try:
        return np.asarray(Image.open(file).convert("RGB"))
    except UnidentifiedImageError:
        raise DataError(f"{file}: not an image: check --images") from None
    except OSError as error:
        raise DataError(f"{file}: cannot read: {error.strerror or error}: check --images") from error


def _images(args: argparse.Namespace, trained_on: Optional[str]) -> List[np.ndarray]:
    """Images for the comparison of answers: given files, or consecutive frames of a run."""
    from nav_pkg.data.reader import load_dataset

    if args.images:
        return [_read(file) for file in args.images]
    name = args.dataset or trained_on
    if not name:
        raise UsageError(
            f"export.py: {args.checkpoint_path} names no dataset: give --dataset or --images with real "
            "images for the check"
        )
    try:
        run = max(load_dataset(name, args.data_root).require_runs(), key=len)
    except DataError as error:
        if args.dataset:
            raise
        raise DataError(
            f"{error} (the dataset of the training; --dataset or --images give other images for the check)"
        ) from error
    # the middle of the longest run: at its start the robot is just beginning to move
    first = max(0, (len(run) - args.frames) // 2)
    return [run.rgb(i) for i in range(first, min(first + args.frames, len(run)))]


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command."""
    args = parser().parse_args(argv)
    prechecks.network(args.network)
    prechecks.checkpoint(args.checkpoint_path, args.summary_dir)
    if args.dataset:
        prechecks.dataset(args.dataset, args.data_root)
    from nav_pkg.learn import checkpoint, export
    from nav_pkg.learn.exported import is_exported
    from nav_pkg.learn.exported_files import SUFFIXES

    args.output = [file if file.suffix else file.with_suffix(".onnx") for file in args.output]
    for file in args.output:
        if file.suffix not in SUFFIXES:
            raise UsageError(f"--output {file}: must end in {' or '.join(SUFFIXES)}, which says the format")
    if is_exported(args.checkpoint_path):
        raise UsageError(f"export.py: {args.checkpoint_path} is exported already: give its checkpoint")
    loaded = checkpoint.load(args.checkpoint_path, args.summary_dir, args.network)
    source = checkpoint.locate(args.checkpoint_path, args.summary_dir)
    camera = _camera(args, loaded.dataset.get("camera"))
    images = [resize(image, camera) for image in _images(args, loaded.dataset.get("name"))]
    for file in args.output:
        parity = export.export(loaded, source, file, camera, images, args.tolerance)
        size = file.stat().st_size / 1e6
        print(f"{file}: {loaded.network}, camera {camera[1]}x{camera[0]}, {size:.1f} MB")
        print(f"  against the checkpoint on {parity}")
    return 0
