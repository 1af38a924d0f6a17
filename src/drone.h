// The robot in the physics thread: state, forces, placement, contacts.
#ifndef NAV_PKG_DRONE_H
#define NAV_PKG_DRONE_H

#include <map>
#include <string>
#include <utility>
#include <vector>

#include <gazebo/physics/physics.hh>
#include <gazebo_msgs/ContactState.h>

#include "core/ground_controller.h"
#include "core/velocity_controller.h"

namespace nav_pkg {

// All methods must be called in the physics thread.
class Drone {
 public:
  // Finds the model; false while the world has no model of that name. `ground`: the robot drives on the
  // floor, at its current height or that of the last Place; otherwise it flies.
  bool Attach(const gazebo::physics::WorldPtr& world, const std::string& name, bool ground);
  bool attached() const { return static_cast<bool>(link_); }

  void SetCommand(const VelocityCommand& command) { command_ = command; }

  // Applies the controller's wrench for the coming physics step.
  void Move();

  // Places the robot at rest at a pose (world frame); clears all forces and torques.
  void Place(const ignition::math::Pose3d& pose);

  // Whether the state is finite. A physics failure must not stay undetected.
  bool Finite() const;

  // Adds the contacts of the last physics step to those of the frame.
  void CollectContacts();
  void ClearContacts() { contacts_.clear(); }
  std::vector<gazebo_msgs::ContactState> Contacts() const;

  ignition::math::Pose3d Pose() const { return link_->WorldPose(); }
  // m/s and rad/s in the body frame.
  ignition::math::Vector3d LinearVelocity() const;
  ignition::math::Vector3d AngularVelocity() const;

  const gazebo::physics::ModelPtr& model() const { return model_; }
  const gazebo::physics::LinkPtr& link() const { return link_; }

 private:
  gazebo::physics::WorldPtr world_;
  gazebo::physics::ModelPtr model_;
  gazebo::physics::LinkPtr link_;
  bool ground_ = false;
  double height_ = 0.0;  // of the model's origin when it stands on the floor, m
  VelocityController controller_;
  GroundController ground_controller_;
  VelocityCommand command_;
  std::map<std::pair<std::string, std::string>, gazebo_msgs::ContactState> contacts_;
};

}  // namespace nav_pkg

#endif
