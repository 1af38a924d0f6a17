"""The topics of the embedded simulator's node: the same messages as those of Gazebo's plugin (src/).

`src/camera_publisher.cpp` and `src/state_publisher.cpp` are the other side; a test compares both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np
import rospy
from geometry_msgs.msg import Point, Pose, Quaternion, Transform, TransformStamped, Twist, Vector3
from nav_msgs.msg import Odometry
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, LaserScan
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from gazebo_msgs.msg import ContactsState, ContactState, ModelStates
from nav_pkg import core
from nav_pkg.ros.convert import pose_message
from nav_pkg.ros.node_tools import stamp_of
from nav_pkg.ros.world_entities import WorldEntities, turned
from nav_pkg.sim.cameras import side_cameras
from nav_pkg.sim.embedded.physics import CEILING, FLOOR, WALLS
from nav_pkg.sim.embedded.robot_description import Camera
from nav_pkg.sim.embedded.simulator import EmbeddedSimulator

SENSOR_QUEUE = 256
"""Messages that a sensor's publisher holds for a slow subscriber, as many as the plugin's in lock-step."""
STATE_QUEUE = 10
OPTICAL = core.Pose(0.0, 0.0, 0.0, -math.pi / 2, 0.0, -math.pi / 2)
"""Pose of the optical frame in a camera's frame (REP 103): z forward, x right, y down."""
PARTS = ((CEILING, "ceiling"), (FLOOR, "floor"), (WALLS, "walls"))
"""The parts of a building and the names of their shapes in the world's model."""


@dataclass(frozen=True)
class _CameraTopics:
    images: rospy.Publisher
    info: rospy.Publisher
    facts: CameraInfo


class EmbeddedTopics:
    """Publishes what the simulator's sensors show.

    Args:
        simulator: the simulator.
        robot: content of the robot file.
        entities: names of the world's models and shapes.
        seed: of the lidar's noise until the first reset.
    """

    def __init__(
        self, simulator: EmbeddedSimulator, robot: Dict[str, Any], entities: WorldEntities, seed: int
    ):
        self._simulator, self._entities = simulator, entities
        topics, frames = robot["topics"], robot["frames"]
        self._world, self._base, self._laser = frames["world"], frames["base"], frames.get("laser", "")
        self.seed, self.first = seed, 0
        """Of the episode: seed, and stamp of its frame 0, nanoseconds."""
        self._clock = rospy.Publisher("/clock", Clock, queue_size=STATE_QUEUE)
        self._model_states = rospy.Publisher("/gazebo/model_states", ModelStates, queue_size=STATE_QUEUE)
        self._tf = rospy.Publisher("/tf", TFMessage, queue_size=STATE_QUEUE)
        self._tf_static = rospy.Publisher("/tf_static", TFMessage, queue_size=1, latch=True)
        self._odometry = _sensor(topics["odometry"], Odometry)
        self._contacts = _sensor(topics["contacts"], ContactsState)
        described = simulator.robot
        sides = {side.name: side for side in side_cameras(robot)}
        mounted = [(described.camera, frames["camera"], frames["optical"])]
        mounted += [(described.side_cameras[side.name], side.frame, side.optical) for side in sides.values()]
        static = []
        for camera, frame, optical in mounted:
            static += [
                _stamped(0, self._base, frame, pose_message(camera.pose)),
                _stamped(0, frame, optical, pose_message(OPTICAL)),
            ]
        size = (described.camera.width, described.camera.height)
        self._colour = _camera_topics(
            topics["rgb"], topics["rgb_info"], described.camera, size, frames["optical"]
        )
        self._depth = None
        if described.depth_size is not None:
            self._depth = _camera_topics(
                *(topics["depth"], topics["depth_info"]),
                *(described.camera, described.depth_size, frames["optical"]),
            )
        self._sides = {
            name: _camera_topics(side.rgb, side.rgb_info, described.side_cameras[name], size, side.optical)
            for name, side in sides.items()
        }
        self._scan = None
        if described.lidar is not None:
            self._scan = _sensor(topics["scan"], LaserScan)
            static.append(_stamped(0, self._base, self._laser, pose_message(described.lidar.pose)))
        self._tf_static.publish(TFMessage(transforms=static))

    def publish_clock(self, stamp: int) -> None:
        """Publish simulated time, nanoseconds."""
        self._clock.publish(Clock(clock=stamp_of(stamp)))

    def publish_frame(self, stamp: int, touched: int) -> None:
        """Publish one frame, the clock first: a subscriber that gets a frame must not see an older time.

        Args:
            stamp: simulated time, nanoseconds.
            touched: the parts of the building that the robot touched since the last frame.
        """
        self.publish_clock(stamp)
        state = self._simulator.physics.numbers()
        pose = pose_of(state)
        if self._model_states.get_num_connections():
            self._publish_models(state, pose)
        header = Header(stamp=stamp_of(stamp), frame_id=self._world)
        odometry = Odometry(header=header, child_frame_id=self._base)
        odometry.pose.pose = pose
        odometry.twist.twist = Twist(Vector3(*state[7:10]), Vector3(*state[10:13]))
        self._odometry.publish(odometry)
        if self._tf.get_num_connections():
            self._tf.publish(TFMessage(transforms=[_stamped(stamp, self._world, self._base, pose)]))
        header = Header(stamp=stamp_of(stamp), frame_id=self._world)
        self._contacts.publish(ContactsState(header=header, states=self._touched(touched)))
        if self._scan is not None and self._scan.get_num_connections():
            self._publish_scan(stamp)
        self._publish_cameras(stamp)

    def _publish_models(self, state: Sequence[float], pose: Pose) -> None:
        message = ModelStates(name=self._entities.models)
        rotation = state[3:7]
        twist = Twist(Vector3(*turned(rotation, state[7:10])), Vector3(*turned(rotation, state[10:13])))
        for name in self._entities.models:
            own = name == self._entities.robot
            message.pose.append(pose if own else Pose(orientation=Quaternion(w=1.0)))
            message.twist.append(twist if own else Twist())
        self._model_states.publish(message)

    def _touched(self, touched: int) -> List[ContactState]:
        """Which shapes touched. Unlike Gazebo, nothing computes forces, places and depths of contacts."""
        building = self._entities.building
        return [
            ContactState(
                info=f"touched {building.split('::')[0]}",
                collision1_name=self._entities.hull,
                collision2_name=f"{building}::{name}",
            )
            for part, name in PARTS
            if touched & part
        ]

    def _publish_scan(self, stamp: int) -> None:
        lidar = self._simulator.robot.lidar
        assert lidar is not None and self._scan is not None
        # A frame before the first one of an episode has a negative number; the noise takes 64 bits of it.
        frame = (stamp - self.first) // core.CONTROL_PERIOD_NS % 2**64
        ranges = self._simulator.physics.scan(lidar, self.seed, frame)
        message = LaserScan(header=Header(stamp=stamp_of(stamp), frame_id=self._laser))
        message.angle_min, message.angle_increment = lidar.first, lidar.step
        message.angle_max = lidar.first + (lidar.rays - 1) * lidar.step
        message.range_min, message.range_max = lidar.range_min, lidar.range_max
        message.ranges = ranges.tolist()
        self._scan.publish(message)

    def _publish_cameras(self, stamp: int) -> None:
        """Draw and publish the images that have subscribers, and the cameras' facts."""
        wanted = [camera for camera in (self._colour, self._depth) if camera is not None]
        if any(camera.images.get_num_connections() for camera in wanted):
            colour, depth = self._simulator.image()
            if self._colour.images.get_num_connections():
                _publish_image(self._colour, colour, "rgb8", stamp)
            if self._depth is not None and self._depth.images.get_num_connections():
                assert depth is not None
                _publish_image(self._depth, depth, "32FC1", stamp)
        for name, camera in self._sides.items():
            if camera.images.get_num_connections():
                _publish_image(camera, self._simulator.image(name)[0], "rgb8", stamp)
        for camera in [*wanted, *self._sides.values()]:
            if camera.info.get_num_connections():
                camera.facts.header.stamp = stamp_of(stamp)
                camera.info.publish(camera.facts)


def _sensor(topic: str, kind: type) -> rospy.Publisher:
    return rospy.Publisher(topic, kind, queue_size=SENSOR_QUEUE)


def pose_of(state: Sequence[float]) -> Pose:
    """A Pose message of x, y, z and a quaternion's x, y, z, w."""
    return Pose(Point(*state[:3]), Quaternion(*state[3:7]))


def _stamped(stamp: int, parent: str, child: str, pose: Pose) -> TransformStamped:
    """The transform from a frame to its parent."""
    place = pose.position
    return TransformStamped(
        header=Header(stamp=stamp_of(stamp), frame_id=parent),
        child_frame_id=child,
        transform=Transform(Vector3(place.x, place.y, place.z), pose.orientation),
    )


def _camera_topics(
    topic: str, info_topic: str, camera: Camera, size: Tuple[int, int], frame: str
) -> _CameraTopics:
    """The publishers of a camera; `size`: width and height of its images, which show its whole view."""
    width, height = size
    focal = width / 2.0 / math.tan(camera.horizontal_fov / 2.0)
    # The vertical field of view follows from the aspect ratio of the colour image, not of this image.
    focal_y = focal * (height / width) * (camera.width / camera.height)
    # The centre of pixel (0, 0) is at (0, 0), as in OpenCV.
    cx, cy = (width - 1) / 2.0, (height - 1) / 2.0
    facts = CameraInfo(width=width, height=height, distortion_model="plumb_bob", D=[0.0] * 5)
    facts.header.frame_id = frame
    facts.K = [focal, 0.0, cx, 0.0, focal_y, cy, 0.0, 0.0, 1.0]
    facts.R = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    facts.P = [focal, 0.0, cx, 0.0, 0.0, focal_y, cy, 0.0, 0.0, 0.0, 1.0, 0.0]
    return _CameraTopics(_sensor(topic, Image), _sensor(info_topic, CameraInfo), facts)


def _publish_image(camera: _CameraTopics, pixels: np.ndarray, encoding: str, stamp: int) -> None:
    height, width = pixels.shape[:2]
    message = Image(height=height, width=width, encoding=encoding)
    message.header = Header(stamp=stamp_of(stamp), frame_id=camera.facts.header.frame_id)
    message.step, message.data = pixels.strides[0], pixels.tobytes()
    camera.images.publish(message)
