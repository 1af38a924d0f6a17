// The world plugin: lock-step, the robot and its sensors, ROS services.
#ifndef NAV_PKG_PLUGIN_H
#define NAV_PKG_PLUGIN_H

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <gazebo/common/Plugin.hh>
#include <gazebo/common/Events.hh>
#include <gazebo/physics/physics.hh>
#include <geometry_msgs/Twist.h>
#include <nav_pkg/Reset.h>
#include <nav_pkg/Step.h>
#include <ros/callback_queue.h>
#include <ros/ros.h>
#include <std_srvs/SetBool.h>

#include "camera_publisher.h"
#include "config.h"
#include "drone.h"
#include "frame_board.h"
#include "gate.h"
#include "state_publisher.h"
#include "world_services.h"

namespace nav_pkg {

// Three kinds of threads: the physics thread runs OnUpdateBegin, OnUpdateEnd and all jobs given to the
// gate. The main thread renders (OnPreRender, CameraPublisher). The spinner's threads run the service
// callbacks, which access the world only through the gate.
class LockstepPlugin : public gazebo::WorldPlugin {
 public:
  LockstepPlugin() = default;
  ~LockstepPlugin() override;
  void Load(gazebo::physics::WorldPtr world, sdf::ElementPtr element) override;

 private:
  void OnUpdateBegin();
  void OnUpdateEnd();
  void OnPreRender();

  bool StartRos();
  void Attach();  // physics thread: finds the robot and its sensors; may be called again

  bool OnStep(Step::Request& request, Step::Response& reply);
  bool OnReset(Reset::Request& request, Reset::Response& reply);
  bool OnSetLockstep(std_srvs::SetBool::Request& request, std_srvs::SetBool::Response& reply);
  void OnCommand(const geometry_msgs::Twist::ConstPtr& message);

  // Steps up to each due time of the sensors and waits there for all of them. Returns empty or an error.
  std::string Advance(std::uint64_t steps, Deadline deadline);
  std::string PlaceAtRest(const ignition::math::Pose3d& pose, std::uint64_t seed);
  std::string WaitForScene(Deadline deadline);
  // A null step: nothing moves and no time passes. Needed for what Gazebo does only between updates.
  void BeginNullStep();  // physics thread
  std::string NullStep(Deadline deadline);
  Deadline DeadlineOf(double seconds) const { return InSeconds(seconds > 0 ? seconds : config_.timeout); }
  std::int64_t StepNs() const;

  Config config_;
  gazebo::physics::WorldPtr world_;
  Gate gate_;
  FrameBoard board_;
  Drone drone_;
  CameraPublisher camera_;
  std::vector<std::unique_ptr<CameraPublisher>> side_cameras_;
  StatePublisher state_;
  std::unique_ptr<WorldServices> services_;

  // Simulated time after the last step, and the sensors' period. Integers compare exactly.
  std::atomic<std::int64_t> now_ns_{0};
  std::atomic<std::int64_t> period_ns_{100000000};
  std::int64_t last_clock_ns_ = -1;

  // Physics thread.
  std::uint64_t seed_ = 0;
  std::int64_t episode_ns_ = 0;  // stamp of the episode's frame 0
  bool pinned_ = false;          // held at rest by a reset
  ignition::math::Pose3d pin_;
  bool null_step_ = false;       // the current update is a null step
  bool was_finite_ = true;
  Deadline scene_deadline_;

  // The last command received on the topic (free-running only).
  std::mutex command_mutex_;
  VelocityCommand command_;
  std::int64_t command_ns_ = -1;

  std::mutex client_mutex_;  // one step, reset or spawn at a time

  // Rendering thread: the visuals that are still missing in the scene.
  std::vector<std::string> missing_visuals_;
  std::atomic<bool> scene_ready_{false};
  std::mutex scene_mutex_;
  std::string first_missing_;

  std::unique_ptr<ros::NodeHandle> node_;
  ros::CallbackQueue queue_;
  std::unique_ptr<ros::AsyncSpinner> spinner_;
  ros::ServiceServer step_;
  ros::ServiceServer reset_;
  ros::ServiceServer set_lockstep_;
  ros::Subscriber command_subscriber_;
  std::vector<gazebo::event::ConnectionPtr> connections_;
};

}  // namespace nav_pkg

#endif
