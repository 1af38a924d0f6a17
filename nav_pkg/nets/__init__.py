"""Architectures and their registry: `names()`, `spec(name)`, `build(name, outputs=3, seed=None)`.

`load_pretrained` loads ImageNet weights into a network; `freeze_features` freezes its feature layers.
"""

from nav_pkg.nets.freeze import freeze_features
from nav_pkg.nets.pretrained import load_pretrained, weights_file
from nav_pkg.nets.registry import (
    NetSpec,
    build,
    canonical,
    complete_options,
    flag_value,
    names,
    parameter_count,
    register,
    spec,
    user_code,
)

__all__ = [
    "NetSpec",
    "build",
    "canonical",
    "user_code",
    "complete_options",
    "freeze_features",
    "flag_value",
    "load_pretrained",
    "names",
    "parameter_count",
    "register",
    "spec",
    "weights_file",
]
