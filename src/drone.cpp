#include "drone.h"

#include "messages.h"

namespace nav_pkg {

using ignition::math::Pose3d;
using ignition::math::Vector3d;

bool Drone::Attach(const gazebo::physics::WorldPtr& world, const std::string& name, bool ground) {
  world_ = world;
  ground_ = ground;
  model_ = world->ModelByName(name);
  link_ = model_ ? model_->GetLink("base_link") : nullptr;
  if (model_ && !link_) link_ = model_->GetLink();
  if (!link_) {
    model_.reset();
    return false;
  }
  // Without this Gazebo drops contacts of pairs without a subscriber on a Gazebo topic.
  world->Physics()->GetContactManager()->SetNeverDropContacts(true);
  link_->SetAutoDisable(false);
  height_ = link_->WorldPose().Pos().Z();
  return true;
}

void Drone::Move() {
  const auto inertial = link_->GetInertial();
  const Pose3d pose = link_->WorldPose();
  const Vector3 velocity = ToCore(link_->WorldLinearVel());
  const Vector3 angular_velocity = ToCore(AngularVelocity());
  const Vector3 inertia = ToCore(inertial->PrincipalMoments());
  if (ground_) {
    const FloorWrench wrench =
        ground_controller_.Update(command_, height_, ToCore(pose.Pos()), ToCore(pose.Rot()), velocity,
                                  angular_velocity, inertial->Mass(), inertia);
    link_->AddForce(FromCore(wrench.force));
    link_->AddRelativeTorque(FromCore(wrench.torque));
    return;
  }
  const Wrench wrench = controller_.Update(command_, ToCore(pose.Rot()), velocity, angular_velocity,
                                           inertial->Mass(), inertia, -world_->Gravity().Z());
  link_->AddRelativeForce(Vector3d(0.0, 0.0, wrench.thrust));
  link_->AddRelativeTorque(FromCore(wrench.torque));
}

void Drone::Place(const Pose3d& pose) {
  // ResetPhysicsStates clears velocities, forces and torques in Gazebo and in ODE.
  height_ = pose.Pos().Z();
  model_->SetWorldPose(pose);
  model_->ResetPhysicsStates();
  link_->ResetPhysicsStates();
  model_->SetLinearVel(Vector3d::Zero);
  model_->SetAngularVel(Vector3d::Zero);
}

bool Drone::Finite() const {
  return link_->WorldPose().IsFinite() && link_->WorldLinearVel().IsFinite() &&
         link_->WorldAngularVel().IsFinite();
}

Vector3d Drone::LinearVelocity() const {
  return link_->WorldPose().Rot().RotateVectorReverse(link_->WorldLinearVel());
}

Vector3d Drone::AngularVelocity() const {
  return link_->WorldPose().Rot().RotateVectorReverse(link_->WorldAngularVel());
}

void Drone::CollectContacts() {
  const auto* manager = world_->Physics()->GetContactManager();
  const auto& all = manager->GetContacts();
  for (unsigned int i = 0; i < manager->GetContactCount(); ++i) {
    const gazebo::physics::Contact& contact = *all[i];
    if (contact.count == 0 || !contact.collision1 || !contact.collision2) continue;
    const bool first = contact.collision1->GetLink() == link_;
    if (!first && contact.collision2->GetLink() != link_) continue;
    // The robot's collision is always the first name.
    const auto* own = first ? contact.collision1 : contact.collision2;
    const auto* other = first ? contact.collision2 : contact.collision1;
    gazebo_msgs::ContactState state;
    state.collision1_name = own->GetScopedName();
    state.collision2_name = other->GetScopedName();
    state.info = "touched " + other->GetModel()->GetName();
    for (int j = 0; j < contact.count; ++j) {
      const auto& both = contact.wrench[j];  // world frame, about the links' centres of mass
      const Vector3d force = first ? both.body1Force : both.body2Force;
      const Vector3d torque = first ? both.body1Torque : both.body2Torque;
      geometry_msgs::Wrench wrench;
      wrench.force = ToMessage(force);
      wrench.torque = ToMessage(torque);
      state.wrenches.push_back(wrench);
      state.total_wrench.force.x += force.X();
      state.total_wrench.force.y += force.Y();
      state.total_wrench.force.z += force.Z();
      state.total_wrench.torque.x += torque.X();
      state.total_wrench.torque.y += torque.Y();
      state.total_wrench.torque.z += torque.Z();
      state.contact_positions.push_back(ToMessage(contact.positions[j]));
      state.contact_normals.push_back(ToMessage(contact.normals[j]));
      state.depths.push_back(contact.depths[j]);
    }
    contacts_[{state.collision1_name, state.collision2_name}] = state;
  }
}

std::vector<gazebo_msgs::ContactState> Drone::Contacts() const {
  std::vector<gazebo_msgs::ContactState> states;
  for (const auto& entry : contacts_) states.push_back(entry.second);
  return states;
}

}  // namespace nav_pkg
