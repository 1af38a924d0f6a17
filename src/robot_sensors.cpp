#include "robot_sensors.h"

#include <gazebo/common/Console.hh>
#include <gazebo/sensors/SensorManager.hh>

namespace nav_pkg {

using gazebo::sensors::CameraSensor;
using gazebo::sensors::RaySensor;

RobotSensors RobotSensors::Find(const std::string& prefix, const Config& config) {
  RobotSensors found;
  found.side_cameras.resize(config.side_cameras.size());
  for (const auto& sensor : gazebo::sensors::SensorManager::Instance()->GetSensors()) {
    if (sensor->ScopedName().compare(0, prefix.size(), prefix) != 0) continue;
    if (!found.laser) found.laser = std::dynamic_pointer_cast<RaySensor>(sensor);
    const auto camera = std::dynamic_pointer_cast<CameraSensor>(sensor);
    if (!camera) continue;
    bool aside = false;
    for (std::size_t i = 0; i < config.side_cameras.size(); ++i) {
      if (config.side_cameras[i].sensor != camera->Name()) continue;
      found.side_cameras[i] = camera;
      aside = true;
    }
    if (!aside && !found.camera) found.camera = camera;
  }
  for (std::size_t i = 0; i < config.side_cameras.size(); ++i) {
    if (found.side_cameras[i]) continue;
    gzerr << "[nav_pkg] the robot has no camera named " << config.side_cameras[i].sensor << std::endl;
  }
  return found;
}

std::vector<MountedCamera> RobotSensors::Mounted(const Config& config) const {
  std::vector<MountedCamera> mounted;
  if (camera) mounted.push_back({camera->Pose(), config.camera_frame, config.optical_frame});
  for (std::size_t i = 0; i < side_cameras.size(); ++i) {
    const SideCamera& side = config.side_cameras[i];
    if (side_cameras[i]) mounted.push_back({side_cameras[i]->Pose(), side.camera_frame, side.optical_frame});
  }
  return mounted;
}

Config SideConfig(const Config& config, const SideCamera& side) {
  Config own = config;
  own.rgb = side.rgb;
  own.rgb_info = side.rgb_info;
  own.camera_frame = side.camera_frame;
  own.optical_frame = side.optical_frame;
  own.depth_width = own.depth_height = 0;
  return own;
}

}  // namespace nav_pkg
