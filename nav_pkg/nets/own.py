"""A user's own networks, in any file: `--network my_nets.py:MyNet`.

Such a file is the user's code and runs with the user's rights. It runs only when the user names it on a
command line. Its networks are registered as `my_nets.py:MyNet`, without folders. A checkpoint stores the
file's SHA-256, and a copy of the file lies beside it; the name in a checkpoint never causes code to run.
"""

from __future__ import annotations

import hashlib
import sys
import traceback
import types
from pathlib import Path
from typing import Any, Mapping

import torch
from torch import nn

from nav_pkg.core import UsageError, nearest_name
from nav_pkg.nets import registry


def load(given: str) -> str:
    """Run a file and return the registry's name of one of its networks.

    Args:
        given: FILE.py:NAME; NAME is the class (or function) that the file registers.

    Raises:
        UsageError: the file is missing, fails, or does not register the network.
    """
    path, _, name = given.rpartition(":")
    file = Path(path).expanduser()
    try:
        source = file.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageError(f"--network {given}: cannot read {file}: {reason}") from error
    code = registry.Code(file.name, source, hashlib.sha256(source).hexdigest(), str(file))
    known = _names(code)
    if not known:
        _run(file, code)
        known = _names(code)
    if name not in known:
        raise UsageError(
            f"--network {given}: {file} registers no {name!r}{nearest_name(name, known)}"
            if known
            else f"--network {given}: {file} registers no network: put @register(NetSpec(...)) above a class"
        )
    return f"{code.file}:{name}"


def _names(code: registry.Code) -> list[str]:
    """The names that a file of this content has registered, without the file's name."""
    same = (code.file, code.sha256)
    entries = registry._entries().items()
    names = [name for name, entry in entries if entry.code and (entry.code.file, entry.code.sha256) == same]
    return sorted(name.rpartition(":")[2] for name in names)


def _run(file: Path, code: registry.Code) -> None:
    module = types.ModuleType(f"nav_pkg_network_{code.sha256[:16]}")
    module.__file__ = str(file)
    sys.modules[module.__name__] = module  # dataclasses, for example, look up their module
    registry._code = code
    try:
        # run the bytes that were hashed; do not read the file again
        exec(compile(code.source, str(file), "exec"), module.__dict__)
    except Exception as error:
        del sys.modules[module.__name__]
        raise UsageError(f"--network: {_where_and_why(error, str(file))}") from error
    finally:
        registry._code = None


def build(entry: registry.Entry, outputs: int, options: Mapping[str, Any]) -> nn.Module:
    """Build a user's network, and compute one black image with it to see that it fits its `NetSpec`.

    Args:
        entry: the network.
        outputs: number of output values.
        options: all its options.

    Raises:
        UsageError: the network cannot be built, does not fit its `NetSpec`, or fails on an image.
    """
    spec, code = entry.spec, entry.code
    assert code is not None
    try:
        net = entry.constructor(outputs=outputs, **options)
    except Exception as error:
        raise UsageError(
            f"--network {spec.name}: cannot be built: {_where_and_why(error, code.path)} (called with "
            f"outputs and the options of its NetSpec: {', '.join(options) or 'none'})"
        ) from error
    if not isinstance(net, nn.Module):
        raise UsageError(f"--network {spec.name}: gives {type(net).__name__}, not a torch.nn.Module")
    parts = {
        name for find in (net.named_modules, net.named_parameters, net.named_buffers) for name, _ in find()
    }
    for name in spec.head:
        if name not in parts:
            raise UsageError(f"--network {spec.name}: head: it has no module {name!r}: name its last layers")
    if spec.kind == "recurrent" and not hasattr(net, "initial_state"):
        raise UsageError(
            f"--network {spec.name}: kind 'recurrent': must be a nav_pkg.nets.recurrent.RecurrentNet"
        )
    leading = {"frame": (1,), "frames": (1, options.get("n_frames")), "recurrent": (1, 1)}[spec.kind]
    modes = [(module, module.training) for module in net.modules()]
    device = next((parameter.device for parameter in net.parameters()), None)
    try:
        with torch.no_grad():
            answer = net.eval()(torch.zeros(*leading, 3, *spec.input_size, device=device))
    except Exception as error:
        raise UsageError(
            f"--network {spec.name}: fails on an image of input_size {spec.input_size}: "
            f"{_where_and_why(error, code.path)}"
        ) from error
    for module, mode in modes:
        module.training = mode
    answer = answer[0] if isinstance(answer, tuple) and answer else answer
    wanted = (1, 1, outputs) if spec.kind == "recurrent" else (1, outputs)
    shape = tuple(answer.shape) if isinstance(answer, torch.Tensor) else type(answer).__name__
    if shape != wanted:
        raise UsageError(
            f"--network {spec.name}: gives {shape} for one image, and must give {wanted}: its last layer "
            "needs `outputs` values"
        )
    return net


def _where_and_why(error: Exception, file: str) -> str:
    """The line of a user's file that raised an error, if one did, and the error."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else None
    where = file if line is None else f"{file}, line {line}"
    return f"{where}: {type(error).__name__}: {' '.join(str(error).split())}"
