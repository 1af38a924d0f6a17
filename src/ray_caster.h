// Lidar ranges, cast synchronously in the physics thread.
#ifndef NAV_PKG_RAY_CASTER_H
#define NAV_PKG_RAY_CASTER_H

#include <vector>

#include <gazebo/physics/physics.hh>
#include <gazebo/sensors/RaySensor.hh>

// Types of Gazebo's copy of ODE; its headers are not needed.
struct dxGeom;
struct dxSpace;

namespace nav_pkg {

// Casts the rays of a Gazebo ray sensor against the world's collision shapes.
//
// Gazebo's MultiRayShape is not suitable: on meshes it takes any hit, not the nearest one. At times it
// also reports the robot's own hull, for different rays in two equal flights. Here each ray takes the
// nearest hit and ignores the robot.
class RayCaster {
 public:
  RayCaster() = default;
  ~RayCaster();
  RayCaster(const RayCaster&) = delete;
  RayCaster& operator=(const RayCaster&) = delete;

  // Returns false if the world's physics engine is not ODE.
  bool Attach(const gazebo::physics::WorldPtr& world, const gazebo::physics::LinkPtr& link,
              const gazebo::sensors::RaySensorPtr& sensor);

  // Physics thread. One range (m) per ray, counter-clockwise from the smallest angle; inf without a hit
  // within the sensor's maximum range.
  const std::vector<double>& Cast();

 private:
  static void OnPair(void* self, dxGeom* first, dxGeom* second);

  gazebo::physics::WorldPtr world_;
  gazebo::physics::LinkPtr link_;
  gazebo::sensors::RaySensorPtr sensor_;
  dxSpace* space_ = nullptr;
  dxGeom* ray_ = nullptr;
  double nearest_ = 0.0;
  std::vector<double> ranges_;
};

}  // namespace nav_pkg

#endif
