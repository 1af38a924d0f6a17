// The drive of a robot that stays on the floor: velocity commands to a force and a torque.
#ifndef NAV_PKG_CORE_GROUND_CONTROLLER_H
#define NAV_PKG_CORE_GROUND_CONTROLLER_H

#include "vector.h"
#include "velocity_controller.h"

namespace nav_pkg {

// Effect of the floor on the robot: a force in the world frame (N), a torque in the body frame (N m).
struct FloorWrench {
  Vector3 force;
  Vector3 torque;
};

struct GroundGains {
  double forward_rate = 8.0;            // 1/s: desired acceleration per m/s of error
  double sideways_rate = 20.0;          // 1/s: how soon the wheels stop a slip
  double yaw_rate = 8.0;                // 1/s: angular acceleration per rad/s of error
  double max_acceleration = 2.5;        // m/s^2
  double max_grip = 8.0;                // m/s^2, sideways
  double max_turn_acceleration = 3.2;   // rad/s^2
  double stiffness = 30.0;              // rad/s, natural frequency of height, roll and pitch (damping 1)
};

// A differential drive without wheels. Forward and turning speed follow the command within the limits of a
// TurtleBot3 Burger's motion planner (2.5 m/s^2, 3.2 rad/s^2). The only sideways motion is slip, which the
// wheels stop. The floor is a stiff, damped spring that holds height, roll and pitch: the robot's model has
// no gravity and does not touch the floor. Therefore every contact is an obstacle, and equal commands give
// equal bytes. Without state, like VelocityController.
class GroundController {
 public:
  explicit GroundController(const GroundGains& gains = GroundGains()) : gains_(gains) {}

  // `height` is that of the model's origin on the floor (m); position and velocity in the world
  // frame, angular velocity in the body frame, mass in kg, inertia (diagonal, body frame) in kg m^2.
  FloorWrench Update(const VelocityCommand& command, double height, const Vector3& position,
                     const Quaternion& orientation, const Vector3& velocity, const Vector3& angular_velocity,
                     double mass, const Vector3& inertia) const;

 private:
  GroundGains gains_;
};

}  // namespace nav_pkg

#endif
