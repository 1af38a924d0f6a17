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

KINDS = ("frame", "frames", "recurrent")


@dataclass(frozen=True)
class NetSpec:
    """What a user of a network has to know about it.

    Attributes:
        name: the name on the command line and in checkpoints.
        input_size: height and width of the images that the network takes, pixels.
        summary: one line on the architecture.
        options: keyword arguments of the constructor beside `outputs`, with their defaults. They
            are plain values, kept in checkpoints.
        kind: what it takes and gives, all float32:
            "frame": (batch, 3, height, width) -> (batch, outputs);
            "frames": (batch, n_frames, 3, height, width), oldest frame first -> (batch, outputs);
            "recurrent": a `nav_pkg.nets.recurrent.RecurrentNet`, images
            (batch, time, 3, height, width) -> outputs (batch, time, outputs) and a state.
            inception_net gives the pair (outputs, auxiliary outputs) in training mode.
        head: names of the modules behind the feature layers. What is not under one of them is
            feature layers: ImageNet weights are loaded into these, and `freeze_features` keeps
            them.
        weights: file name of torchvision's ImageNet weights; "" where there are none. Written down
            here because asking torchvision means importing it, which takes seconds.
        batch_norm_weights: the same with the option batch_norm.
        weights_unused: names of the modules that the weights file has beside the feature layers,
            where these are not `head`.
    """

    name: str
    input_size: tuple[int, int]
    summary: str
    options: tuple[tuple[str, Any], ...] = ()
    kind: str = "frame"
    head: tuple[str, ...] = ()
    weights: str = ""
    batch_norm_weights: str = ""
    weights_unused: tuple[str, ...] = ()


class _Entry(NamedTuple):
    spec: NetSpec
    constructor: Callable[..., nn.Module]


ALIASES = {"tinyv2": "tiny_net", "tinyv2_net": "tiny_net"}
"""Other names of networks: the published experiments called tiny_net tinyv2."""

_MODULES = ("tiny", "frames", "recurrent", "vision")
"""The modules of this package that register networks; imported when the registry is first asked."""

_ENTRIES: dict[str, _Entry] = {}


def register(spec: NetSpec) -> Callable[[Callable[..., nn.Module]], Callable[..., nn.Module]]:
    """Class or function decorator: enter a constructor `f(outputs, **options)` under its spec."""

    def enter(constructor: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
        if spec.name in _ENTRIES or spec.name in ALIASES:
            raise ValueError(f"two networks are called {spec.name!r}")
        if spec.kind not in KINDS:
            raise ValueError(f"{spec.name}: unknown kind {spec.kind!r}")
        _ENTRIES[spec.name] = _Entry(spec, constructor)
        return constructor

    return enter


def _entries() -> dict[str, _Entry]:
    for module in _MODULES:
        importlib.import_module(f"nav_pkg.nets.{module}")
    return _ENTRIES


def _entry(name: str) -> _Entry:
    entries = _entries()
    real = ALIASES.get(name, name)
    if real not in entries:
        raise UsageError(f"--network {name!r}: no such network{nearest_name(name, list(entries))}")
    return entries[real]


def names() -> list[str]:
    """The names of all networks, sorted; without aliases."""
    return sorted(_entries())


def canonical(name: str) -> str:
    """The name in `names()` of a network given by that name or by an alias.

    Raises:
        UsageError: no network has that name; the nearest is offered.
    """
    return _entry(name).spec.name


def spec(name: str) -> NetSpec:
    """The facts of a network, by its name or an alias.

    Raises:
        UsageError: no network has that name; the nearest is offered.
    """
    return _entry(name).spec


def complete_options(name: str, **options: Any) -> dict[str, Any]:
    """All options of a network: those given, and the defaults of the rest.

    Args:
        name: a network, or an alias.
        options: those of `spec(name).options`.

    Raises:
        UsageError: unknown network, an option that it lacks, or a value that can't be.
    """
    facts = spec(name)
    known = dict(facts.options)
    for option, value in options.items():
        if option not in known:
            has = ", ".join(f"--{key}" for key in known) or "none"
            raise UsageError(f"--{option}: {facts.name} has no such option (it has: {has})")
        if option == "dropout" and not 0 <= value < 1:
            raise UsageError(f"--dropout {value}: give a share from 0 to below 1")
        if option == "n_frames" and (value < 1 or value != int(value)):
            raise UsageError(f"--n_frames {value}: give a whole number of frames, 1 or more")
    return {**known, **options}


def build(name: str, outputs: int = 3, seed: Optional[int] = None, **options: Any) -> nn.Module:
    """Build a network with fresh weights, in training mode, on the CPU.

    The same name, outputs, options and seed give the same weights on every machine with the same
    torch; torch's own random state is left as it was.

    Args:
        name: one of `names()`, or an alias.
        outputs: number of output values: bins of a discrete action space, or 1.
        seed: of the weights; None draws one from torch's random state.
        options: those of `spec(name).options`.

    Raises:
        UsageError: unknown network, an option that the network lacks, a value that an option
            can't have, or outputs below 1.
    """
    entry = _entry(name)
    complete = complete_options(name, **options)
    if outputs < 1:
        raise UsageError(f"{entry.spec.name}: {outputs} outputs; at least 1 is needed")
    if seed is None:
        seed = int(torch.randint(2**62, ()))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return entry.constructor(outputs=outputs, **complete)


def under(name: str, modules: tuple[str, ...]) -> bool:
    """Whether a parameter, buffer or module is one of some modules or inside one, by names."""
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def parameter_count(net: nn.Module) -> int:
    """The number of trainable and frozen parameters of a network (buffers not counted)."""
    return sum(parameter.numel() for parameter in net.parameters())
