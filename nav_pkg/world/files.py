"""The text files of a world: COLLADA meshes, OGRE materials and shaders, SDF models and worlds.

The files are deterministic: the same plan and seed give the same bytes. Numbers have a fixed number of
digits, and nothing depends on time or location.
"""

from __future__ import annotations

from typing import Optional
from xml.sax.saxutils import escape

import numpy as np

from nav_pkg.world.lighting import BRIGHTNESS, WARMTH
from nav_pkg.world.mesh import Mesh
from nav_pkg.world.plan import FloorPlan

PHYSICS_STEP = 0.005
"""Physics step, seconds."""
PLUGIN = "libnav_pkg_gazebo.so"
"""The lock-step world plugin."""
DRONE_PARKED = "-50 -3 0.1 0 0 0"
BACKGROUND = "0.62 0.60 0.56 1"
"""Background colour, equal to that of a wall; it hides gaps of a pixel caused by rounding."""


def collada(mesh: Mesh, normals: Optional[np.ndarray] = None) -> bytes:
    """A COLLADA 1.4 file of one mesh, z up, metres.

    Args:
        mesh: the mesh.
        normals: unit vectors (V, 3); if None, the file has neither normals nor texture coordinates (a
            collision mesh needs none).
    """
    positions = np.array(mesh.positions)
    sources = [_source("positions", positions, "%.4f", "XYZ")]
    inputs = ['<input semantic="VERTEX" source="#vertices" offset="0"/>']
    if normals is not None:
        sources.append(_source("normals", normals, "%.4f", "XYZ"))
        sources.append(_source("uvs", np.array(mesh.uvs), "%.5f", "ST"))
        inputs.append('<input semantic="NORMAL" source="#normals" offset="1"/>')
        inputs.append('<input semantic="TEXCOORD" source="#uvs" offset="2" set="0"/>')
    indices = " ".join(
        " ".join([str(vertex)] * len(inputs)) for triangle in mesh.triangles for vertex in triangle
    )
    return f"""<?xml version="1.0" encoding="utf-8"?>
<COLLADA xmlns="http://www.collada.org/2005/11/COLLADASchema" version="1.4.1">
<asset><unit name="meter" meter="1"/><up_axis>Z_UP</up_axis></asset>
<library_geometries><geometry id="geometry" name="geometry"><mesh>
{chr(10).join(sources)}
<vertices id="vertices"><input semantic="POSITION" source="#positions"/></vertices>
<triangles count="{len(mesh.triangles)}">
{chr(10).join(inputs)}
<p>{indices}</p>
</triangles>
</mesh></geometry></library_geometries>
<library_visual_scenes><visual_scene id="scene"><node id="node" name="node">
<instance_geometry url="#geometry"/>
</node></visual_scene></library_visual_scenes>
<scene><instance_visual_scene url="#scene"/></scene>
</COLLADA>
""".encode()


def _source(name: str, values: np.ndarray, number: str, axes: str) -> str:
    # Adding zero turns -0.0 into 0.0 after rounding.
    digits = int(number[2])
    text = " ".join(number % value for value in (np.round(values, digits) + 0.0).ravel())
    params = "".join(f'<param name="{axis}" type="float"/>' for axis in axes)
    return (
        f'<source id="{name}"><float_array id="{name}-array" count="{values.size}">{text}</float_array>'
        f'<technique_common><accessor source="#{name}-array" count="{len(values)}" stride="{len(axes)}">'
        f"{params}</accessor></technique_common></source>"
    )


VERTEX_PROGRAM = f"""#version 120
// The light baked into a surface travels in its normal: (brightness, warmth, rest).
uniform mat4 worldviewproj_matrix;
varying vec2 uv;
varying vec3 light;
void main()
{{
  gl_Position = worldviewproj_matrix * gl_Vertex;
  uv = gl_MultiTexCoord0.xy;
  float brightness = 1.08 * gl_Normal.x / {BRIGHTNESS:.2f};
  float warmth = gl_Normal.y / {WARMTH:.2f};
  light = brightness * vec3(1.0 + 0.14 * warmth, 1.0, 1.0 - 0.22 * warmth);
}}
"""

FRAGMENT_PROGRAM = """#version 120
uniform sampler2D surface;
varying vec2 uv;
varying vec3 light;
void main()
{
  gl_FragColor = vec4(texture2D(surface, uv).rgb * light, 1.0);
}
"""


def materials(world: str, names: list[str]) -> bytes:
    """The OGRE material script: one unlit material with baked light per mesh."""
    text = f"""// Written by make_world. Surfaces are not lit by the renderer: their light is baked.
vertex_program {world}/baked_vertex glsl
{{
  source baked.vert
  default_params
  {{
    param_named_auto worldviewproj_matrix worldviewproj_matrix
  }}
}}

fragment_program {world}/baked_fragment glsl
{{
  source baked.frag
  default_params
  {{
    param_named surface int 0
  }}
}}
"""
    for name in names:
        text += f"""
material {world}/{name}
{{
  receive_shadows off
  technique
  {{
    pass
    {{
      lighting off
      vertex_program_ref {world}/baked_vertex
      {{
      }}
      fragment_program_ref {world}/baked_fragment
      {{
      }}
      texture_unit
      {{
        texture {world}_{name}.jpg
        filtering bilinear
      }}
    }}
  }}
}}
"""
    return text.encode()


def model_config(plan: FloorPlan) -> bytes:
    """The file model.config."""
    return f"""<?xml version="1.0"?>
<model>
  <name>{plan.name}</name>
  <version>1.0</version>
  <sdf version="1.6">model.sdf</sdf>
  <description>{escape(plan.title)}.</description>
</model>
""".encode()


def model_sdf(plan: FloorPlan, names: list[str]) -> bytes:
    """The static model: one visual per material, and the collision geometry of the same walls."""
    outline = plan.outer_boundary
    low, high = outline.min(axis=0) - 1.0, outline.max(axis=0) + 1.0
    x, y = (low + high) / 2
    wide, tall = high - low
    boxes = ""
    # Floor and ceiling are boxes, not triangles: contacts then do not depend on the edges of triangles.
    # Their inner faces lie at the plan's heights.
    for name, z in (("floor", plan.floor - 0.1), ("ceiling", plan.ceiling + 0.1)):
        boxes += f"""
      <collision name="{name}">
        <pose>{x:.3f} {y:.3f} {z:.3f} 0 0 0</pose>
        <geometry><box><size>{wide:.3f} {tall:.3f} 0.200</size></box></geometry>
      </collision>"""
    visuals = ""
    # The scripts come last: OGRE reads them immediately and needs the programs at that time.
    for name in names:
        visuals += f"""
      <visual name="{name}">
        <cast_shadows>0</cast_shadows>
        <geometry><mesh><uri>model://{plan.name}/meshes/{name}.dae</uri></mesh></geometry>
        <material>
          <script>
            <uri>model://{plan.name}/materials/programs</uri>
            <uri>model://{plan.name}/materials/textures</uri>
            <uri>model://{plan.name}/materials/scripts</uri>
            <name>{plan.name}/{name}</name>
          </script>
        </material>
      </visual>"""
    return f"""<?xml version="1.0"?>
<sdf version="1.6">
  <model name="{plan.name}">
    <static>true</static>
    <link name="building">{boxes}
      <collision name="walls">
        <geometry><mesh><uri>model://{plan.name}/meshes/collision.dae</uri></mesh></geometry>
      </collision>{visuals}
    </link>
  </model>
</sdf>
""".encode()


def world_sdf(plan: FloorPlan) -> bytes:
    """The world file: physics, scene without lights, the building, the drone and the plugin."""
    return f"""<?xml version="1.0"?>
<!-- Written by make_world from the floor plan {plan.name}; change the plan, not this file. -->
<sdf version="1.6">
  <world name="{plan.name}">
    <gravity>0 0 -9.81</gravity>
    <physics name="lockstep" type="ode" default="true">
      <max_step_size>{PHYSICS_STEP:g}</max_step_size>
      <real_time_factor>1</real_time_factor>
      <real_time_update_rate>0</real_time_update_rate>
      <ode>
        <solver><type>quick</type><iters>50</iters><sor>1.3</sor></solver>
      </ode>
    </physics>
    <scene>
      <ambient>0.8 0.8 0.8 1</ambient>
      <background>{BACKGROUND}</background>
      <shadows>false</shadows>
      <grid>false</grid>
      <origin_visual>false</origin_visual>
    </scene>
    <include><uri>model://{plan.name}</uri></include>
    <include><uri>model://drone</uri><pose>{DRONE_PARKED}</pose></include>
    <plugin name="nav_pkg" filename="{PLUGIN}"/>
  </world>
</sdf>
""".encode()
