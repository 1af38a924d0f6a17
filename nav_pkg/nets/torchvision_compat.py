"""Import torchvision with a CPU build of torch.

Some versions of torch have no CPU build of torchvision. The C++ library of the ordinary wheel needs the
CUDA library and does not load with a CPU torch. torchvision then fails at import, because it describes two
operators (non-maximum suppression) that the library would have declared. nav_pkg does not call them:
declaring their schemas is enough for `models` and `transforms.v2`. The parts written in C++ stay unusable:
`torchvision.ops.nms` and the image codecs of `torchvision.io`.

Always import torchvision through `load()`.
"""

import contextlib
import importlib
import importlib.util
from pathlib import Path

import torch

# As declared in torchvision/csrc/ops/nms.cpp and quantized/cpu/qnms_kernel.cpp.
SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)

_libraries = []  # torch drops a declaration when its library object is deleted


def load():
    """Import torchvision, after declaring the operators that its own library could not declare.

    Returns:
        The module torchvision.

    Raises:
        ImportError: torchvision is not installed.
    """
    spec = importlib.util.find_spec("torchvision")
    if spec is None:
        raise ImportError("torchvision is not installed; run 'make setup' or pip install torchvision")
    # If the library loads (a CUDA build on a machine with a GPU), it declares the operators itself.
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
