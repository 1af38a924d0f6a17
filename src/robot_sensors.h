// The robot's sensors in Gazebo.
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
  gazebo::sensors::CameraSensorPtr camera;  // for colour and depth; null if there is none
  gazebo::sensors::RaySensorPtr laser;      // null if there is none
  // In the order of Config::side_cameras; null if the model has no camera of that name.
  std::vector<gazebo::sensors::CameraSensorPtr> side_cameras;

  // Finds the sensors whose scoped names begin with `prefix`. The camera is the first one that is not a
  // side camera by name.
  static RobotSensors Find(const std::string& prefix, const Config& config);

  // Poses and frame names of the existing cameras.
  std::vector<MountedCamera> Mounted(const Config& config) const;
};

// The publishing settings of a side camera: its own names, and no depth images.
Config SideConfig(const Config& config, const SideCamera& side);

}  // namespace nav_pkg

#endif
