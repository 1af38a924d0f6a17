// Lidar ranges, cast synchronously in the physics thread.
#ifndef NAV_PKG_RAY_CASTER_H
#define NAV_PKG_RAY_CASTER_H

#include <vector>

#include <gazebo/physics/physics.hh>
#include <gazebo/sensors/RaySensor.hh>

// Types of Gazebo's copy of ODE, without its headers.
struct dxGeom;
struct dxSpace;

namespace nav_pkg {

// Casts the rays of a Gazebo ray sensor against the world's collision shapes.
//
// Gazebo's own MultiRayShape is not used: on meshes it takes any hit, not the nearest, and now and
// then it reports the robot's own hull, not the same rays in two equal flights. Here each ray asks
// for the nearest hit and the robot itself is left out.
class RayCaster {
 public:
  RayCaster() = default;
  ~RayCaster();
  RayCaster(const RayCaster&) = delete;
  RayCaster& operator=(const RayCaster&) = delete;

  // False when the world's physics engine is not ODE.
  bool Attach(const gazebo::physics::WorldPtr& world, const gazebo::physics::LinkPtr& link,
              const gazebo::sensors::RaySensorPtr& sensor);

  // Physics thread. One range (m) a ray, counter-clockwise from the smallest angle; inf for no hit
  // within the sensor's maximum.
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
