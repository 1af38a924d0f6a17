#include "config.h"

namespace nav_pkg {

namespace {

template <typename T>
void Take(const sdf::ElementPtr& element, const std::string& name, T* value) {
  if (element && element->HasElement(name)) *value = element->Get<T>(name);
}

}  // namespace

Config Config::Read(const sdf::ElementPtr& element) {
  Config config;
  Take(element, "robot", &config.robot);
  std::string drive;
  Take(element, "drive", &drive);
  config.ground = drive == "ground";
  Take(element, "lockstep", &config.lockstep);
  Take(element, "depth_width", &config.depth_width);
  Take(element, "depth_height", &config.depth_height);
  Take(element, "seed", &config.seed);
  Take(element, "scan_noise", &config.scan_noise);
  Take(element, "command_timeout", &config.command_timeout);
  Take(element, "timeout", &config.timeout);
  Take(element, "clock_rate", &config.clock_rate);
  if (element && element->HasElement("topics")) {
    const sdf::ElementPtr topics = element->GetElement("topics");
    Take(topics, "command", &config.command);
    Take(topics, "rgb", &config.rgb);
    Take(topics, "rgb_info", &config.rgb_info);
    Take(topics, "depth", &config.depth);
    Take(topics, "depth_info", &config.depth_info);
    Take(topics, "scan", &config.scan);
    Take(topics, "odometry", &config.state);
    Take(topics, "contacts", &config.contacts);
  }
  if (element && element->HasElement("frames")) {
    const sdf::ElementPtr frames = element->GetElement("frames");
    Take(frames, "world", &config.world_frame);
    Take(frames, "base", &config.base_frame);
    Take(frames, "camera", &config.camera_frame);
    Take(frames, "optical", &config.optical_frame);
    Take(frames, "laser", &config.laser_frame);
  }
  if (element && element->HasElement("camera")) {
    for (auto camera = element->GetElement("camera"); camera; camera = camera->GetNextElement("camera")) {
      SideCamera side;
      Take(camera, "sensor", &side.sensor);
      Take(camera, "rgb", &side.rgb);
      Take(camera, "rgb_info", &side.rgb_info);
      Take(camera, "frame", &side.camera_frame);
      Take(camera, "optical", &side.optical_frame);
      config.side_cameras.push_back(side);
    }
  }
  return config;
}

}  // namespace nav_pkg
