#include "velocity_controller.h"

#include <algorithm>
#include <cmath>

namespace nav_pkg {

using ignition::math::Quaterniond;
using ignition::math::Vector3d;

namespace {

double Limit(double value, double bound) { return std::max(-bound, std::min(bound, value)); }

}  // namespace

Wrench VelocityController::Update(const VelocityCommand& command, const Quaterniond& orientation,
                                  const Vector3d& velocity, const Vector3d& angular_velocity,
                                  double mass, const Vector3d& inertia, double gravity) const {
  const Quaterniond heading(0.0, 0.0, orientation.Yaw());

  // 1. From velocity error (heading frame) to acceleration. This frame rotates: without the second term
  // (turning rate times velocity) the drone would skid outwards in every curve.
  const Vector3d own = heading.RotateVectorReverse(velocity);
  const Vector3d error = command.linear - own;
  const double turning = orientation.RotateVector(angular_velocity).Z();
  Vector3d sideways(gains_.horizontal_rate * error.X() - turning * own.Y(),
                    gains_.horizontal_rate * error.Y() + turning * own.X(), 0.0);
  const double wanted = sideways.Length();
  const double bound = std::min(gains_.max_acceleration, gravity * std::tan(gains_.max_tilt));
  if (wanted > bound) sideways *= bound / wanted;
  const double upwards = Limit(gains_.vertical_rate * error.Z(), gains_.max_acceleration);

  // 2. From acceleration to a thrust vector, which also compensates gravity. Its direction follows from the
  // horizontal acceleration and gravity only, so that climbing does not change the tilt limit.
  const Vector3d up = orientation.RotateVector(Vector3d::UnitZ);
  Vector3d direction = heading.RotateVector(Vector3d(sideways.X(), sideways.Y(), gravity));
  direction.Normalize();

  Wrench wrench;
  // Height has priority: the vertical part of the thrust is the requested one at any tilt.
  const double vertical = std::max(up.Z(), 0.3);
  wrench.thrust = std::max(0.0, std::min(gains_.max_thrust, mass * (gravity + upwards) / vertical));
  if (up.Z() < 0.0) wrench.thrust = 0.0;  // upside down: turn over first

  // 3. From attitude error (the rotation from `up` to `direction`, body frame) to torques.
  Vector3d turn = up.Cross(direction);
  const double sine = turn.Length();
  const double angle = std::atan2(sine, up.Dot(direction));
  if (sine > 1e-9) {
    turn *= angle / sine;
  } else if (angle > 1.0) {
    turn = orientation.RotateVector(Vector3d(angle, 0.0, 0.0));  // exactly upside down: any direction
  }
  const Vector3d e = orientation.RotateVectorReverse(turn);
  const double w = gains_.attitude_frequency;
  const Vector3d acceleration(w * w * e.X() - 2.0 * w * angular_velocity.X(),
                              w * w * e.Y() - 2.0 * w * angular_velocity.Y(),
                              gains_.yaw_rate * (command.yaw_rate - angular_velocity.Z()));
  wrench.torque = inertia * acceleration;
  for (int axis = 0; axis < 3; ++axis) {
    wrench.torque[axis] = Limit(wrench.torque[axis], gains_.max_torque);
  }
  return wrench;
}

}  // namespace nav_pkg
