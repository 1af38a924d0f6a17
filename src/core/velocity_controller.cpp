#include "velocity_controller.h"

#include <algorithm>
#include <cmath>

namespace nav_pkg {

Wrench VelocityController::Update(const VelocityCommand& command, const Quaternion& orientation,
                                  const Vector3& velocity, const Vector3& angular_velocity,
                                  double mass, const Vector3& inertia, double gravity) const {
  const Quaternion heading = Quaternion::FromYaw(orientation.Yaw());

  // 1. From velocity error (heading frame) to acceleration. This frame rotates: without the second term
  // (turning rate times velocity) the drone would skid outwards in every curve.
  const Vector3 own = heading.RotateBack(velocity);
  const Vector3 error = command.linear - own;
  const double turning = orientation.Rotate(angular_velocity).z;
  Vector3 sideways{gains_.horizontal_rate * error.x - turning * own.y,
                   gains_.horizontal_rate * error.y + turning * own.x, 0.0};
  const double wanted = sideways.Length();
  const double bound = std::min(gains_.max_acceleration, gravity * std::tan(gains_.max_tilt));
  if (wanted > bound) sideways = sideways * (bound / wanted);
  const double upwards = Limit(gains_.vertical_rate * error.z, gains_.max_acceleration);

  // 2. From acceleration to a thrust vector, which also compensates gravity. Its direction follows from the
  // horizontal acceleration and gravity only, so that climbing does not change the tilt limit.
  const Vector3 up = orientation.Rotate(Vector3{0.0, 0.0, 1.0});
  Vector3 direction = heading.Rotate(Vector3{sideways.x, sideways.y, gravity});
  direction.Normalize();

  Wrench wrench;
  // Height has priority: the vertical part of the thrust is the requested one at any tilt.
  const double vertical = std::max(up.z, 0.3);
  wrench.thrust = std::max(0.0, std::min(gains_.max_thrust, mass * (gravity + upwards) / vertical));
  if (up.z < 0.0) wrench.thrust = 0.0;  // upside down: turn over first

  // 3. From attitude error (the rotation from `up` to `direction`, body frame) to torques.
  Vector3 turn = up.Cross(direction);
  const double sine = turn.Length();
  const double angle = std::atan2(sine, up.Dot(direction));
  if (sine > 1e-9) {
    turn = turn * (angle / sine);
  } else if (angle > 1.0) {
    turn = orientation.Rotate(Vector3{angle, 0.0, 0.0});  // exactly upside down: any direction
  }
  const Vector3 e = orientation.RotateBack(turn);
  const double w = gains_.attitude_frequency;
  const Vector3 torque = inertia * Vector3{w * w * e.x - 2.0 * w * angular_velocity.x,
                                           w * w * e.y - 2.0 * w * angular_velocity.y,
                                           gains_.yaw_rate * (command.yaw_rate - angular_velocity.z)};
  wrench.torque = {Limit(torque.x, gains_.max_torque), Limit(torque.y, gains_.max_torque),
                   Limit(torque.z, gains_.max_torque)};
  return wrench;
}

}  // namespace nav_pkg
