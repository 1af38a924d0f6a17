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
        lines = [
            frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)
        ]
        line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else 0
        text = " ".join(str(error).split())
        raise UsageError(f"--network: {file}, line {line}: {type(error).__name__}: {text}") from error
    finally:
        registry._code = None
