// Colour and depth images of the robot's camera, published from the rendering (main) thread.
#ifndef NAV_PKG_CAMERA_PUBLISHER_H
#define NAV_PKG_CAMERA_PUBLISHER_H

#include <atomic>
#include <string>
#include <vector>

#include <gazebo/common/Event.hh>
#include <gazebo/sensors/CameraSensor.hh>
#include <ros/ros.h>
#include <sensor_msgs/CameraInfo.h>

#include "config.h"
#include "depth_reader.h"
#include "frame_board.h"

namespace nav_pkg {

class CameraPublisher {
 public:
  // Physics thread. From now on publishes every frame of `sensor`, stamped with the simulated time of the
  // poses that it shows. `number` identifies the robot's camera; 0 is the first one.
  void Attach(const gazebo::sensors::CameraSensorPtr& sensor, const Config& config,
              ros::NodeHandle* node, FrameBoard* board, int number = 0);
  bool attached() const { return static_cast<bool>(sensor_); }
  // Rendering thread, before the first frame: settings that belong to this thread.
  void Prepare();
  void Detach() { connection_.reset(); }

 private:
  void OnFrame(const unsigned char* data, unsigned width, unsigned height, const std::string& format);
  void PublishDepth(const ros::Time& stamp);
  sensor_msgs::CameraInfo Info(unsigned width, unsigned height) const;

  Config config_;
  gazebo::sensors::CameraSensorPtr sensor_;
  gazebo::event::ConnectionPtr connection_;
  FrameBoard* board_ = nullptr;
  DepthReader reader_;
  std::vector<float> depth_;
  std::atomic<bool> prepared_{false};
  bool depth_failed_ = false;
  int number_ = 0;
  ros::Publisher rgb_;
  ros::Publisher rgb_info_;
  ros::Publisher depth_publisher_;
  ros::Publisher depth_info_;
};

}  // namespace nav_pkg

#endif
