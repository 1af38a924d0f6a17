#include "rigid_body.h"

namespace nav_pkg {

Matrix3 Matrix3::From(const Quaternion& q) {
  const double xx = 2 * q.x * q.x;
  const double yy = 2 * q.y * q.y;
  const double zz = 2 * q.z * q.z;
  return {{1 - yy - zz, 2 * (q.x * q.y - q.w * q.z), 2 * (q.x * q.z + q.w * q.y),
           2 * (q.x * q.y + q.w * q.z), 1 - xx - zz, 2 * (q.y * q.z - q.w * q.x),
           2 * (q.x * q.z - q.w * q.y), 2 * (q.y * q.z + q.w * q.x), 1 - xx - yy}};
}

void RigidBody::Place(const Vector3& position, const Quaternion& orientation) {
  Move(position, orientation, Vector3(), Vector3());
  height_ = position.z;
}

void RigidBody::Move(const Vector3& position, const Quaternion& orientation, const Vector3& velocity,
                     const Vector3& angular_velocity) {
  position_ = position;
  orientation_ = orientation;
  orientation_.Normalize();
  rotation_ = Matrix3::From(orientation_);
  velocity_ = velocity;
  angular_velocity_ = angular_velocity;
}

void RigidBody::RestAt(double z) {
  position_.z = z;
  if (velocity_.z < 0.0) velocity_.z = 0.0;
}

void RigidBody::Step(const VelocityCommand& command, double dt) {
  const Vector3& inertia = settings_.inertia;
  const Vector3 turning = orientation_.RotateBack(angular_velocity_);
  Vector3 force;   // world frame
  Vector3 torque;  // body frame
  if (settings_.ground) {
    const FloorWrench wrench = ground_controller_.Update(command, height_, position_, orientation_, velocity_,
                                                         turning, settings_.mass, inertia);
    force = wrench.force;
    torque = wrench.torque;
  } else {
    const Wrench wrench = flight_controller_.Update(command, orientation_, velocity_, turning, settings_.mass,
                                                    inertia, settings_.gravity);
    force = rotation_ * Vector3{0.0, 0.0, wrench.thrust};
    force.z -= settings_.mass * settings_.gravity;
    torque = wrench.torque;
  }
  velocity_ = velocity_ + force * (dt / settings_.mass);

  // Euler's equation in the body frame, where the inertia is diagonal: the same numbers as ODE's in the world frame,
  // apart from rounding.
  const Vector3 own = rotation_.TransposeTimes(angular_velocity_);
  const Vector3 net = torque - own.Cross(inertia * own);
  const Vector3 acceleration{net.x / inertia.x, net.y / inertia.y, net.z / inertia.z};
  angular_velocity_ = angular_velocity_ + rotation_ * acceleration * dt;

  position_ = position_ + velocity_ * dt;
  const Vector3& w = angular_velocity_;
  const Quaternion q = orientation_;
  orientation_.w += dt * 0.5 * (-w.x * q.x - w.y * q.y - w.z * q.z);
  orientation_.x += dt * 0.5 * (w.x * q.w + w.y * q.z - w.z * q.y);
  orientation_.y += dt * 0.5 * (-w.x * q.z + w.y * q.w + w.z * q.x);
  orientation_.z += dt * 0.5 * (w.x * q.y - w.y * q.x + w.z * q.w);
  orientation_.Normalize();
  rotation_ = Matrix3::From(orientation_);
}

}  // namespace nav_pkg
