"""Generate a world from its floor plan: the bytes of all files that Gazebo loads."""

from __future__ import annotations

import io

import numpy as np

from nav_pkg.core import DataError
from nav_pkg.world import artwork, files, geometry, lighting, textures
from nav_pkg.world.plan import FloorPlan

JPEG_QUALITY = 88


def pictures(plan: FloorPlan) -> dict[str, np.ndarray]:
    """The textures, by material name: uint8 (height, width, 3), sides are powers of two."""
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
    if leaves:
        result["doors"] = artwork.atlas(leaves, artwork.DOOR_GRID)
    room = artwork.POSTER_GRID[0] * artwork.POSTER_GRID[1]
    posters = [artwork.poster(rng(5, index), index) for index in range(geometry.POSTERS)]
    notices = [artwork.notice(rng(6, index), index) for index in range(room - geometry.POSTERS)]
    result["posters"] = artwork.atlas(posters + notices, artwork.POSTER_GRID)
    fixtures = [artwork.fixture(rng(7, index), name) for index, name in enumerate(artwork.FIXTURES)]
    result["fixtures"] = artwork.atlas(fixtures, artwork.FIXTURE_GRID)
    return {name: np.round(255 * image).astype(np.uint8) for name, image in result.items()}


def generate(plan: FloorPlan) -> dict[str, bytes]:
    """All files of a world, by path relative to the output folder; the bytes are deterministic."""
    from PIL import Image

    scene = geometry.build(plan, plan.texture_seed)
    names = [name for name, mesh in scene.visual.items() if mesh.triangles]
    model = f"models/{plan.name}"
    result = {
        f"worlds/{plan.name}.world": files.world_sdf(plan),
        # The folder is generated; git ignores it.
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
