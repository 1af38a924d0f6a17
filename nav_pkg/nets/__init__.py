"""Architectures and their registry: `names()`, `spec(name)`, `build(name, outputs=3, seed=None)`.

`load_pretrained` loads ImageNet weights into a network; `freeze_features` freezes its feature layers.
"""

from nav_pkg.nets.freeze import freeze_features
from nav_pkg.nets.pretrained import load_pretrained, weights_file
from nav_pkg.nets.registry import (
    NetSpec,
    build,
    canonical,
    code_of,
    complete_options,
    given_name,
    names,
    parameter_count,
    register,
    spec,
)

__all__ = [
    "NetSpec",
    "build",
    "canonical",
    "code_of",
    "complete_options",
    "freeze_features",
    "given_name",
    "load_pretrained",
    "names",
    "parameter_count",
    "register",
    "spec",
    "weights_file",
]
