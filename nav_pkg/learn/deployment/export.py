"""Export a checkpoint as one ONNX (or TorchScript) file that includes its preprocessing, and verify it.

The file takes unprocessed camera images (uint8, RGB) and gives the network's outputs. It is kept only if it
gives the same answers to real images as the checkpoint's own pilot.
"""

from __future__ import annotations

import copy
import hashlib
import inspect
import io
import logging
import os
import warnings
from pathlib import Path
from typing import Any, Iterable, NamedTuple, Tuple

import numpy as np
import torch
from torch import nn

from nav_pkg import nets
from nav_pkg.config.paths import PathLike
from nav_pkg.core import DataError, UsageError
from nav_pkg.data import files
from nav_pkg.learn.batches.preprocess import Preprocessing
from nav_pkg.learn.checkpoints.checkpoint import Checkpoint, versions
from nav_pkg.learn.deployment.exported import SIDES, Description, open_exported
from nav_pkg.learn.deployment.exported_files import DESCRIPTION_KEY, SUFFIXES, with_checksum
from nav_pkg.learn.deployment.pilot import Pilot
from nav_pkg.learn.deployment.tensor_resize import TensorResize

OPSET = 17
"""Version of ONNX's operators; onnxruntime 1.13 and later support it."""

TOLERANCE = 1e-4
"""Largest difference of an output that counts as equal, relative to the largest output."""

ROUNDING = 1e-6
"""Absolute difference of outputs that always counts as equal."""


class CameraNet(nn.Module):
    """A network with its preprocessing: camera images in, outputs out.

    The input is uint8 (height, width, 3), red, green, blue. For a network of several frames it is uint8
    (n_frames, height, width, 3), oldest first. A recurrent network also takes its state h, c, float32
    (layers, 1, hidden) each, and returns the next state after the outputs. Outputs are float32 (outputs,).

    Args:
        net: the network, in evaluation mode.
        kind: the network's kind in the registry.
        preprocessing: the preprocessing of training.
        camera: height and width of the camera's images, pixels.
    """

    def __init__(self, net: nn.Module, kind: str, preprocessing: Preprocessing, camera: Tuple[int, int]):
        super().__init__()
        self.net = net
        self.resize = TensorResize(*camera, preprocessing.size)
        self._kind = kind
        self._mode = preprocessing.mode
        for name, values in (("means", preprocessing.means), ("stds", preprocessing.stds)):
            self.register_buffer(name, torch.tensor(values).reshape(3, 1, 1))

    def _input(self, images: torch.Tensor) -> torch.Tensor:
        """Compute `Preprocessing.input`: float32 (batch, 3, *size) from uint8 (batch, height, width, 3)."""
        pixels = self.resize(images) * (1 / 255)
        if self._mode == "shifted":
            return pixels - 0.5
        return pixels if self._mode == "none" else (pixels - self.means) / self.stds

    def forward(self, image: torch.Tensor, *state: torch.Tensor) -> Any:
        """Compute the outputs for the next image (see the class)."""
        if self._kind == "frames":
            return self.net(self._input(image)[None])[0]
        inputs = self._input(image[None])
        if self._kind == "frame":
            return self.net(inputs)[0]
        outputs, (h, c) = self.net.recur(self.net.extract(inputs)[None], state)
        return outputs[0, 0], h, c


class Parity(NamedTuple):
    """Differences between an exported file and its checkpoint.

    Attributes:
        images: number of images compared, in the order of a run.
        largest: largest absolute difference of an output.
        mean: mean absolute difference.
        scale: largest absolute output of the checkpoint.
        equal: share of images with the same command: the same class, or a yaw rate that differs by at
            most the tolerance.
    """

    images: int
    largest: float
    mean: float
    scale: float
    equal: float

    def holds(self, tolerance: float) -> bool:
        """Whether outputs agree to `tolerance` of the largest plus `ROUNDING`, and all commands are equal."""
        return self.largest <= tolerance * self.scale + ROUNDING and self.equal == 1.0

    def __str__(self) -> str:
        return (
            f"{self.images} images: outputs up to {self.scale:.3g}, largest difference {self.largest:.2g}, "
            f"mean {self.mean:.2g}; {100 * self.equal:.4g} % equal commands"
        )


def compare(own: Pilot, other: Pilot, images: Iterable[np.ndarray], tolerance: float = TOLERANCE) -> Parity:
    """Compare two pilots on the same images, as one run.

    Args:
        own: the pilot of the checkpoint.
        other: the pilot of the exported file.
        images: uint8 (height, width, 3), in order.
        tolerance: of yaw rates, rad/s.
    """
    own.reset()
    other.reset()
    differences, scale, equal = [], 0.0, []
    for image in images:
        a, b = own.outputs(image), other.outputs(image)
        differences.append(np.abs(a - b))
        scale = max(scale, float(np.abs(a).max()))
        yaw_a, yaw_b = own.action_space.yaw(a[None])[0], other.action_space.yaw(b[None])[0]
        equal.append(abs(yaw_a - yaw_b) <= tolerance)  # false for nan
    if not differences:
        raise UsageError("no image to compare the exported file with: give --dataset or --images")
    values = np.array(differences)
    return Parity(len(values), float(values.max()), float(values.mean()), scale, float(np.mean(equal)))


def export(
    loaded: Checkpoint,
    source: PathLike,
    output: PathLike,
    camera: Tuple[int, int],
    images: Iterable[np.ndarray],
    tolerance: float = TOLERANCE,
) -> Parity:
    """Export a checkpoint to a file, and keep the file only if it answers as the checkpoint does.

    Args:
        loaded: the checkpoint.
        source: the checkpoint's file; its hash is stored in the exported file.
        output: the file to write; .onnx or .pt decides the format. An existing file is replaced.
        camera: height and width of the camera's images, pixels.
        images: uint8 (*camera, 3), in the order of a run, for the comparison.
        tolerance: see `Parity.holds`.

    Returns:
        The differences between the file and the checkpoint.

    Raises:
        UsageError: the file's suffix is unknown, a side of the camera is out of range, no images are
            given, or the package that writes the format is not installed.
        DataError: the answers differ (nothing is left behind then), or writing failed.
    """
    output = Path(output)
    if output.suffix not in SUFFIXES:
        raise UsageError(f"--output {output}: must end in {' or '.join(SUFFIXES)}, which says the format")
    if not all(SIDES[0] <= side <= SIDES[1] for side in camera):
        raise UsageError(
            f"--width {camera[1]} --height {camera[0]}: {SIDES[0]} to {SIDES[1]} pixels are needed"
        )
    kind = nets.spec(loaded.network).kind
    net = loaded.build().eval().requires_grad_(False)
    own = Pilot(
        loaded.network,
        copy.deepcopy(net),
        loaded.action_space,
        loaded.preprocessing,
        n_frames=loaded.net_options.get("n_frames", 1),
    )
    # mid-grey instead of black: no branch of a network may be dead while it is traced
    example = [torch.full((*camera, 3), 127, dtype=torch.uint8)]
    if kind == "frames":
        example = [example[0].repeat(loaded.net_options["n_frames"], 1, 1, 1)]
    state = list(net.initial_state(1)) if kind == "recurrent" else []
    description = Description(
        network=loaded.network,
        outputs=loaded.outputs,
        net_options=loaded.net_options,
        action_space=loaded.action_space,
        preprocessing=loaded.preprocessing,
        camera=tuple(camera),
        state=tuple(tuple(part.shape) for part in state),
        checkpoint=hashlib.sha256(Path(source).read_bytes()).hexdigest(),
        dataset=loaded.dataset,
        versions=versions(),
    )
    program = CameraNet(net, kind, loaded.preprocessing, camera).eval()
    write = {"onnx": _onnx, "torchscript": _torchscript}[SUFFIXES[output.suffix]]
    data = write(program, (*example, *state), description.text())
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        files.sweep(output.parent, output.name)
        # use a temporary name until it has been compared; the suffix must stay
        with files.temporary(output, output.suffix) as (beside, fd):
            files.write_all(fd, data)
            os.fsync(fd)
            del data
            pilot = open_exported(beside.resolve(), trust=output.suffix == ".pt")
            parity = compare(own, pilot, images, tolerance)
            if not parity.holds(tolerance):
                raise DataError(
                    f"{output}: not kept: its outputs differ from the checkpoint's ({parity}; allowed: "
                    f"{tolerance:g} of the largest output, all commands equal): give another --output "
                    "format, or a --tolerance that you can justify"
                )
            os.replace(beside, output)
        files.fsync(output.parent)
    except OSError as error:
        raise files.disk_error(output, error, "--output") from error
    return parity


def _torchscript(program: CameraNet, example: Tuple[torch.Tensor, ...], text: str) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the end of TorchScript's development
        traced = torch.jit.freeze(torch.jit.trace(program, example, check_trace=False))
        buffer = io.BytesIO()
        torch.jit.save(traced, buffer, _extra_files={DESCRIPTION_KEY: text})
    return buffer.getvalue()


def _onnx(program: CameraNet, example: Tuple[torch.Tensor, ...], text: str) -> bytes:
    try:
        import onnx
    except ImportError:
        raise UsageError("exporting to ONNX needs the package onnx: pip install onnx") from None
    recurrent = len(example) == 3
    state = ["h", "c"] if recurrent else []
    buffer = io.BytesIO()
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # about the exporter's age, and the fixed batch of an LSTM (here 1)
            warnings.simplefilter("ignore")
            torch.onnx.export(
                program,
                example,
                buffer,
                input_names=["image", *state],
                output_names=["outputs", *(f"next_{name}" for name in state)],
                opset_version=OPSET,
                **TRACING,
            )
    finally:
        logger.setLevel(before)
    model = onnx.load_model_from_string(buffer.getvalue())
    onnx.checker.check_model(model)
    entry = model.metadata_props.add()
    entry.key, entry.value = DESCRIPTION_KEY, text
    return with_checksum(model.SerializeToString())


def _tracing() -> dict[str, Any]:
    # torch's newer exporter, the default from 2.9, needs three more packages; older torch lacks the argument
    return {"dynamo": False} if "dynamo" in inspect.signature(torch.onnx.export).parameters else {}


TRACING = _tracing()
"""Arguments of torch.onnx.export that select the tracing exporter."""
