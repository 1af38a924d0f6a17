// One rigid body under the robot's controller, integrated as ODE does it.
#ifndef NAV_PKG_EMBEDDED_RIGID_BODY_H
#define NAV_PKG_EMBEDDED_RIGID_BODY_H

#include "../core/ground_controller.h"
#include "../core/velocity_controller.h"

namespace nav_pkg {

// Row-major.
struct Matrix3 {
  double m[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};

  static Matrix3 From(const Quaternion& q);
  Vector3 operator*(const Vector3& v) const {
    return {m[0] * v.x + m[1] * v.y + m[2] * v.z, m[3] * v.x + m[4] * v.y + m[5] * v.z,
            m[6] * v.x + m[7] * v.y + m[8] * v.z};
  }
  Vector3 TransposeTimes(const Vector3& v) const {
    return {m[0] * v.x + m[3] * v.y + m[6] * v.z, m[1] * v.x + m[4] * v.y + m[7] * v.z,
            m[2] * v.x + m[5] * v.y + m[8] * v.z};
  }
};

struct BodySettings {
  double mass = 1.0;    // kg
  Vector3 inertia;      // kg m^2, diagonal, body frame
  double gravity = 0.0; // m/s^2, positive; the controller of a flying robot needs it, too
  bool ground = false;  // the robot stays on the floor (GroundController), without gravity
};

// The robot's position, orientation and velocities. Its origin is its centre of mass.
class RigidBody {
 public:
  explicit RigidBody(const BodySettings& settings) : settings_(settings) {}

  // At rest at a pose (world frame); a robot on the floor keeps this height.
  void Place(const Vector3& position, const Quaternion& orientation);

  // At a pose with velocities (world frame); a robot on the floor returns to the height of the last Place.
  void Move(const Vector3& position, const Quaternion& orientation, const Vector3& velocity,
            const Vector3& angular_velocity);

  // One physics step of `dt` seconds: forces from the state before the step, then velocities, then the pose. This is
  // the order of ODE's dWorldQuickStep for a body without contacts, with dxStepBody's rotation by the derivative of
  // the quaternion (ODE 0.13, ode/src/quickstep.cpp, util.cpp; Gazebo 11 uses a copy of it).
  void Step(const VelocityCommand& command, double dt);

  // Lifts the body to a height and stops its fall.
  void RestAt(double z);

  const Vector3& position() const { return position_; }
  const Quaternion& orientation() const { return orientation_; }
  const Matrix3& rotation() const { return rotation_; }
  const Vector3& velocity() const { return velocity_; }                  // world frame, m/s
  const Vector3& angular_velocity() const { return angular_velocity_; }  // world frame, rad/s

 private:
  BodySettings settings_;
  VelocityController flight_controller_;
  GroundController ground_controller_;
  double height_ = 0.0;
  Vector3 position_;
  Quaternion orientation_;
  Matrix3 rotation_;
  Vector3 velocity_;
  Vector3 angular_velocity_;
};

}  // namespace nav_pkg

#endif
