// The plugin's settings: from its SDF element and, for the mode, from the ROS parameter server.
#ifndef NAV_PKG_CONFIG_H
#define NAV_PKG_CONFIG_H

#include <cstdint>
#include <string>
#include <vector>

#include <sdf/sdf.hh>

namespace nav_pkg {

// An additional colour camera of the robot, beside the one for colour and depth.
struct SideCamera {
  std::string sensor;  // name in the model
  std::string rgb;     // topics
  std::string rgb_info;
  std::string camera_frame;
  std::string optical_frame;
};

// The defaults are those of config/robot/drone.yaml, which nav_pkg.sim.description writes into the <plugin>
// element of the run's world. docs/simulator.md lists all elements.
struct Config {
  std::string robot = "drone";  // model name
  bool ground = false;          // the robot stays on the floor; otherwise it flies
  bool lockstep = true;         // false: free-running; the parameter /gazebo/lockstep has priority
  int depth_width = 160;        // pixels; 0: no depth images
  int depth_height = 90;
  std::uint64_t seed = 0;       // of sensor noise until a reset sets another one
  double scan_noise = 0.01;     // m, standard deviation
  double command_timeout = 0.5; // s of simulated time, free-running: an older command counts as zero
  double timeout = 30.0;        // s of wall time, for requests without a timeout
  double clock_rate = 0.0;      // Hz; 0: each control period in lock-step, 100 Hz free-running

  // Queue size of publishers. In lock-step the nodes are waited for and no message may be lost; when
  // free-running, an old image is useless.
  std::uint32_t queue() const { return lockstep ? 256 : 2; }

  std::string command = "/cmd_vel";
  std::string rgb = "/camera/rgb/image_raw";
  std::string rgb_info = "/camera/rgb/camera_info";
  std::string depth = "/camera/depth/image_raw";
  std::string depth_info = "/camera/depth/camera_info";
  std::string scan = "/scan";
  std::string state = "/ground_truth/state";
  std::string contacts = "/contacts";

  std::string world_frame = "world";
  std::string base_frame = "base_link";
  std::string camera_frame = "camera_link";
  std::string optical_frame = "camera_optical_frame";
  std::string laser_frame = "laser";

  std::vector<SideCamera> side_cameras;

  static Config Read(const sdf::ElementPtr& element);
};

}  // namespace nav_pkg

#endif
