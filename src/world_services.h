// The gazebo_msgs interface of gazebo_ros, implemented through the gate.
#ifndef NAV_PKG_WORLD_SERVICES_H
#define NAV_PKG_WORLD_SERVICES_H

#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include <gazebo/physics/physics.hh>
#include <gazebo/transport/transport.hh>
#include <gazebo_msgs/DeleteModel.h>
#include <gazebo_msgs/GetModelState.h>
#include <gazebo_msgs/GetPhysicsProperties.h>
#include <gazebo_msgs/GetWorldProperties.h>
#include <gazebo_msgs/ModelState.h>
#include <gazebo_msgs/SetModelState.h>
#include <gazebo_msgs/SetPhysicsProperties.h>
#include <gazebo_msgs/SpawnModel.h>
#include <ros/ros.h>
#include <std_srvs/Empty.h>

#include "config.h"
#include "gate.h"

namespace nav_pkg {

// Services and topics under /gazebo with gazebo_ros's names, types and meaning. Comments at the methods
// state the differences. In lock-step the world stands still between steps, paused or not.
class WorldServices {
 public:
  // Runs a job in the physics thread; returns empty or an error.
  using Runner = std::function<std::string(std::function<std::string()>)>;
  // Lets Gazebo insert or remove models until the function returns true; returns empty or an error.
  using Settler = std::function<std::string(const std::function<bool()>&)>;

  WorldServices(const gazebo::physics::WorldPtr& world, const Config& config, ros::NodeHandle* node,
                Gate* gate, std::mutex* client_mutex, Runner run, Settler settle,
                std::function<double()> period, std::function<ros::Time()> now);
  void Stop();

 private:
  bool Pause(std_srvs::Empty::Request&, std_srvs::Empty::Response&);
  bool Unpause(std_srvs::Empty::Request&, std_srvs::Empty::Response&);
  bool ResetWorld(std_srvs::Empty::Request&, std_srvs::Empty::Response&);
  bool ResetSimulation(std_srvs::Empty::Request&, std_srvs::Empty::Response&);
  bool SetState(gazebo_msgs::SetModelState::Request&, gazebo_msgs::SetModelState::Response&);
  bool GetState(gazebo_msgs::GetModelState::Request&, gazebo_msgs::GetModelState::Response&);
  bool Spawn(gazebo_msgs::SpawnModel::Request&, gazebo_msgs::SpawnModel::Response&);
  bool Delete(gazebo_msgs::DeleteModel::Request&, gazebo_msgs::DeleteModel::Response&);
  bool GetWorld(gazebo_msgs::GetWorldProperties::Request&, gazebo_msgs::GetWorldProperties::Response&);
  bool GetPhysics(gazebo_msgs::GetPhysicsProperties::Request&, gazebo_msgs::GetPhysicsProperties::Response&);
  bool SetPhysics(gazebo_msgs::SetPhysicsProperties::Request&, gazebo_msgs::SetPhysicsProperties::Response&);
  void OnModelState(const gazebo_msgs::ModelState::ConstPtr& message);

  // Physics thread.
  std::string ApplyState(const gazebo_msgs::ModelState& state);
  std::string RestoreModels();
  gazebo::physics::EntityPtr Frame(const std::string& name, std::string* error) const;

  gazebo::physics::WorldPtr world_;
  Config config_;
  Gate* gate_;
  std::mutex* client_mutex_;
  Runner run_;
  Settler settle_;
  std::function<double()> period_;  // of the sensors, s
  // Of the state that the robot has: Gazebo adds a step to its own time before it holds the physics thread.
  std::function<ros::Time()> now_;
  gazebo::transport::NodePtr gazebo_node_;
  std::vector<ros::ServiceServer> servers_;
  ros::Subscriber model_state_;
};

}  // namespace nav_pkg

#endif
