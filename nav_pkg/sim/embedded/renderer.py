"""Renders the colour and depth images of a world, with the arithmetic of Gazebo's materials."""

from __future__ import annotations

import math
from typing import Any, List, Optional, Sequence, Tuple

import numpy as np

from nav_pkg.core import SimulatorError
from nav_pkg.sim.embedded import context, library
from nav_pkg.sim.embedded.building import Building
from nav_pkg.sim.embedded.library import address
from nav_pkg.sim.embedded.robot_description import Camera
from nav_pkg.sim.embedded.shapes import AMBIENT, Shape
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

ROBOT_VERTEX_SHADER = """#version 330
uniform mat4 camera;
in vec3 position;
in vec3 ambient;
flat out vec3 light;
void main()
{
  gl_Position = camera * vec4(position, 1.0);
  light = ambient;
}
"""

ROBOT_FRAGMENT_SHADER = """#version 330
flat in vec3 light;
out vec4 colour;
void main()
{
  colour = vec4(light, 1.0);
}
"""


class Renderer:
    """An OpenGL context with a world in it. A process may have several; all of them are used in one thread.

    Args:
        building: the world.
        shapes: of the robot.
        backend: see `context.create`.

    Attributes:
        backend: `egl` or `osmesa`.
        driver: name and version of the OpenGL driver.
        culling: whether triangles that cannot be seen are left out; the images are the same without.

    Raises:
        UsageError: there is no OpenGL 3.3.
    """

    def __init__(self, building: Building, shapes: Sequence[Shape] = (), backend: Optional[str] = None):
        self._library = library.load()
        self._scene: Optional[int] = None
        self._views: List[View] = []
        self.culling = True
        self._gl, self.backend = context.create(backend)
        self._closed = False
        gl = self._gl
        self.driver = f"{gl.info['GL_RENDERER']}, {gl.info['GL_VERSION']}"
        self.background = tuple(float(word) for word in BACKGROUND.split())
        self._program = gl.program(VERTEX_SHADER, FRAGMENT_SHADER)
        self._robot_program = gl.program(ROBOT_VERTEX_SHADER, ROBOT_FRAGMENT_SHADER)
        self._upload(building)
        self._robot = self._upload_robot(shapes)
        gl.enable(gl.DEPTH_TEST | gl.CULL_FACE)
        # The images are drawn upside down, so that the first row that is read is the top one; the triangles
        # then turn the other way. OGRE does the same.
        gl.front_face = "cw"

    def _upload(self, building: Building) -> None:
        """Give all surfaces to OpenGL and to the C++ library, in one list of vertices."""
        gl, plan = self._gl, building.plan
        surfaces = [building.surfaces[name] for name in sorted(building.surfaces)]
        self._textures: List[Any] = []
        triangles, first = [], 0
        for surface in surfaces:
            # v points upwards: OpenGL's first row is the lowest.
            rows = np.ascontiguousarray(surface.texture[::-1])
            texture = gl.texture((rows.shape[1], rows.shape[0]), 3, rows.tobytes(), alignment=1)
            texture.build_mipmaps(0, MIP_LEVELS)
            texture.filter = (gl.LINEAR_MIPMAP_NEAREST, gl.LINEAR)
            self._textures.append(texture)
            triangles.append(surface.triangles + np.int32(first))
            first += len(surface.positions)
        positions = np.vstack([surface.positions for surface in surfaces]).astype(np.float32)
        vertices = np.hstack([
            positions,
            np.vstack([surface.light for surface in surfaces]),
            np.vstack([surface.uvs for surface in surfaces]),
        ]).astype(np.float32)  # fmt: skip
        self._triangles = np.ascontiguousarray(np.vstack(triangles), dtype=np.int32)
        starts = np.cumsum([0, *(len(part) for part in triangles)]).astype(np.int32)
        self._starts = starts
        self._index_buffer = gl.buffer(self._triangles.tobytes())
        self._array = gl.vertex_array(
            self._program,
            [(gl.buffer(vertices.tobytes()), "3f4 3f4 2f4", "position", "baked", "coordinates")],
            self._index_buffer,
        )
        walls = np.array([(*w.start, *w.end, w.bottom, w.top) for w in plan.walls], dtype=np.float64)
        self._scene = self._library.nav_pkg_scene_new(
            *(address(walls), len(walls), address(positions), address(self._triangles), len(self._triangles)),
            *(address(starts), len(surfaces), plan.floor, plan.ceiling),
        )
        if not self._scene:
            raise SimulatorError("no memory for the world")
        # What the library writes for a frame.
        self._matrix = np.empty(16, dtype=np.float32)
        self._indices = np.empty_like(self._triangles)
        self._ends = np.empty(len(surfaces), dtype=np.int32)
        self._written = (address(self._matrix), address(self._indices), address(self._ends))

    def _upload_robot(self, shapes: Sequence[Shape]) -> Optional[Any]:
        if not shapes:
            return None
        parts = []
        for shape in shapes:
            points = shape.corners.reshape(-1, 3)
            parts.append(np.hstack([points, np.tile(np.multiply(shape.ambient, AMBIENT), (len(points), 1))]))
        vertices = self._gl.buffer(np.vstack(parts).astype(np.float32).tobytes())
        return self._gl.vertex_array(self._robot_program, [(vertices, "3f4 3f4", "position", "ambient")])

    def use(self) -> None:
        """Make the context current (0.4 us): this process may have other ones."""
        self._gl.__enter__()

    def view(self, camera: Camera, depth_size: Optional[Tuple[int, int]] = None) -> View:
        """Prepare a camera.

        Args:
            camera: its pose on the robot, image size, field of view and clip distances.
            depth_size: width and height of the depth image, pixels; None: no depth image.
        """
        view = View(self, camera, depth_size)
        self._views.append(view)
        return view

    def close(self) -> None:
        """Release the context and all views. Further calls do nothing."""
        if self._closed:
            return
        self._closed = True
        self.use()  # OpenGL deletes objects of the current context
        for view in self._views:
            view._close()
        self._array.release()
        for texture in self._textures:
            texture.release()
        if self._scene:
            self._library.nav_pkg_scene_delete(self._scene)
            self._scene = None
        self._gl.release()


class View:
    """A camera's images; see `Renderer.view`."""

    def __init__(self, renderer: Renderer, camera: Camera, depth_size: Optional[Tuple[int, int]]):
        renderer.use()
        gl = renderer._gl
        self._renderer, self._library = renderer, renderer._library
        self._size, self._depth_size = (camera.width, camera.height), depth_size
        self._target = gl.framebuffer([gl.renderbuffer(self._size, 3)], gl.depth_renderbuffer(self._size))
        self._buffer = np.empty((camera.height, camera.width), dtype=np.float32)
        self._uniform = renderer._program["camera"]
        # Entries rounded to float as in OGRE. The image is upside down: see Renderer.
        half = math.tan(camera.horizontal_fov / 2.0)
        near, far = camera.near, camera.far
        across = float(np.float32(1.0 / half))
        up = -float(np.float32(1.0 / half * camera.width / camera.height))
        scale, offset = (
            float(np.float32(-(far + near) / (far - near))),
            float(np.float32(-2.0 * far * near / (far - near))),
        )
        # The corner of the near clip plane, and 1 cm.
        margin = near * math.sqrt(1.0 + 1.0 / across**2 + 1.0 / up**2) + 0.01
        mount = (*camera.pose[:3], *camera.pose.quaternion())
        settings = np.array([*mount, across, up, scale, offset, margin], dtype=np.float64)
        self._camera = self._library.nav_pkg_camera_new(address(settings))
        if not self._camera:
            raise SimulatorError("no memory for a camera")
        self._robot = renderer._robot if self._sees_robot() else None

    def _sees_robot(self) -> bool:
        """Whether any pixel shows the robot itself, which is the same in all images."""
        if self._renderer._robot is None:
            return False
        # The robot's frame is taken as the world.
        body = np.array([0, 0, 0, 0, 0, 0, 1], dtype=np.float64)
        self._library.nav_pkg_scene_draw(
            self._renderer._scene, self._camera, address(body), *self._renderer._written
        )
        self._robot_matrix = self._renderer._matrix.tobytes()
        self._target.use()
        self._target.clear(*self._renderer.background)
        self._draw_robot(self._renderer._robot)
        self._target.read_into(self._buffer, components=1, attachment=-1, dtype="f4")
        return bool((self._buffer < 1.0).any())

    def render(self, body: np.ndarray) -> Tuple[np.ndarray, Optional[np.ndarray]]:
        """Render the images for a pose of the robot.

        Args:
            body: float64 (7,), contiguous: x, y, z (metres, world frame) and the quaternion's x, y, z, w.

        Returns:
            uint8 (height, width, 3), and float32 (height, width): metres along the optical axis, inf where
            nothing was drawn. The depth image has the field of view of the colour image: its pixels are
            samples of that image's pixels.
        """
        renderer, library, target = self._renderer, self._library, self._target
        renderer.use()
        hidden = library.nav_pkg_scene_draw(renderer._scene, self._camera, address(body), *renderer._written)
        self._uniform.write(renderer._matrix)
        target.use()
        target.clear(*renderer.background)
        if renderer.culling:
            self._draw(renderer._ends.tolist(), renderer._indices)
        else:
            self._draw(renderer._starts[1:].tolist(), renderer._triangles)
            hidden = 0
        if self._robot is not None:
            self._draw_robot(self._robot)
        width, height = self._size
        if hidden or self._depth_size is not None:
            target.read_into(self._buffer, components=1, attachment=-1, dtype="f4")
        # A gap of a pixel between two triangles, caused by rounding, may show what is behind the wall.
        if hidden and library.nav_pkg_scene_draw_behind(
            renderer._scene, address(self._buffer), width, height, *renderer._written[1:]
        ):
            self._draw(renderer._ends.tolist(), renderer._indices)
            target.read_into(self._buffer, components=1, attachment=-1, dtype="f4")
        colour = np.frombuffer(target.read(components=3, alignment=1), np.uint8).reshape(height, width, 3)
        if self._depth_size is None:
            return colour, None
        depth = np.empty(self._depth_size[::-1], dtype=np.float32)
        library.nav_pkg_sample_depth(
            self._camera, address(self._buffer), width, height, address(depth), *self._depth_size
        )
        return colour, depth

    def _draw(self, ends: List[int], indices: np.ndarray) -> None:
        renderer = self._renderer
        renderer._index_buffer.write(indices[: ends[-1]])
        first = 0
        for texture, end in zip(renderer._textures, ends):
            if end > first:
                texture.use(0)
                renderer._array.render(vertices=3 * (end - first), first=3 * first)
            first = end

    def _draw_robot(self, array: Any) -> None:
        self._renderer._robot_program["camera"].write(self._robot_matrix)
        array.render()

    def _close(self) -> None:
        self._target.release()
        if self._camera:
            self._library.nav_pkg_camera_delete(self._camera)
            self._camera = None
