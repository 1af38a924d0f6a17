"""Renders the colour and depth images of a world, with the arithmetic of Gazebo's materials."""

from __future__ import annotations

import math
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from nav_pkg.sim.embedded import context
from nav_pkg.sim.embedded.building import Building
from nav_pkg.sim.embedded.robot_description import Camera
from nav_pkg.world.files import BACKGROUND
from nav_pkg.world.lighting import BRIGHTNESS, WARMTH

MIP_LEVELS = 5
"""Number of reduced textures, as OGRE's default."""

VERTEX_SHADER = f"""#version 330
uniform mat4 camera;
in vec3 position;
in vec3 baked;
in vec2 coordinates;
out vec2 uv;
out vec3 light;
void main()
{{
  gl_Position = camera * vec4(position, 1.0);
  uv = coordinates;
  float brightness = 1.08 * baked.x / {BRIGHTNESS:.2f};
  float warmth = baked.y / {WARMTH:.2f};
  light = brightness * vec3(1.0 + 0.14 * warmth, 1.0, 1.0 - 0.22 * warmth);
}}
"""

FRAGMENT_SHADER = """#version 330
uniform sampler2D surface;
in vec2 uv;
in vec3 light;
out vec4 colour;
void main()
{
  colour = vec4(texture(surface, uv).rgb * light, 1.0);
}
"""


class Renderer:
    """An OpenGL context with a world in it. A process may have several; all of them are used in one thread.

    Args:
        building: the world.
        backend: see `context.create`.

    Attributes:
        backend: `egl` or `osmesa`.
        driver: name and version of the OpenGL driver.

    Raises:
        UsageError: there is no OpenGL 3.3.
    """

    def __init__(self, building: Building, backend: Optional[str] = None):
        self._gl, self.backend = context.create(backend)
        self._closed = False
        gl = self._gl
        self.driver = f"{gl.info['GL_RENDERER']}, {gl.info['GL_VERSION']}"
        self._program = gl.program(VERTEX_SHADER, FRAGMENT_SHADER)
        self._draws: List[Tuple[Any, Any]] = []
        for name in sorted(building.surfaces):
            surface = building.surfaces[name]
            vertices = np.hstack([surface.positions, surface.light, surface.uvs]).astype("f4")
            array = gl.vertex_array(
                self._program,
                [(gl.buffer(vertices.tobytes()), "3f4 3f4 2f4", "position", "baked", "coordinates")],
                gl.buffer(surface.triangles.astype("i4").tobytes()),
            )
            # v points upwards: OpenGL's first row is the lowest.
            rows = np.ascontiguousarray(surface.texture[::-1])
            texture = gl.texture((rows.shape[1], rows.shape[0]), 3, rows.tobytes(), alignment=1)
            texture.build_mipmaps(0, MIP_LEVELS)
            texture.filter = (gl.LINEAR_MIPMAP_NEAREST, gl.LINEAR)
            self._draws.append((texture, array))
        gl.enable(gl.DEPTH_TEST | gl.CULL_FACE)
        # The images are drawn upside down, so that the first row that is read is the top one; the triangles
        # then turn the other way. OGRE does the same.
        gl.front_face = "cw"
        self._background = tuple(float(word) for word in BACKGROUND.split())
        self._targets: Dict[Tuple[int, int], Any] = {}

    def render(
        self, camera: Camera, pose: np.ndarray, depth_size: Optional[Tuple[int, int]] = None
    ) -> Tuple[np.ndarray, Optional[np.ndarray]]:
        """Render an image.

        Args:
            camera: its image size, field of view and clip distances.
            pose: float64 (4, 4), from the camera's frame (x forward, y left, z up) to the world.
            depth_size: width and height of the depth image, pixels; None: no depth image.

        Returns:
            uint8 (height, width, 3), and float32 (height, width): metres along the optical axis, inf where
            nothing was drawn. The depth image has the field of view of the colour image: its pixels are
            samples of that image's pixels.
        """
        self._gl.__enter__()  # makes it current (0.4 us): this process may have other contexts
        size = (camera.width, camera.height)
        target = self._targets.get(size)
        if target is None:
            gl = self._gl
            target = gl.framebuffer([gl.renderbuffer(size, 3)], gl.depth_renderbuffer(size))
            self._targets[size] = target
        target.use()
        target.clear(*self._background)
        projection = _projection(camera)
        self._program["camera"].write((projection @ _view(pose)).T.astype("f4").tobytes())
        for texture, array in self._draws:
            texture.use(0)
            array.render()
        colour = np.frombuffer(target.read(components=3, alignment=1), np.uint8).reshape(size[1], size[0], 3)
        if depth_size is None:
            return colour, None
        buffer = np.frombuffer(target.read(components=1, attachment=-1, dtype="f4"), np.float32).reshape(
            size[1], size[0]
        )
        return colour, _depth(buffer, depth_size, projection)

    def close(self) -> None:
        """Release the context. Further calls do nothing."""
        if self._closed:
            return
        self._closed = True
        self._gl.__enter__()  # OpenGL deletes objects of the current context
        for texture, array in self._draws:
            texture.release()
            array.release()
        self._gl.release()


def _projection(camera: Camera) -> np.ndarray:
    """OpenGL's projection matrix (4, 4), with the image upside down; entries rounded to float as in OGRE."""
    across = 1.0 / math.tan(camera.horizontal_fov / 2.0)
    up = across * camera.width / camera.height
    near, far = camera.near, camera.far
    matrix = np.zeros((4, 4))
    matrix[0, 0], matrix[1, 1] = across, -up
    matrix[2, 2], matrix[2, 3] = -(far + near) / (far - near), -2.0 * far * near / (far - near)
    matrix[3, 2] = -1.0
    return matrix.astype(np.float32).astype(np.float64)


def _view(pose: np.ndarray) -> np.ndarray:
    """From the world to OpenGL's camera frame (x right, y up, looking along -z): (4, 4)."""
    axes = np.stack([-pose[:3, 1], pose[:3, 2], -pose[:3, 0]])
    matrix = np.eye(4)
    matrix[:3, :3] = axes
    matrix[:3, 3] = -axes @ pose[:3, 3]
    return matrix


def _depth(buffer: np.ndarray, size: Tuple[int, int], projection: np.ndarray) -> np.ndarray:
    """Metres from a depth buffer (height, width), sampled as in src/depth_reader.cpp."""
    height, width = buffer.shape
    rows = (2 * np.arange(size[1]) + 1) * height // (2 * size[1])
    columns = (2 * np.arange(size[0]) + 1) * width // (2 * size[0])
    sampled = buffer[rows[:, None], columns].astype(np.float64)
    metres = projection[2, 3] / (2.0 * sampled - 1.0 + projection[2, 2])
    return np.where(sampled >= 1.0, np.inf, metres).astype(np.float32)
