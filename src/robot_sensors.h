// The robot's sensors, as Gazebo has them.
#ifndef NAV_PKG_ROBOT_SENSORS_H
#define NAV_PKG_ROBOT_SENSORS_H

#include <string>
#include <vector>

#include <gazebo/sensors/CameraSensor.hh>
#include <gazebo/sensors/RaySensor.hh>

#include "config.h"
#include "state_publisher.h"

namespace nav_pkg {

struct RobotSensors {
  gazebo::sensors::CameraSensorPtr camera;  // of colour and depth; null when there is none
  gazebo::sensors::RaySensorPtr laser;      // null when there is none
  // In the order of Config::side_cameras; null where the model has none of that name.
  std::vector<gazebo::sensors::CameraSensorPtr> side_cameras;

  // The sensors whose scoped names begin with `prefix`. The camera is the first one that is not
  // named as a side camera.
  static RobotSensors Find(const std::string& prefix, const Config& config);

  // Where the cameras that there are stand on the robot.
  std::vector<MountedCamera> Mounted(const Config& config) const;
};

// The settings by which a side camera publishes: its own names, and no depth images.
Config SideConfig(const Config& config, const SideCamera& side);

}  // namespace nav_pkg

#endif
