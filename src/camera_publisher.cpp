#include "camera_publisher.h"

#include <cmath>
#include <cstring>

#include <gazebo/common/Console.hh>
#include <gazebo/rendering/Camera.hh>
#include <sensor_msgs/Image.h>
#include <sensor_msgs/image_encodings.h>

namespace nav_pkg {

void CameraPublisher::Attach(const gazebo::sensors::CameraSensorPtr& sensor, const Config& config,
                             ros::NodeHandle* node, FrameBoard* board, int number) {
  config_ = config;
  number_ = number;
  sensor_ = sensor;
  board_ = board;
  rgb_ = node->advertise<sensor_msgs::Image>(config.rgb, config.queue());
  rgb_info_ = node->advertise<sensor_msgs::CameraInfo>(config.rgb_info, config.queue());
  board->Expect(config.rgb);
  if (config.depth_width > 0) {
    depth_publisher_ = node->advertise<sensor_msgs::Image>(config.depth, config.queue());
    depth_info_ = node->advertise<sensor_msgs::CameraInfo>(config.depth_info, config.queue());
    board->Expect(config.depth);
  }
  connection_ = sensor->Camera()->ConnectNewImageFrame(
      [this](const unsigned char* data, unsigned width, unsigned height, unsigned,
             const std::string& format) { OnFrame(data, width, height, format); });
}

void CameraPublisher::Prepare() {
  if (prepared_ || !attached()) return;
  prepared_ = true;
  DisableMultisampling(sensor_->Camera());
  if (number_ > 0) OwnDepthBuffer(sensor_->Camera(), number_);
}

void CameraPublisher::OnFrame(const unsigned char* data, unsigned width, unsigned height,
                              const std::string& format) {
  const gazebo::common::Time time = sensor_->LastMeasurementTime();
  const ros::Time stamp(time.sec, time.nsec);
  if (rgb_.getNumSubscribers() > 0) {
    const sensor_msgs::ImagePtr image(new sensor_msgs::Image);
    image->header.stamp = stamp;
    image->header.frame_id = config_.optical_frame;
    image->width = width;
    image->height = height;
    image->encoding = format == "L8" || format == "L_INT8" ? sensor_msgs::image_encodings::MONO8
                                                           : sensor_msgs::image_encodings::RGB8;
    image->step = width * (image->encoding == sensor_msgs::image_encodings::MONO8 ? 1 : 3);
    image->data.assign(data, data + static_cast<std::size_t>(image->step) * height);
    rgb_.publish(image);
  }
  if (rgb_info_.getNumSubscribers() > 0) {
    sensor_msgs::CameraInfo info = Info(width, height);
    info.header.stamp = stamp;
    rgb_info_.publish(info);
  }
  if (config_.depth_width > 0) PublishDepth(stamp);
  board_->Published(config_.rgb, static_cast<std::int64_t>(stamp.toNSec()));
}

void CameraPublisher::PublishDepth(const ros::Time& stamp) {
  const unsigned width = config_.depth_width;
  const unsigned height = config_.depth_height;
  if (depth_publisher_.getNumSubscribers() > 0) {
    std::string error;
    if (!reader_.Read(sensor_->Camera(), width, height, &depth_, &error)) {
      // Nothing is reported to the board, so the step's reply names this topic as missing.
      if (!depth_failed_) gzerr << "[nav_pkg] no depth images: " << error << "\n";
      depth_failed_ = true;
      return;
    }
    const sensor_msgs::ImagePtr image(new sensor_msgs::Image);
    image->header.stamp = stamp;
    image->header.frame_id = config_.optical_frame;
    image->width = width;
    image->height = height;
    image->encoding = sensor_msgs::image_encodings::TYPE_32FC1;
    image->step = width * sizeof(float);
    image->data.resize(depth_.size() * sizeof(float));
    std::memcpy(image->data.data(), depth_.data(), image->data.size());
    depth_publisher_.publish(image);
  }
  if (depth_info_.getNumSubscribers() > 0) {
    sensor_msgs::CameraInfo info = Info(width, height);
    info.header.stamp = stamp;
    depth_info_.publish(info);
  }
  board_->Published(config_.depth, static_cast<std::int64_t>(stamp.toNSec()));
}

sensor_msgs::CameraInfo CameraPublisher::Info(unsigned width, unsigned height) const {
  // A pinhole camera without distortion; the centre of pixel (0, 0) is at (0, 0), as in OpenCV.
  const gazebo::rendering::CameraPtr camera = sensor_->Camera();
  const double half = camera->HFOV().Radian() / 2.0;
  const double focal = width / 2.0 / std::tan(half);
  // The vertical field of view follows from the aspect ratio of the colour image, not of this image.
  const double focal_y = focal * (static_cast<double>(height) / width) *
                         (static_cast<double>(camera->ImageWidth()) / camera->ImageHeight());
  const double cx = (width - 1) / 2.0;
  const double cy = (height - 1) / 2.0;
  sensor_msgs::CameraInfo info;
  info.header.frame_id = config_.optical_frame;
  info.width = width;
  info.height = height;
  info.distortion_model = "plumb_bob";
  info.D.assign(5, 0.0);
  info.K = {focal, 0.0, cx, 0.0, focal_y, cy, 0.0, 0.0, 1.0};
  info.R = {1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0};
  info.P = {focal, 0.0, cx, 0.0, 0.0, focal_y, cy, 0.0, 0.0, 0.0, 1.0, 0.0};
  return info;
}

}  // namespace nav_pkg
