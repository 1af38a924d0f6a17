"""Imports torchvision beside a CPU build of torch.

There is no CPU build of torchvision for every torch: the ordinary wheel's C++ library asks for CUDA's
and does not load beside a CPU torch. torchvision then fails at import, because it describes two
operators (non-maximum suppression) that the library would have declared. Nothing here calls them:
declaring their schemas is enough for `models` and `transforms.v2`. What stays unusable is what is
written in C++: `torchvision.ops.nms` and the image codecs of `torchvision.io`.

Always import torchvision through `load()`.
"""

import contextlib
import importlib
import importlib.util
from pathlib import Path

import torch

# As torchvision/csrc/ops/nms.cpp and quantized/cpu/qnms_kernel.cpp declare them.
SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)

_libraries = []  # torch forgets a declaration when its library object goes


def load():
    """Imports torchvision, after declaring the operators that its own library could not.

    Returns:
        The module torchvision.

    Raises:
        ImportError: torchvision is not installed.
    """
    spec = importlib.util.find_spec("torchvision")
    if spec is None:
        raise ImportError("torchvision is not installed; run 'make setup' or pip install torchvision")
    # Where the library loads (a CUDA build on a machine with a GPU) it declares them itself.
    for library in Path(spec.origin).parent.glob("_C*.so"):
        with contextlib.suppress(OSError):
            torch.ops.load_library(str(library))
    missing = [schema for schema in SCHEMAS if not hasattr(torch.ops.torchvision, schema.split("(")[0])]
    if missing:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for schema in missing:
            library.define(schema)
        _libraries.append(library)
    return importlib.import_module("torchvision")
