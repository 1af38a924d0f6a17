"""One registry of all networks: what each takes in, and how it is built from a seed.

A network's module registers a constructor under the network's name together with its facts
(`NetSpec`). Everything else in nav_pkg asks the registry, so that a new network is one module here
and nothing elsewhere.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any, Callable, NamedTuple, Optional

import torch
from torch import nn

from nav_pkg.core import UsageError, nearest_name


@dataclass(frozen=True)
class NetSpec:
    """What a user of a network has to know about it.

    Attributes:
        name: the name on the command line and in checkpoints.
        input_size: height and width of the image that the network takes, pixels; every network
            takes float32 (batch, 3, height, width) and gives float32 (batch, outputs).
        summary: one line on the architecture.
        options: keyword arguments of the constructor beside `outputs`, with their defaults. They
            are plain values, kept in checkpoints.
    """

    name: str
    input_size: tuple[int, int]
    summary: str
    options: tuple[tuple[str, Any], ...] = ()


class _Entry(NamedTuple):
    spec: NetSpec
    constructor: Callable[..., nn.Module]


_MODULES = ("tiny",)
"""The modules of this package that register networks; imported when the registry is first asked."""

_ENTRIES: dict[str, _Entry] = {}


def register(spec: NetSpec) -> Callable[[Callable[..., nn.Module]], Callable[..., nn.Module]]:
    """Class or function decorator: enter a constructor `f(outputs, **options)` under its spec."""

    def enter(constructor: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
        if spec.name in _ENTRIES:
            raise ValueError(f"two networks are called {spec.name!r}")
        _ENTRIES[spec.name] = _Entry(spec, constructor)
        return constructor

    return enter


def _entries() -> dict[str, _Entry]:
    for module in _MODULES:
        importlib.import_module(f"nav_pkg.nets.{module}")
    return _ENTRIES


def _entry(name: str) -> _Entry:
    entries = _entries()
    if name not in entries:
        raise UsageError(f"--network {name!r}: no such network{nearest_name(name, list(entries))}")
    return entries[name]


def names() -> list[str]:
    """The names of all networks, sorted."""
    return sorted(_entries())


def spec(name: str) -> NetSpec:
    """The facts of a network.

    Raises:
        UsageError: no network has that name; the nearest is offered.
    """
    return _entry(name).spec


def build(name: str, outputs: int = 3, seed: Optional[int] = None, **options: Any) -> nn.Module:
    """Build a network with fresh weights, in training mode, on the CPU.

    The same name, outputs, options and seed give the same weights on every machine with the same
    torch; torch's own random state is left as it was.

    Args:
        name: one of `names()`.
        outputs: number of output values: bins of a discrete action space, or 1.
        seed: of the weights; None draws one from torch's random state.
        options: those of `spec(name).options`.

    Raises:
        UsageError: unknown network, an option that the network lacks, or outputs below 1.
    """
    entry = _entry(name)
    known = dict(entry.spec.options)
    for option in options:
        if option not in known:
            has = ", ".join(f"--{key}" for key in known) or "none"
            raise UsageError(f"--{option}: {name} has no such option (it has: {has})")
    if outputs < 1:
        raise UsageError(f"{name}: {outputs} outputs; at least 1 is needed")
    if seed is None:
        seed = int(torch.randint(2**62, ()))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return entry.constructor(outputs=outputs, **{**known, **options})


def parameter_count(net: nn.Module) -> int:
    """The number of trainable and frozen parameters of a network (buffers not counted)."""
    return sum(parameter.numel() for parameter in net.parameters())
