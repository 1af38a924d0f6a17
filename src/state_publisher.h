// Publisher of all messages from the physics thread: clock, state, scan, contacts, frames.
#ifndef NAV_PKG_STATE_PUBLISHER_H
#define NAV_PKG_STATE_PUBLISHER_H

#include <cstdint>
#include <string>
#include <vector>

#include <gazebo/physics/physics.hh>
#include <gazebo/sensors/RaySensor.hh>
#include <ros/ros.h>

#include "config.h"
#include "drone.h"
#include "ray_caster.h"

namespace nav_pkg {

// A camera on the robot: its pose in the base frame, and the names of its frames.
struct MountedCamera {
  ignition::math::Pose3d pose;
  std::string frame;
  std::string optical_frame;
};

// All methods must be called in the physics thread.
class StatePublisher {
 public:
  void Start(const gazebo::physics::WorldPtr& world, const Config& config, ros::NodeHandle* node);

  // Advertises the robot's sensors; cameras and the laser may be missing.
  void Attach(Drone* drone, const gazebo::sensors::RaySensorPtr& laser,
              const std::vector<MountedCamera>& cameras);

  void PublishClock(const ros::Time& stamp);

  // Publishes one frame: the state after the physics step that ended at `stamp`. `seed` and `frame` select
  // the noise.
  void PublishFrame(const ros::Time& stamp, std::uint64_t seed, std::uint64_t frame);

 private:
  void PublishModelStates();
  void PublishState(const ros::Time& stamp);
  void PublishScan(const ros::Time& stamp, std::uint64_t seed, std::uint64_t frame);
  void PublishContacts(const ros::Time& stamp);

  Config config_;
  gazebo::physics::WorldPtr world_;
  Drone* drone_ = nullptr;
  gazebo::sensors::RaySensorPtr laser_;
  RayCaster rays_;
  ros::NodeHandle* node_ = nullptr;
  ros::Publisher clock_;
  ros::Publisher model_states_;
  ros::Publisher state_;
  ros::Publisher scan_;
  ros::Publisher contacts_;
  ros::Publisher tf_;
  ros::Publisher tf_static_;
};

}  // namespace nav_pkg

#endif
