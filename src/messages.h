// Conversion between Gazebo's types, ROS messages and the types of core/.
#ifndef NAV_PKG_MESSAGES_H
#define NAV_PKG_MESSAGES_H

#include <geometry_msgs/Pose.h>
#include <geometry_msgs/Transform.h>
#include <geometry_msgs/Vector3.h>
#include <ignition/math/Pose3.hh>
#include <ignition/math/Vector3.hh>

#include "core/vector.h"

namespace nav_pkg {

inline Vector3 ToCore(const ignition::math::Vector3d& v) { return {v.X(), v.Y(), v.Z()}; }

inline Quaternion ToCore(const ignition::math::Quaterniond& q) { return {q.W(), q.X(), q.Y(), q.Z()}; }

inline ignition::math::Vector3d FromCore(const Vector3& v) { return ignition::math::Vector3d(v.x, v.y, v.z); }

inline geometry_msgs::Vector3 ToMessage(const ignition::math::Vector3d& v) {
  geometry_msgs::Vector3 message;
  message.x = v.X();
  message.y = v.Y();
  message.z = v.Z();
  return message;
}

inline geometry_msgs::Pose ToMessage(const ignition::math::Pose3d& pose) {
  geometry_msgs::Pose message;
  message.position.x = pose.Pos().X();
  message.position.y = pose.Pos().Y();
  message.position.z = pose.Pos().Z();
  message.orientation.x = pose.Rot().X();
  message.orientation.y = pose.Rot().Y();
  message.orientation.z = pose.Rot().Z();
  message.orientation.w = pose.Rot().W();
  return message;
}

inline geometry_msgs::Transform ToTransform(const ignition::math::Pose3d& pose) {
  const geometry_msgs::Pose same = ToMessage(pose);
  geometry_msgs::Transform message;
  message.translation.x = same.position.x;
  message.translation.y = same.position.y;
  message.translation.z = same.position.z;
  message.rotation = same.orientation;
  return message;
}

inline ignition::math::Vector3d FromMessage(const geometry_msgs::Vector3& v) {
  return ignition::math::Vector3d(v.x, v.y, v.z);
}

inline bool Finite(const geometry_msgs::Vector3& v) { return FromMessage(v).IsFinite(); }

// A quaternion of zeros (an empty message) means no rotation; any other is normalised.
inline ignition::math::Pose3d FromMessage(const geometry_msgs::Pose& pose) {
  ignition::math::Quaterniond rotation(pose.orientation.w, pose.orientation.x, pose.orientation.y,
                                       pose.orientation.z);
  const double squared = rotation.W() * rotation.W() + rotation.X() * rotation.X() +
                         rotation.Y() * rotation.Y() + rotation.Z() * rotation.Z();
  if (squared == 0.0) {
    rotation = ignition::math::Quaterniond::Identity;
  } else {
    rotation.Normalize();
  }
  return ignition::math::Pose3d(
      ignition::math::Vector3d(pose.position.x, pose.position.y, pose.position.z), rotation);
}

}  // namespace nav_pkg

#endif
