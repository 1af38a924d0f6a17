// The quadrotor's flight controller: velocity commands to thrust and torques.
#ifndef NAV_PKG_CORE_VELOCITY_CONTROLLER_H
#define NAV_PKG_CORE_VELOCITY_CONTROLLER_H

#include "vector.h"

namespace nav_pkg {

// A velocity command in the heading frame: m/s forward, left, up, and rad/s counter-clockwise.
struct VelocityCommand {
  Vector3 linear;
  double yaw_rate = 0.0;
};

// Thrust along z (N) and torques (N m) of the rotors, body frame.
struct Wrench {
  double thrust = 0.0;
  Vector3 torque;
};

struct ControllerGains {
  double horizontal_rate = 4.0;   // 1/s: desired acceleration per m/s of horizontal velocity error
  double vertical_rate = 5.0;     // 1/s
  double yaw_rate = 7.0;          // 1/s: angular acceleration per rad/s of yaw rate error
  double attitude_frequency = 30.0;  // rad/s, natural frequency of the attitude loop (damping 1)
  double max_tilt = 0.61;         // rad (35 degrees)
  double max_acceleration = 8.0;  // m/s^2, horizontal and vertical each
  double max_thrust = 20.0;       // N
  double max_torque = 2.0;        // N m, per axis
};

// A cascade without state: velocity error -> desired acceleration -> desired thrust vector -> attitude
// error -> torques. The reduced attitude control (thrust direction separate from yaw) follows the idea of
// Lee, Leok, McClamroch, "Geometric tracking control of a quadrotor UAV on SE(3)" (CDC 2010). Without
// integrators, a reset has no state to clear.
class VelocityController {
 public:
  explicit VelocityController(const ControllerGains& gains = ControllerGains()) : gains_(gains) {}

  // mass in kg, inertia (diagonal, body frame) in kg m^2, gravity in m/s^2 (positive),
  // velocity in the world frame, angular velocity in the body frame.
  Wrench Update(const VelocityCommand& command, const Quaternion& orientation, const Vector3& velocity,
                const Vector3& angular_velocity, double mass, const Vector3& inertia, double gravity) const;

 private:
  ControllerGains gains_;
};

}  // namespace nav_pkg

#endif
