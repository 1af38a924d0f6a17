"""Make a world on disk, compare it with its floor plan, and find it again."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Union
from xml.etree import ElementTree

import numpy as np

from nav_pkg.core import ROOT, DataError, UsageError
from nav_pkg.private import private_folder
from nav_pkg.reading import read_json, read_small
from nav_pkg.world import files
from nav_pkg.world.content import generate
from nav_pkg.world.plan import FloorPlan

MANIFEST = "manifest.json"
GENERATOR = (
    *("artwork", "content", "files", "geometry", "lighting"),
    *("mesh", "plan", "plan_file", "route", "textures"),
)
"""Modules that determine a world's files; plan_file has the defaults for lamps and limits."""


@functools.lru_cache(maxsize=1)
def _generator() -> str:
    """SHA-256 of the source code that determines the files' bytes."""
    source = hashlib.sha256()
    for name in GENERATOR:
        source.update(Path(__file__).with_name(f"{name}.py").read_bytes())
    return source.hexdigest()


def _inputs(plan: FloorPlan) -> dict[str, object]:
    """The inputs of the files: if one of them changes, the files are made again."""
    import PIL

    return {
        "plan": plan.digest,
        "seed": plan.texture_seed,
        "generator": _generator(),
        "numpy": np.__version__,
        "pillow": PIL.__version__,
    }


def _manifest(plan: FloorPlan, made: dict[str, bytes]) -> bytes:
    digests = {path: hashlib.sha256(data).hexdigest() for path, data in sorted(made.items())}
    return (json.dumps({"inputs": _inputs(plan), "files": digests}, indent=1) + "\n").encode()


def _stale(plan: FloorPlan, output: Path, versions: bool) -> str:
    """Reason why the files below `output` do not match the plan, by the manifest; empty if they match.

    Args:
        plan: the plan.
        output: folder that holds worlds/ and models/.
        versions: also require the same versions of NumPy and Pillow; others may round a pixel differently.
    """
    file = output / "models" / plan.name / MANIFEST
    try:
        manifest = read_json(file)
        made_from, digests = dict(manifest["inputs"]), dict(manifest["files"])
    except DataError as error:
        return str(error)
    except (ValueError, KeyError, TypeError):
        return f"{file} is damaged"
    for key, value in _inputs(plan).items():
        if made_from.get(key) != value and (versions or key not in ("numpy", "pillow")):
            what = {"plan": "floor plan", "generator": "version of nav_pkg"}.get(key, key)
            return f"{file.parent} was made from another {what}"
    expected = {f"worlds/{plan.name}.world", f"models/{plan.name}/model.sdf"}
    for path in sorted({*digests, *expected}):
        try:
            found = hashlib.sha256(read_small(output / path)).hexdigest()
        except DataError as error:
            return str(error)
        if found != digests.get(path):
            return f"{output / path} has been changed"
    return ""


def up_to_date(plan: FloorPlan, output: Path) -> bool:
    """Whether the files below `output` match those that `make` writes, by the manifest."""
    return not _stale(plan, output, versions=True)


def check_made(plan: FloorPlan, output: Path) -> None:
    """Check that a world on disk matches its plan. Takes 0.1 s.

    Raises:
        DataError: a file is missing or differs.
    """
    why = _stale(plan, output, versions=False)
    if why:
        raise DataError(
            f"the world {plan.name} is not what its floor plan gives ({why}); run make_world.py {plan.name}"
        )


def worlds_folder() -> Path:
    """Folder of worlds made on demand: environment `NAV_PKG_WORLDS`, else `~/.cache/nav_pkg/worlds`."""
    return Path(os.environ.get("NAV_PKG_WORLDS") or "~/.cache/nav_pkg/worlds").expanduser()


def made_folder(plan: FloorPlan) -> Path:
    """Folder of a plan's world below `worlds_folder`; its name depends on plan, seed and generator."""
    key = hashlib.sha256(json.dumps(_inputs(plan), sort_keys=True).encode()).hexdigest()
    return worlds_folder() / f"{plan.name}-{key[:16]}"


def ensure(plan: FloorPlan) -> Path:
    """Make a plan's world in the user's cache unless it exists; takes 4 s. Safe for concurrent sessions.

    The world is written to a temporary folder, which is then renamed in one step. If another session was
    faster, its world is used and this one is discarded.

    Returns:
        The folder that holds worlds/ and models/.

    Raises:
        DataError: the cache belongs to another user.
        UsageError: the cache cannot be written.
    """
    target = made_folder(plan)
    if up_to_date(plan, target):
        return target
    try:
        target.parent.parent.mkdir(parents=True, exist_ok=True)
        private_folder(target.parent, "NAV_PKG_WORLDS")
        fresh = Path(tempfile.mkdtemp(prefix=f".{plan.name}.", dir=target.parent))
    except OSError as error:
        raise _unwritable(error, target.parent, "NAV_PKG_WORLDS to another folder") from None
    try:
        make(plan, fresh / "new")
        for attempt in ("first", "after what was damaged has been moved away"):
            with contextlib.suppress(OSError):  # another session was faster, or a damaged world exists
                os.rename(fresh / "new", target)
            if up_to_date(plan, target):
                return target
            if attempt == "first":
                with contextlib.suppress(OSError):
                    os.rename(target, fresh / "old")
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    raise UsageError(f"{target}: cannot be written; remove it, or set NAV_PKG_WORLDS to another folder")


def _unwritable(error: OSError, place: Path, remedy: str) -> UsageError:
    where = error.filename or place
    return UsageError(f"cannot write the world to {where}: {error.strerror}; choose {remedy}")


def make(plan: FloorPlan, output: Union[str, Path]) -> bool:
    """Write a world below `output` (worlds/ and models/) unless it is up to date.

    The model is written to a temporary folder, which is then renamed. An interrupted call therefore leaves
    the old model or none, never a partial model.

    Returns:
        Whether anything was written.

    Raises:
        UsageError: the folder cannot be written.
    """
    output = Path(output)
    if up_to_date(plan, output):
        return False
    made = generate(plan)
    target = output / "models" / plan.name
    prefix = f"models/{plan.name}/"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        (output / "worlds").mkdir(exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{plan.name}.", dir=target.parent))
        try:
            fresh.chmod(0o755)
            for path, data in made.items():
                if path.startswith(prefix):
                    place = fresh / path[len(prefix) :]
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.write_bytes(data)
            (fresh / MANIFEST).write_bytes(_manifest(plan, made))
            if target.exists():
                old = Path(tempfile.mkdtemp(prefix=f".{plan.name}.", dir=target.parent))
                os.replace(target, old / "old")
                os.replace(fresh, target)
                shutil.rmtree(old)
            else:
                os.replace(fresh, target)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        world = output / "worlds" / f"{plan.name}.world"
        beside = world.with_name(f".{world.name}.{os.getpid()}")
        beside.write_bytes(made[f"worlds/{plan.name}.world"])
        os.replace(beside, world)
    except OSError as error:
        raise _unwritable(error, output, "another --output") from None
    return True


def compare(plan: FloorPlan, output: Union[str, Path]) -> int:
    """Generate the world in memory and compare it with the files below `output`.

    Returns:
        The number of files; all are equal.

    Raises:
        DataError: a file is missing or differs.
    """
    made = generate(plan)
    for path, data in made.items():
        place = Path(output) / path
        remedy = f"run make_world.py {plan.name} again"
        if not place.is_file():
            raise DataError(f"{place} is missing; {remedy}")
        if read_small(place) != data:
            raise DataError(f"{place} is not what the floor plan {plan.name} gives; {remedy}")
    return len(made)


def check_world(path: Union[str, Path]) -> Path:
    """Check that a world file is usable: valid XML with a world, the plugin, and models that exist.

    Returns:
        The path.

    Raises:
        UsageError: the file cannot be read.
        DataError: the file is not usable; the message gives the reason, for XML errors with the line number.
    """
    path = Path(path)
    try:
        root = ElementTree.parse(path).getroot()
    except OSError as error:
        raise UsageError(f"cannot read the world file {path}: {error.strerror}") from None
    except ElementTree.ParseError as error:
        line, column = error.position
        reason = str(error).split(":")[0]
        raise DataError(f"{path}, line {line}, column {column + 1}: not well-formed XML ({reason})") from None
    world = root.find("world") if root.tag == "sdf" else None
    if world is None:
        raise DataError(f"{path} is not an SDF world: it has no <world> in <sdf>")
    if all(plugin.get("filename") != files.PLUGIN for plugin in world.findall("plugin")):
        raise DataError(
            f'{path} lacks the lock-step plugin; add <plugin name="nav_pkg" filename="{files.PLUGIN}"/>'
        )
    folders = [path.resolve().parent.parent / "models"]
    folders += [Path(folder) for folder in os.environ.get("GAZEBO_MODEL_PATH", "").split(":") if folder]
    folders.append(ROOT / "models")  # as in setup/gzserver
    for uri in world.findall("include/uri"):
        name = (uri.text or "").strip()
        if name.startswith("model://") and not any((f / name[8:] / "model.sdf").is_file() for f in folders):
            known = f"; make it with make_world.py {path.stem}" if name[8:] == path.stem else ""
            raise DataError(
                f"{path} includes {name}, which is in neither {folders[0]} nor GAZEBO_MODEL_PATH{known}"
            )
    return path
