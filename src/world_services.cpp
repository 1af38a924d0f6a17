#include "world_services.h"

#include <cmath>
#include <sstream>

#include <gazebo/msgs/msgs.hh>
#include <sdf/sdf.hh>

#include "messages.h"

namespace nav_pkg {

using gazebo::physics::EntityPtr;
using gazebo::physics::ModelPtr;
using ignition::math::Pose3d;
using ignition::math::Vector3d;

namespace {

// World::ModelByName takes a model that has the world's name for the world itself, and finds none.
ModelPtr ModelNamed(const gazebo::physics::World& world, const std::string& name) {
  for (const auto& model : world.Models()) {
    if (model->GetName() == name) return model;
  }
  return nullptr;
}

}  // namespace

WorldServices::WorldServices(const gazebo::physics::WorldPtr& world, const Config& config,
                             ros::NodeHandle* node, Gate* gate, std::mutex* client_mutex, Runner run,
                             Settler settle, std::function<double()> period, std::function<ros::Time()> now)
    : world_(world), config_(config), gate_(gate), client_mutex_(client_mutex), run_(std::move(run)),
      settle_(std::move(settle)), period_(std::move(period)),
      now_(std::move(now)) {
  gazebo_node_.reset(new gazebo::transport::Node());
  gazebo_node_->Init(world->Name());
  using W = WorldServices;
  servers_ = {
      node->advertiseService("/gazebo/pause_physics", &W::Pause, this),
      node->advertiseService("/gazebo/unpause_physics", &W::Unpause, this),
      node->advertiseService("/gazebo/reset_world", &W::ResetWorld, this),
      node->advertiseService("/gazebo/reset_simulation", &W::ResetSimulation, this),
      node->advertiseService("/gazebo/set_model_state", &W::SetState, this),
      node->advertiseService("/gazebo/get_model_state", &W::GetState, this),
      node->advertiseService("/gazebo/spawn_sdf_model", &W::Spawn, this),
      node->advertiseService("/gazebo/delete_model", &W::Delete, this),
      node->advertiseService("/gazebo/get_world_properties", &W::GetWorld, this),
      node->advertiseService("/gazebo/get_physics_properties", &W::GetPhysics, this),
      node->advertiseService("/gazebo/set_physics_properties", &W::SetPhysics, this),
  };
  model_state_ = node->subscribe("/gazebo/set_model_state", 10, &W::OnModelState, this);
}

void WorldServices::Stop() {
  for (auto& server : servers_) server.shutdown();
  servers_.clear();
  model_state_.shutdown();
  if (gazebo_node_) gazebo_node_->Fini();
  gazebo_node_.reset();
}

// Free-running: the world stops at the next update. In lock-step it stands still between steps anyway,
// and a step is executed even when paused, as with Gazebo's own stepping.
bool WorldServices::Pause(std_srvs::Empty::Request&, std_srvs::Empty::Response&) {
  gate_->SetPaused(true);
  return true;
}

bool WorldServices::Unpause(std_srvs::Empty::Request&, std_srvs::Empty::Response&) {
  gate_->SetPaused(false);
  return true;
}

std::string WorldServices::RestoreModels() {
  for (const auto& model : world_->Models()) {
    if (model->IsStatic()) continue;
    model->Reset();
    model->ResetPhysicsStates();
  }
  return "";
}

bool WorldServices::ResetWorld(std_srvs::Empty::Request&, std_srvs::Empty::Response&) {
  std::lock_guard<std::mutex> one(*client_mutex_);
  return run_([this] { return RestoreModels(); }).empty();
}

// Like gazebo_ros, but simulated time continues. A clock that runs backwards breaks every node that waits
// for a time, and stamps would not be unique.
bool WorldServices::ResetSimulation(std_srvs::Empty::Request&, std_srvs::Empty::Response&) {
  std::lock_guard<std::mutex> one(*client_mutex_);
  return run_([this] {
    world_->Physics()->SetSeed(static_cast<std::uint32_t>(config_.seed));
    return RestoreModels();
  }).empty();
}

EntityPtr WorldServices::Frame(const std::string& name, std::string* error) const {
  if (name.empty() || name == "world" || name == "map" || name == "/map") return nullptr;
  EntityPtr entity = ModelNamed(*world_, name);
  if (!entity) entity = world_->EntityByName(name);
  if (!entity) *error = "no model or link named '" + name + "' to refer to";
  return entity;
}

std::string WorldServices::ApplyState(const gazebo_msgs::ModelState& state) {
  const ModelPtr model = ModelNamed(*world_, state.model_name);
  if (!model) return "SetModelState: no model named '" + state.model_name + "'";
  Pose3d pose = FromMessage(state.pose);
  Vector3d linear = FromMessage(state.twist.linear);
  Vector3d angular = FromMessage(state.twist.angular);
  if (!pose.IsFinite() || !linear.IsFinite() || !angular.IsFinite()) return "SetModelState: not finite";
  std::string error;
  const EntityPtr frame = Frame(state.reference_frame, &error);
  if (!error.empty()) return "SetModelState: " + error;
  if (frame) {
    const Pose3d reference = frame->WorldPose();
    pose = Pose3d(reference.Pos() + reference.Rot().RotateVector(pose.Pos()), reference.Rot() * pose.Rot());
    linear = reference.Rot().RotateVector(linear);
    angular = reference.Rot().RotateVector(angular);
  }
  model->SetWorldPose(pose);
  model->ResetPhysicsStates();
  model->SetLinearVel(linear);
  model->SetAngularVel(angular);
  return "";
}

bool WorldServices::SetState(gazebo_msgs::SetModelState::Request& request,
                             gazebo_msgs::SetModelState::Response& reply) {
  const std::string error = run_([&] { return ApplyState(request.model_state); });
  reply.success = error.empty();
  reply.status_message = error.empty() ? "SetModelState: set model state done" : error;
  return true;
}

void WorldServices::OnModelState(const gazebo_msgs::ModelState::ConstPtr& message) {
  const std::string error = run_([&] { return ApplyState(*message); });
  if (!error.empty()) ROS_WARN_THROTTLE(1.0, "%s", error.c_str());
}

bool WorldServices::GetState(gazebo_msgs::GetModelState::Request& request,
                             gazebo_msgs::GetModelState::Response& reply) {
  const std::string problem = run_([&]() -> std::string {
    const ModelPtr model = ModelNamed(*world_, request.model_name);
    if (!model) return "GetModelState: no model named '" + request.model_name + "'";
    std::string error;
    const EntityPtr frame = Frame(request.relative_entity_name, &error);
    if (!error.empty()) return "GetModelState: " + error;
    Pose3d pose = model->WorldPose();
    Vector3d linear = model->WorldLinearVel();
    Vector3d angular = model->WorldAngularVel();
    if (frame) {
      const Pose3d reference = frame->WorldPose();
      const auto& back = reference.Rot();
      pose = Pose3d(back.RotateVectorReverse(pose.Pos() - reference.Pos()), back.Inverse() * pose.Rot());
      linear = back.RotateVectorReverse(linear - frame->WorldLinearVel());
      angular = back.RotateVectorReverse(angular - frame->WorldAngularVel());
    }
    reply.pose = ToMessage(pose);
    reply.twist.linear = ToMessage(linear);
    reply.twist.angular = ToMessage(angular);
    reply.header.stamp = now_();
    reply.header.frame_id = request.relative_entity_name;
    return "";
  });
  reply.success = problem.empty();
  reply.status_message = problem.empty() ? "GetModelState: got properties" : problem;
  return true;
}

bool WorldServices::Spawn(gazebo_msgs::SpawnModel::Request& request,
                          gazebo_msgs::SpawnModel::Response& reply) {
  std::lock_guard<std::mutex> one(*client_mutex_);
  sdf::SDFPtr document(new sdf::SDF);
  sdf::init(document);
  std::string error;
  if (!sdf::readString(request.model_xml, document) || !document->Root()->HasElement("model")) {
    error = "SpawnModel: the text is no SDF with a <model>";
  }
  if (error.empty()) {
    const sdf::ElementPtr model = document->Root()->GetElement("model");
    if (!request.model_name.empty()) model->GetAttribute("name")->Set(request.model_name);
    const std::string name = model->Get<std::string>("name");
    error = run_([&]() -> std::string {
      if (ModelNamed(*world_, name)) return "SpawnModel: a model named '" + name + "' exists already";
      std::string unknown;
      const EntityPtr frame = Frame(request.reference_frame, &unknown);
      if (!unknown.empty()) return "SpawnModel: " + unknown;
      Pose3d pose = FromMessage(request.initial_pose);
      if (frame) {
        const Pose3d reference = frame->WorldPose();
        pose = Pose3d(reference.Pos() + reference.Rot().RotateVector(pose.Pos()),
                      reference.Rot() * pose.Rot());
      }
      model->GetElement("pose")->Set(pose);
      world_->InsertModelSDF(*document);
      return "";
    });
    if (error.empty()) error = settle_([this, name] { return static_cast<bool>(ModelNamed(*world_, name)); });
  }
  reply.success = error.empty();
  reply.status_message = error.empty() ? "SpawnModel: successfully spawned model" : error;
  return true;
}

bool WorldServices::Delete(gazebo_msgs::DeleteModel::Request& request,
                           gazebo_msgs::DeleteModel::Response& reply) {
  std::lock_guard<std::mutex> one(*client_mutex_);
  const std::string name = request.model_name;
  std::string error;
  if (name == config_.robot) {
    // The camera, the laser and the controller hold references to it.
    error = "DeleteModel: '" + name + "' is the robot; end the simulator instead";
  } else {
    error = run_([&]() -> std::string {
      return ModelNamed(*world_, name) ? "" : "DeleteModel: no model named '" + name + "'";
    });
  }
  if (error.empty()) {
    gazebo::transport::requestNoReply(gazebo_node_, "entity_delete", name);
    error = settle_([this, name] { return !ModelNamed(*world_, name); });
  }
  reply.success = error.empty();
  reply.status_message = error.empty() ? "DeleteModel: successfully deleted model" : error;
  return true;
}

bool WorldServices::GetWorld(gazebo_msgs::GetWorldProperties::Request&,
                             gazebo_msgs::GetWorldProperties::Response& reply) {
  const std::string error = run_([&] {
    reply.sim_time = now_().toSec();
    for (const auto& model : world_->Models()) reply.model_names.push_back(model->GetName());
    return std::string();
  });
  reply.rendering_enabled = true;
  reply.success = error.empty();
  reply.status_message = error.empty() ? "GetWorldProperties: got properties" : error;
  return true;
}

bool WorldServices::GetPhysics(gazebo_msgs::GetPhysicsProperties::Request&,
                               gazebo_msgs::GetPhysicsProperties::Response& reply) {
  const std::string error = run_([&] {
    const auto physics = world_->Physics();
    reply.time_step = physics->GetMaxStepSize();
    reply.max_update_rate = physics->GetRealTimeUpdateRate();
    reply.gravity = ToMessage(world_->Gravity());
    reply.pause = gate_->paused();
    auto& ode = reply.ode_config;
    const auto number = [&](const char* name, auto* value) {
      using T = typename std::remove_reference<decltype(*value)>::type;
      try {
        *value = static_cast<T>(boost::any_cast<double>(physics->GetParam(name)));
      } catch (const boost::bad_any_cast&) {
        *value = static_cast<T>(boost::any_cast<int>(physics->GetParam(name)));
      }
    };
    ode.auto_disable_bodies = world_->Physics()->GetAutoDisableFlag();
    number("precon_iters", &ode.sor_pgs_precon_iters);
    number("iters", &ode.sor_pgs_iters);
    number("sor", &ode.sor_pgs_w);
    number("contact_surface_layer", &ode.contact_surface_layer);
    number("contact_max_correcting_vel", &ode.contact_max_correcting_vel);
    number("cfm", &ode.cfm);
    number("erp", &ode.erp);
    number("max_contacts", &ode.max_contacts);
    return std::string();
  });
  reply.success = error.empty();
  reply.status_message = error.empty() ? "GetPhysicsProperties: got properties" : error;
  return true;
}

bool WorldServices::SetPhysics(gazebo_msgs::SetPhysicsProperties::Request& request,
                               gazebo_msgs::SetPhysicsProperties::Response& reply) {
  std::lock_guard<std::mutex> one(*client_mutex_);
  const std::string error = run_([&]() -> std::string {
    if (!(request.time_step >= 1e-4 && request.time_step <= 0.1) || !(request.max_update_rate >= 0.0) ||
        !Finite(request.gravity)) {
      return "SetPhysicsProperties: time_step has to be 0.0001 to 0.1 s, max_update_rate not negative";
    }
    const double steps = period_() / request.time_step;
    if (std::abs(steps - std::round(steps)) > 1e-6) {
      return "SetPhysicsProperties: time_step has to divide the sensors' period of " +
             std::to_string(period_()) + " s";
    }
    const auto physics = world_->Physics();
    // Gazebo adds a step to the time before it calls the plugins: this step still has the old size.
    world_->SetSimTime(world_->SimTime() - gazebo::common::Time(physics->GetMaxStepSize()) +
                       gazebo::common::Time(request.time_step));
    physics->SetMaxStepSize(request.time_step);
    physics->SetRealTimeUpdateRate(request.max_update_rate);
    physics->SetGravity(FromMessage(request.gravity));
    const auto& ode = request.ode_config;
    physics->SetAutoDisableFlag(ode.auto_disable_bodies);
    physics->SetParam("precon_iters", static_cast<int>(ode.sor_pgs_precon_iters));
    physics->SetParam("iters", static_cast<int>(ode.sor_pgs_iters));
    physics->SetParam("sor", ode.sor_pgs_w);
    physics->SetParam("cfm", ode.cfm);
    physics->SetParam("erp", ode.erp);
    physics->SetParam("contact_surface_layer", ode.contact_surface_layer);
    physics->SetParam("contact_max_correcting_vel", ode.contact_max_correcting_vel);
    physics->SetParam("max_contacts", static_cast<int>(ode.max_contacts));
    return "";
  });
  reply.success = error.empty();
  reply.status_message = error.empty() ? "physics engine updated" : error;
  return true;
}

}  // namespace nav_pkg
