// The functions that nav_pkg.sim.embedded.physics calls through ctypes. Lengths in metres, angles in radians.
#include <cstddef>
#include <cstdint>
#include <new>

#include "../core/lidar.h"
#include "building.h"
#include "rigid_body.h"

namespace {

struct Robot {
  nav_pkg::RigidBody body;
  nav_pkg::Box hull;
  bool ground;
};

}  // namespace

#define NAV_PKG_API extern "C" __attribute__((visibility("default")))

// Changes with every change of a function below; the caller compares it.
NAV_PKG_API int nav_pkg_version() { return 2; }

NAV_PKG_API void* nav_pkg_building_new(const double* corners, std::size_t triangles, double floor, double ceiling,
                                       double reach) {
  return new (std::nothrow) nav_pkg::Building(corners, triangles, floor, ceiling, reach);
}

NAV_PKG_API void nav_pkg_building_delete(void* building) { delete static_cast<nav_pkg::Building*>(building); }

// `settings`: mass, inertia (3), gravity, centre of the hull (3), edges of the hull (3).
NAV_PKG_API void* nav_pkg_robot_new(const double* settings, int ground) {
  nav_pkg::BodySettings body;
  body.mass = settings[0];
  body.inertia = {settings[1], settings[2], settings[3]};
  body.gravity = settings[4];
  body.ground = ground != 0;
  const nav_pkg::Box hull{{settings[5], settings[6], settings[7]},
                          {settings[8] / 2.0, settings[9] / 2.0, settings[10] / 2.0}};
  return new (std::nothrow) Robot{nav_pkg::RigidBody(body), hull, ground != 0};
}

NAV_PKG_API void nav_pkg_robot_delete(void* robot) { delete static_cast<Robot*>(robot); }

// `pose`: x, y, z and the quaternion's x, y, z, w.
NAV_PKG_API void nav_pkg_robot_place(void* robot, const double* pose) {
  static_cast<Robot*>(robot)->body.Place({pose[0], pose[1], pose[2]}, {pose[6], pose[3], pose[4], pose[5]});
}

// `pose` as above; `twist`: velocity (3) and angular velocity (3), world frame. A robot on the floor then returns to
// the height at which it was placed.
NAV_PKG_API void nav_pkg_robot_move(void* robot, const double* pose, const double* twist) {
  static_cast<Robot*>(robot)->body.Move({pose[0], pose[1], pose[2]}, {pose[6], pose[3], pose[4], pose[5]},
                                        {twist[0], twist[1], twist[2]}, {twist[3], twist[4], twist[5]});
}

// The parts of the building that the robot overlaps now: 1 floor, 2 ceiling, 4 walls, or a sum of them.
NAV_PKG_API int nav_pkg_robot_touched(const void* robot, const void* building) {
  const auto& self = *static_cast<const Robot*>(robot);
  return static_cast<const nav_pkg::Building*>(building)->Touched(self.body.position(), self.body.rotation(),
                                                                  self.hull);
}

// Physics steps of `dt` seconds with one command (m/s forward, left, up; rad/s). Returns the parts of the building
// that the robot touched, as above. As in ODE, contacts are those of the poses before each step.
NAV_PKG_API int nav_pkg_robot_step(void* robot, const void* building, const double* command, int steps, double dt) {
  auto& self = *static_cast<Robot*>(robot);
  const auto& walls = *static_cast<const nav_pkg::Building*>(building);
  nav_pkg::VelocityCommand wanted;
  wanted.linear = {command[0], command[1], command[2]};
  wanted.yaw_rate = command[3];
  int touched = 0;
  for (int i = 0; i < steps; ++i) {
    touched |= walls.Touched(self.body.position(), self.body.rotation(), self.hull);
    self.body.Step(wanted, dt);
    const double above = walls.HeightAboveFloor(self.body.position(), self.body.rotation(), self.hull);
    if (above < 0.0 && !self.ground) self.body.RestAt(self.body.position().z - above);
  }
  return touched;
}

// `state`: position (3), quaternion x, y, z, w, and in the body frame velocity (3) and angular velocity (3).
NAV_PKG_API void nav_pkg_robot_state(const void* robot, double* state) {
  const nav_pkg::RigidBody& body = static_cast<const Robot*>(robot)->body;
  const nav_pkg::Quaternion& q = body.orientation();
  const nav_pkg::Vector3 velocity = q.RotateBack(body.velocity());
  const nav_pkg::Vector3 turning = q.RotateBack(body.angular_velocity());
  const double values[13] = {body.position().x, body.position().y, body.position().z, q.x,       q.y,
                             q.z,               q.w,               velocity.x,        velocity.y, velocity.z,
                             turning.x,         turning.y,         turning.z};
  for (int i = 0; i < 13; ++i) state[i] = values[i];
}

// `mount`: pose of the lidar in the robot's frame (x, y, z, quaternion x, y, z, w). `range`: standard deviation of
// the noise, smallest and largest range. `readings`: `rays` numbers.
NAV_PKG_API void nav_pkg_robot_scan(const void* robot, const void* building, const double* mount, int rays,
                                    double first, double step, const double* range, std::uint64_t seed,
                                    std::uint64_t frame, double* distances, float* readings) {
  const nav_pkg::RigidBody& body = static_cast<const Robot*>(robot)->body;
  const nav_pkg::Vector3 origin =
      body.position() + body.orientation().Rotate({mount[0], mount[1], mount[2]});
  const nav_pkg::Quaternion turned =
      body.orientation() * nav_pkg::Quaternion{mount[6], mount[3], mount[4], mount[5]};
  static_cast<const nav_pkg::Building*>(building)->Cast(origin, nav_pkg::Matrix3::From(turned), rays, first, step,
                                                        distances);
  const nav_pkg::LidarRange limits{range[0], range[1], range[2]};
  for (int i = 0; i < rays; ++i) {
    readings[i] = nav_pkg::LidarReading(distances[i], limits, seed, frame, static_cast<std::uint64_t>(i));
  }
}
