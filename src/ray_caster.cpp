#include "ray_caster.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <gazebo/ode/ode.h>
#include <gazebo/physics/ode/ODEPhysics.hh>
#include <gazebo/physics/ode/ODETypes.hh>

namespace nav_pkg {

RayCaster::~RayCaster() {
  if (ray_) dGeomDestroy(ray_);
}

bool RayCaster::Attach(const gazebo::physics::WorldPtr& world, const gazebo::physics::LinkPtr& link,
                       const gazebo::sensors::RaySensorPtr& sensor) {
  const auto ode = boost::dynamic_pointer_cast<gazebo::physics::ODEPhysics>(world->Physics());
  if (!ode) return false;
  world_ = world;
  link_ = link;
  sensor_ = sensor;
  space_ = ode->GetSpaceId();
  // In no space: physics ignores it.
  ray_ = dCreateRay(nullptr, sensor->RangeMax());
  dGeomRaySetClosestHit(ray_, 1);
  ranges_.resize(sensor->RayCount());
  return true;
}

void RayCaster::OnPair(void* data, dxGeom* first, dxGeom* second) {
  auto* self = static_cast<RayCaster*>(data);
  if (dGeomIsSpace(first) || dGeomIsSpace(second)) {
    dSpaceCollide2(first, second, data, &RayCaster::OnPair);
    return;
  }
  dxGeom* other = first == self->ray_ ? second : first;
  const auto* collision = static_cast<gazebo::physics::Collision*>(dGeomGetData(other));
  if (!collision || collision->GetLink() == self->link_) return;
  dContactGeom contacts[4];
  const int count = dCollide(self->ray_, other, 4, contacts, sizeof(dContactGeom));
  for (int i = 0; i < count; ++i) self->nearest_ = std::min(self->nearest_, contacts[i].depth);
}

const std::vector<double>& RayCaster::Cast() {
  boost::recursive_mutex::scoped_lock lock(*world_->Physics()->GetPhysicsUpdateMutex());
  const ignition::math::Pose3d pose = sensor_->Pose() + link_->WorldPose();
  const double begin = sensor_->AngleMin().Radian();
  const double step = sensor_->AngleResolution();
  for (std::size_t i = 0; i < ranges_.size(); ++i) {
    const double angle = begin + static_cast<double>(i) * step;
    const ignition::math::Vector3d direction =
        pose.Rot().RotateVector(ignition::math::Vector3d(std::cos(angle), std::sin(angle), 0.0));
    dGeomRaySet(ray_, pose.Pos().X(), pose.Pos().Y(), pose.Pos().Z(), direction.X(), direction.Y(),
                direction.Z());
    dGeomRaySetLength(ray_, sensor_->RangeMax());
    nearest_ = std::numeric_limits<double>::infinity();
    dSpaceCollide2(ray_, reinterpret_cast<dxGeom*>(space_), this, &RayCaster::OnPair);
    ranges_[i] = nearest_;
  }
  return ranges_;
}

}  // namespace nav_pkg
