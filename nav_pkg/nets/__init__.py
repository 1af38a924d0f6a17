"""Architectures and their registry: `names()`, `spec(name)`, `build(name, outputs=3, seed=None)`."""

from nav_pkg.nets.registry import NetSpec, build, names, parameter_count, spec

__all__ = ["NetSpec", "build", "names", "parameter_count", "spec"]
