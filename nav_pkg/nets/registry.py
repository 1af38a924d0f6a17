"""The registry of all networks: their inputs, and their constructors.

A network's module registers a constructor under the network's name together with its facts
(`NetSpec`). All other code of nav_pkg uses the registry. A new network is therefore one module in this
package, without changes elsewhere, or one file anywhere (`nav_pkg.nets.own`), which runs only when the user
names it.
"""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, NamedTuple, Optional

import torch
from torch import nn

from nav_pkg.core import UsageError, nearest_name

KINDS = ("frame", "frames", "recurrent")


@dataclass(frozen=True)
class NetSpec:
    """Facts about a network for its users.

    Attributes:
        name: the name on the command line and in checkpoints.
        input_size: height and width of the images that the network takes, pixels.
        summary: one line on the architecture.
        options: keyword arguments of the constructor besides `outputs`, with their defaults. They
            are plain values, stored in checkpoints.
        kind: input and output, all float32:
            "frame": (batch, 3, height, width) -> (batch, outputs);
            "frames": (batch, n_frames, 3, height, width), oldest frame first -> (batch, outputs);
            "recurrent": a `nav_pkg.nets.recurrent.RecurrentNet`, images
            (batch, time, 3, height, width) -> outputs (batch, time, outputs) and a state.
            inception_net gives the pair (outputs, auxiliary outputs) in training mode.
        head: names of the modules after the feature layers. All other modules are feature layers:
            ImageNet weights are loaded into these, and `freeze_features` freezes them.
        weights: file name of torchvision's ImageNet weights; "" for none. It is stored here because
            importing torchvision takes seconds.
        batch_norm_weights: the same with the option batch_norm.
        weights_unused: names of the modules in the weights file that are neither feature layers nor
            `head`.
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


class Code(NamedTuple):
    """The file of a user's own network.

    Attributes:
        file: name of the file, without folders.
        source: content of the file, bytes.
        sha256: SHA-256 of `source`, in hexadecimal digits.
        path: path that the file was read from.
    """

    file: str
    source: bytes
    sha256: str
    path: str


class Entry(NamedTuple):
    """A registered network: its facts, its constructor, and the file of a user's own network."""

    spec: NetSpec
    constructor: Callable[..., nn.Module]
    code: Optional[Code] = None


ALIASES = {"tinyv2": "tiny_net", "tinyv2_net": "tiny_net"}
"""Other names of networks: the published experiments call tiny_net tinyv2."""

_ENTRIES: dict[str, Entry] = {}

_code: Optional[Code] = None
"""The user's file that is running now; networks registered meanwhile belong to it."""


def register(spec: NetSpec) -> Callable[[Callable[..., nn.Module]], Callable[..., nn.Module]]:
    """Class or function decorator: register a constructor `f(outputs, **options)` under its spec."""

    def enter(constructor: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
        name = spec.name if _code is None else f"{_code.file}:{constructor.__name__}"
        if _code is None and (name in _ENTRIES or name in ALIASES):
            raise ValueError(f"two networks are called {name!r}")
        if spec.kind not in KINDS:
            raise ValueError(f"{name}: unknown kind {spec.kind!r}; must be one of {', '.join(KINDS)}")
        size = spec.input_size
        pair = isinstance(size, (tuple, list)) and len(size) == 2
        if not pair or not all(type(side) is int and side > 0 for side in size):
            raise ValueError(f"{name}: input_size {size!r}: must be (height, width), pixels")
        if spec.kind == "frames" and "n_frames" not in dict(spec.options):
            raise ValueError(f"{name}: a network of several frames needs the option n_frames")
        _ENTRIES[name] = Entry(dataclasses.replace(spec, name=name), constructor, _code)
        return constructor

    return enter


def _entries() -> dict[str, Entry]:
    """All networks; imports every module of this package, since any may register networks."""
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        importlib.import_module(f"nav_pkg.nets.{module.name}")
    return _ENTRIES


def _entry(name: str) -> Entry:
    entries = _entries()
    real = ALIASES.get(name, name)
    if real in entries:
        return entries[real]
    if ":" in name:  # a file's network: never search for the file, the name may be from a foreign checkpoint
        raise UsageError(f"--network {name!r}: a network of a file needs FILE.py:NAME")
    raise UsageError(f"--network {name!r}: no such network{nearest_name(name, names())}")


def names() -> list[str]:
    """The names of all networks of nav_pkg, sorted; without aliases."""
    return sorted(name for name, entry in _entries().items() if entry.code is None)


def canonical(name: str) -> str:
    """The registry's name of a network, given by its name, an alias, or /FOLDER/FILE.py:NAME.

    Only this function runs a user's file: its argument must come from the command line. The path must be
    absolute; the registry's own names, which checkpoints contain, never are.

    Raises:
        UsageError: no network has that name (the message suggests the nearest); or the file is missing,
            fails, or does not register the network.
    """
    if Path(name.rpartition(":")[0]).is_absolute():
        from nav_pkg.nets.own import load

        return load(name)
    return _entry(name).spec.name


def user_code(name: str) -> Optional[Code]:
    """The file of a user's own network; None for a network of nav_pkg.

    Raises:
        UsageError: no network has that name.
    """
    return _entry(name).code


def flag_value(name: str) -> str:
    """The value of `--network` for another program, for a network of the registry.

    Raises:
        UsageError: no network has that name.
    """
    code = user_code(name)
    return name if code is None else f"{code.path}:{name.rpartition(':')[2]}"


def spec(name: str) -> NetSpec:
    """The facts of a network, by its name or an alias.

    Raises:
        UsageError: no network has that name; the message suggests the nearest.
    """
    return _entry(name).spec


def complete_options(name: str, **options: Any) -> dict[str, Any]:
    """All options of a network: the given ones, and the defaults of the others.

    Args:
        name: a network, or an alias.
        options: some of `spec(name).options`.

    Raises:
        UsageError: the network is unknown, lacks an option, or a value is invalid.
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
    torch. With a seed, torch's own random state does not change.

    Args:
        name: one of `names()`, or an alias.
        outputs: number of output values: bins of a discrete action space, 1 of a continuous one, 2 of a
            stochastic one.
        seed: of the weights; None draws a seed from torch's random state.
        options: some of `spec(name).options`.

    Raises:
        UsageError: the network is unknown, lacks an option, a value is invalid, outputs is below 1, or a
            user's own network does not fit its `NetSpec`.
    """
    entry = _entry(name)
    complete = complete_options(name, **options)
    if outputs < 1:
        raise UsageError(f"{entry.spec.name}: {outputs} outputs; at least 1 is needed")
    if seed is None:
        seed = int(torch.randint(2**62, ()))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if entry.code is not None:
            from nav_pkg.nets.own import build as build_own

            return build_own(entry, outputs, complete)
        return entry.constructor(outputs=outputs, **complete)


def is_within(name: str, modules: tuple[str, ...]) -> bool:
    """Whether a parameter, buffer or module is one of some modules or inside one; compares names."""
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def parameter_count(net: nn.Module) -> int:
    """Number of parameters of a network, trainable and frozen, without buffers."""
    return sum(parameter.numel() for parameter in net.parameters())
