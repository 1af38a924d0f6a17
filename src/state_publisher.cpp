#include "state_publisher.h"

#include <cmath>

#include <gazebo_msgs/ContactsState.h>
#include <gazebo_msgs/ModelStates.h>
#include <geometry_msgs/TransformStamped.h>
#include <nav_msgs/Odometry.h>
#include <rosgraph_msgs/Clock.h>
#include <sensor_msgs/LaserScan.h>
#include <tf2_msgs/TFMessage.h>

#include "core/lidar.h"
#include "messages.h"

namespace nav_pkg {

namespace {

geometry_msgs::TransformStamped Stamped(const ros::Time& stamp, const std::string& parent,
                                        const std::string& child, const ignition::math::Pose3d& pose) {
  geometry_msgs::TransformStamped message;
  message.header.stamp = stamp;
  message.header.frame_id = parent;
  message.child_frame_id = child;
  message.transform = ToTransform(pose);
  return message;
}

}  // namespace

void StatePublisher::Start(const gazebo::physics::WorldPtr& world, const Config& config,
                           ros::NodeHandle* node) {
  world_ = world;
  config_ = config;
  node_ = node;
  clock_ = node->advertise<rosgraph_msgs::Clock>("/clock", 10);
  model_states_ = node->advertise<gazebo_msgs::ModelStates>("/gazebo/model_states", 10);
  tf_ = node->advertise<tf2_msgs::TFMessage>("/tf", 10);
  tf_static_ = node->advertise<tf2_msgs::TFMessage>("/tf_static", 1, true);
}

void StatePublisher::Attach(Drone* drone, const gazebo::sensors::RaySensorPtr& laser,
                            const std::vector<MountedCamera>& cameras) {
  drone_ = drone;
  laser_ = laser && rays_.Attach(world_, drone->link(), laser) ? laser : nullptr;
  state_ = node_->advertise<nav_msgs::Odometry>(config_.state, config_.queue());
  contacts_ = node_->advertise<gazebo_msgs::ContactsState>(config_.contacts, config_.queue());
  tf2_msgs::TFMessage frames;
  const ros::Time start(world_->SimTime().sec, world_->SimTime().nsec);
  // The optical frame of REP 103: z forward, x right, y down.
  const ignition::math::Pose3d optical(0, 0, 0, -M_PI / 2, 0, -M_PI / 2);
  for (const MountedCamera& camera : cameras) {
    frames.transforms.push_back(Stamped(start, config_.base_frame, camera.frame, camera.pose));
    frames.transforms.push_back(Stamped(start, camera.frame, camera.optical_frame, optical));
  }
  if (laser_) {
    scan_ = node_->advertise<sensor_msgs::LaserScan>(config_.scan, config_.queue());
    frames.transforms.push_back(Stamped(start, config_.base_frame, config_.laser_frame, laser_->Pose()));
  }
  if (!frames.transforms.empty()) tf_static_.publish(frames);
}

void StatePublisher::PublishClock(const ros::Time& stamp) {
  rosgraph_msgs::Clock clock;
  clock.clock = stamp;
  clock_.publish(clock);
}

void StatePublisher::PublishFrame(const ros::Time& stamp, std::uint64_t seed, std::uint64_t frame) {
  PublishModelStates();
  if (!drone_ || !drone_->attached()) return;
  PublishState(stamp);
  PublishContacts(stamp);
  if (laser_) PublishScan(stamp, seed, frame);
}

void StatePublisher::PublishModelStates() {
  if (model_states_.getNumSubscribers() == 0) return;
  gazebo_msgs::ModelStates message;
  for (const auto& model : world_->Models()) {
    message.name.push_back(model->GetName());
    message.pose.push_back(ToMessage(model->WorldPose()));
    geometry_msgs::Twist twist;
    twist.linear = ToMessage(model->WorldLinearVel());
    twist.angular = ToMessage(model->WorldAngularVel());
    message.twist.push_back(twist);
  }
  model_states_.publish(message);
}

void StatePublisher::PublishState(const ros::Time& stamp) {
  const ignition::math::Pose3d pose = drone_->Pose();
  nav_msgs::Odometry message;
  message.header.stamp = stamp;
  message.header.frame_id = config_.world_frame;
  message.child_frame_id = config_.base_frame;
  message.pose.pose = ToMessage(pose);
  message.twist.twist.linear = ToMessage(drone_->LinearVelocity());
  message.twist.twist.angular = ToMessage(drone_->AngularVelocity());
  state_.publish(message);
  if (tf_.getNumSubscribers() > 0) {
    tf2_msgs::TFMessage frames;
    frames.transforms.push_back(Stamped(stamp, config_.world_frame, config_.base_frame, pose));
    tf_.publish(frames);
  }
}

void StatePublisher::PublishScan(const ros::Time& stamp, std::uint64_t seed, std::uint64_t frame) {
  if (scan_.getNumSubscribers() == 0) return;
  // The rays are cast here, against the poses of this step. Gazebo's own sensor thread would cast them
  // some time later; therefore the sensor is not "always on" in the model.
  const std::vector<double>& ranges = rays_.Cast();
  const int rays = static_cast<int>(ranges.size());
  sensor_msgs::LaserScan message;
  message.header.stamp = stamp;
  message.header.frame_id = config_.laser_frame;
  message.angle_min = static_cast<float>(laser_->AngleMin().Radian());
  message.angle_increment = static_cast<float>(laser_->AngleResolution());
  message.angle_max = static_cast<float>(laser_->AngleMin().Radian() + (rays - 1) * laser_->AngleResolution());
  message.range_min = static_cast<float>(laser_->RangeMin());
  message.range_max = static_cast<float>(laser_->RangeMax());
  message.ranges.resize(rays);
  const LidarRange range{config_.scan_noise, laser_->RangeMin(), laser_->RangeMax()};
  for (int i = 0; i < rays; ++i) {
    message.ranges[i] = LidarReading(ranges[i], range, seed, frame, static_cast<std::uint64_t>(i));
  }
  scan_.publish(message);
}

void StatePublisher::PublishContacts(const ros::Time& stamp) {
  gazebo_msgs::ContactsState message;
  message.header.stamp = stamp;
  message.header.frame_id = config_.world_frame;
  message.states = drone_->Contacts();
  contacts_.publish(message);
  drone_->ClearContacts();
}

}  // namespace nav_pkg
