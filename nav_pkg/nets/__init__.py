"""Architectures and their registry: `names()`, `spec(name)`, `build(name, outputs=3, seed=None)`.

`load_pretrained` puts ImageNet weights into a network, `freeze_features` keeps what they say.
"""

from nav_pkg.nets.freeze import freeze_features
from nav_pkg.nets.pretrained import load_pretrained, weights_file
from nav_pkg.nets.registry import NetSpec, build, canonical, complete_options, names, parameter_count, spec

__all__ = [
    "NetSpec",
    "build",
    "canonical",
    "complete_options",
    "freeze_features",
    "load_pretrained",
    "names",
    "parameter_count",
    "spec",
    "weights_file",
]
