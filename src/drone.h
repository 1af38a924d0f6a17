// The robot as the physics thread sees it: state, forces, placing, contacts.
#ifndef NAV_PKG_DRONE_H
#define NAV_PKG_DRONE_H

#include <map>
#include <string>
#include <utility>
#include <vector>

#include <gazebo/physics/physics.hh>
#include <gazebo_msgs/ContactState.h>

#include "ground_controller.h"
#include "velocity_controller.h"

namespace nav_pkg {

// All methods belong to the physics thread.
class Drone {
 public:
  // Finds the model; false as long as the world has none of that name. `ground`: it drives on the
  // floor, at the height where it stands now or is put by Place; else it flies.
  bool Attach(const gazebo::physics::WorldPtr& world, const std::string& name, bool ground);
  bool attached() const { return static_cast<bool>(link_); }

  void SetCommand(const VelocityCommand& command) { command_ = command; }

  // Applies the controller's wrench for the coming physics step.
  void Move();

  // Puts the robot at a pose (world frame) at rest, with no force or torque left over.
  void Place(const ignition::math::Pose3d& pose);

  // Whether the state is finite; physics that went wrong must not reach anybody silently.
  bool Finite() const;

  // Adds the contacts of the physics step just done to those of the frame.
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
