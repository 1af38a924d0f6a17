#include "ground_controller.h"

#include <algorithm>
#include <cmath>

namespace nav_pkg {

using ignition::math::Quaterniond;
using ignition::math::Vector3d;

namespace {

double Limit(double value, double bound) { return std::max(-bound, std::min(bound, value)); }

}  // namespace

FloorWrench GroundController::Update(const VelocityCommand& command, double height,
                                     const ignition::math::Pose3d& pose, const Vector3d& velocity,
                                     const Vector3d& angular_velocity, double mass,
                                     const Vector3d& inertia) const {
  const Quaterniond orientation = pose.Rot();
  const Quaterniond heading(0.0, 0.0, orientation.Yaw());
  const Vector3d own = heading.RotateVectorReverse(velocity);
  const double turning = orientation.RotateVector(angular_velocity).Z();

  // The heading frame rotates: without the terms with `turning` the robot would skid outwards in curves.
  const double forward =
      Limit(gains_.forward_rate * (command.linear.X() - own.X()), gains_.max_acceleration) - turning * own.Y();
  const double sideways = Limit(turning * own.X() - gains_.sideways_rate * own.Y(), gains_.max_grip);
  const double w = gains_.stiffness;
  const double upwards = w * w * (height - pose.Pos().Z()) - 2.0 * w * own.Z();

  FloorWrench wrench;
  wrench.force = heading.RotateVector(Vector3d(forward, sideways, upwards)) * mass;

  // The rotation from the robot's vertical axis to that of the floor, body frame.
  const Vector3d up = orientation.RotateVector(Vector3d::UnitZ);
  Vector3d tilt = up.Cross(Vector3d::UnitZ);
  const double sine = tilt.Length();
  if (sine > 1e-9) tilt *= std::atan2(sine, up.Z()) / sine;
  const Vector3d e = orientation.RotateVectorReverse(tilt);
  const double turn = Limit(gains_.yaw_rate * (command.yaw_rate - angular_velocity.Z()),
                            gains_.max_turn_acceleration);
  wrench.torque = inertia * Vector3d(w * w * e.X() - 2.0 * w * angular_velocity.X(),
                                     w * w * e.Y() - 2.0 * w * angular_velocity.Y(), turn);
  return wrench;
}

}  // namespace nav_pkg
