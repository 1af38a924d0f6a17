#include "ground_controller.h"

#include <algorithm>
#include <cmath>

namespace nav_pkg {

FloorWrench GroundController::Update(const VelocityCommand& command, double height,
                                     const Vector3& position, const Quaternion& orientation,
                                     const Vector3& velocity, const Vector3& angular_velocity, double mass,
                                     const Vector3& inertia) const {
  const Quaternion heading = Quaternion::FromYaw(orientation.Yaw());
  const Vector3 own = heading.RotateBack(velocity);
  const double turning = orientation.Rotate(angular_velocity).z;

  // The heading frame rotates: without the terms with `turning` the robot would skid outwards in curves.
  const double forward =
      Limit(gains_.forward_rate * (command.linear.x - own.x), gains_.max_acceleration) - turning * own.y;
  const double sideways = Limit(turning * own.x - gains_.sideways_rate * own.y, gains_.max_grip);
  const double w = gains_.stiffness;
  const double upwards = w * w * (height - position.z) - 2.0 * w * own.z;

  FloorWrench wrench;
  wrench.force = heading.Rotate(Vector3{forward, sideways, upwards}) * mass;

  // The rotation from the robot's vertical axis to that of the floor, body frame.
  const Vector3 up = orientation.Rotate(Vector3{0.0, 0.0, 1.0});
  Vector3 tilt = up.Cross(Vector3{0.0, 0.0, 1.0});
  const double sine = tilt.Length();
  if (sine > 1e-9) tilt = tilt * (std::atan2(sine, up.z) / sine);
  const Vector3 e = orientation.RotateBack(tilt);
  const double turn = Limit(gains_.yaw_rate * (command.yaw_rate - angular_velocity.z),
                            gains_.max_turn_acceleration);
  wrench.torque = inertia * Vector3{w * w * e.x - 2.0 * w * angular_velocity.x,
                                    w * w * e.y - 2.0 * w * angular_velocity.y, turn};
  return wrench;
}

}  // namespace nav_pkg
