"""Making a world: from its floor plan to the files that Gazebo loads."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Union
from xml.etree import ElementTree

import numpy as np

from nav_pkg.core import DataError, UsageError
from nav_pkg.reading import read_json, read_small
from nav_pkg.world import artwork, files, geometry, lighting, textures
from nav_pkg.world.plan import FloorPlan

JPEG_QUALITY = 88
MANIFEST = "manifest.json"


def pictures(plan: FloorPlan) -> dict[str, np.ndarray]:
    """The textures, by material name: uint8 (height, width, 3), sides powers of two."""
    rng = lambda *keys: np.random.default_rng([plan.texture_seed, 3, *keys])  # noqa: E731
    result = {
        f"wall_{side}": textures.plaster(rng(0, index), textures.PAINTS[index])
        for index, side in enumerate(geometry.SIDES)
    }
    result["floor"] = textures.linoleum(rng(1))
    result["ceiling"] = textures.ceiling_tiles(rng(2))
    leaves, doors = [], [wall for wall in plan.walls if wall.kind == "door"]
    for index, wall in enumerate(doors):
        wood, glass = int(rng(3, index).integers(5)), rng(3, index, 1).random() < 0.4
        count = geometry.leaves_of(wall)
        for leaf in range(count):
            label = f"{index // 10}{index % 10}.{(index * 7 + 12) % 90 + 10}"
            hinge_left = leaf % 2 == 0
            leaves.append(artwork.door_leaf(rng(4, index, leaf), wood, label, hinge_left, glass))
    room = artwork.DOOR_GRID[0] * artwork.DOOR_GRID[1]
    if len(leaves) > room:
        raise DataError(f"plan {plan.name}: {len(leaves)} door leaves; the doors' picture holds {room}")
    result["doors"] = artwork.atlas(leaves, artwork.DOOR_GRID)
    room = artwork.POSTER_GRID[0] * artwork.POSTER_GRID[1]
    posters = [artwork.poster(rng(5, index), index) for index in range(geometry.POSTERS)]
    notices = [artwork.notice(rng(6, index), index) for index in range(room - geometry.POSTERS)]
    result["posters"] = artwork.atlas(posters + notices, artwork.POSTER_GRID)
    fixtures = [artwork.fixture(rng(7, index), name) for index, name in enumerate(artwork.FIXTURES)]
    result["fixtures"] = artwork.atlas(fixtures, artwork.FIXTURE_GRID)
    return {name: np.round(255 * image).astype(np.uint8) for name, image in result.items()}


def generate(plan: FloorPlan) -> dict[str, bytes]:
    """All files of a world, by path relative to the output folder; the same bytes every time."""
    from PIL import Image

    scene = geometry.build(plan, plan.texture_seed)
    names = [name for name, mesh in scene.visual.items() if mesh.triangles]
    model = f"models/{plan.name}"
    result = {
        f"worlds/{plan.name}.world": files.world_sdf(plan),
        # Made, not kept: the folder tells git so itself.
        f"{model}/.gitignore": b"*\n",
        f"{model}/model.config": files.model_config(plan),
        f"{model}/model.sdf": files.model_sdf(plan, names),
        f"{model}/materials/scripts/{plan.name}.material": files.materials(plan.name, names),
        f"{model}/materials/programs/baked.vert": files.VERTEX_PROGRAM.encode(),
        f"{model}/materials/programs/baked.frag": files.FRAGMENT_PROGRAM.encode(),
        f"{model}/meshes/collision.dae": files.collada(scene.collision),
    }
    images = pictures(plan)
    for name in names:
        light = lighting.encode(lighting.bake(plan, scene.visual[name], plan.texture_seed))
        result[f"{model}/meshes/{name}.dae"] = files.collada(scene.visual[name], light)
        picture = io.BytesIO()
        Image.fromarray(images[name]).save(picture, "JPEG", quality=JPEG_QUALITY)
        result[f"{model}/materials/textures/{plan.name}_{name}.jpg"] = picture.getvalue()
    return result


def _inputs(plan: FloorPlan) -> dict[str, object]:
    """What the files depend on: when any of it changes they are made again."""
    import PIL

    source = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        source.update(path.read_bytes())
    return {
        "plan": plan.digest,
        "seed": plan.texture_seed,
        "generator": source.hexdigest(),
        "numpy": np.__version__,
        "pillow": PIL.__version__,
    }


def _manifest(plan: FloorPlan, made: dict[str, bytes]) -> bytes:
    digests = {path: hashlib.sha256(data).hexdigest() for path, data in sorted(made.items())}
    return (json.dumps({"inputs": _inputs(plan), "files": digests}, indent=1) + "\n").encode()


def up_to_date(plan: FloorPlan, output: Path) -> bool:
    """Whether the files below `output` are those that `make` would write, judged by the manifest."""
    try:
        manifest = read_json(output / "models" / plan.name / MANIFEST)
        return manifest["inputs"] == _inputs(plan) and all(
            hashlib.sha256(read_small(output / path)).hexdigest() == digest
            for path, digest in manifest["files"].items()
        )
    except (DataError, KeyError, TypeError, AttributeError):
        return False


def make(plan: FloorPlan, output: Union[str, Path]) -> bool:
    """Write a world below `output` (worlds/ and models/) unless it is there already.

    The model's folder is written beside and then renamed, so that an interrupted run leaves either
    the old model or none, never half of one.

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
        raise UsageError(
            f"cannot write the world to {error.filename or output}: {error.strerror}; choose another --output"
        ) from None
    return True


def compare(plan: FloorPlan, output: Union[str, Path]) -> int:
    """Make the world again in memory and compare it with the files below `output`.

    Returns:
        The number of files, all equal.

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
    """Check that a world file can be flown in: it parses, and has a world, the plugin and its models.

    Returns:
        The path.

    Raises:
        UsageError: no such file.
        DataError: what is wrong, in one line, with the line number where the XML breaks.
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
    for uri in world.findall("include/uri"):
        name = (uri.text or "").strip()
        if name.startswith("model://") and not any((f / name[8:] / "model.sdf").is_file() for f in folders):
            known = f"; make it with make_world.py {path.stem}" if name[8:] == path.stem else ""
            raise DataError(
                f"{path} includes {name}, which is in neither {folders[0]} nor GAZEBO_MODEL_PATH{known}"
            )
    return path
