#include "plugin.h"

#include <csignal>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <thread>

#include <gazebo/common/Console.hh>
#include <gazebo/rendering/RenderingIface.hh>
#include <gazebo/rendering/Scene.hh>

#include "messages.h"
#include "robot_sensors.h"

namespace nav_pkg {

using ignition::math::Pose3d;
using ignition::math::Vector3d;

namespace {

std::int64_t Nanoseconds(const gazebo::common::Time& time) {
  return static_cast<std::int64_t>(time.sec) * 1000000000 + time.nsec;
}

ros::Time Stamp(std::int64_t ns) {
  ros::Time time;
  time.fromNSec(static_cast<std::uint64_t>(ns));
  return time;
}

// The names of the visuals of a model's links in the rendering scene.
void VisualNames(const gazebo::physics::ModelPtr& model, std::vector<std::string>* names) {
  for (const auto& link : model->GetLinks()) {
    const sdf::ElementPtr element = link->GetSDF();
    if (!element->HasElement("visual")) continue;
    for (auto visual = element->GetElement("visual"); visual; visual = visual->GetNextElement("visual")) {
      names->push_back(link->GetScopedName() + "::" + visual->Get<std::string>("name"));
    }
  }
  for (const auto& nested : model->NestedModels()) VisualNames(nested, names);
}

// Prints the line that nav_pkg.sim.gazebo looks for, then ends Gazebo as Ctrl-C does.
void Fail(const std::string& text) {
  std::fprintf(stderr, "[nav_pkg] fatal: %s\n", text.c_str());
  kill(getpid(), SIGINT);
}

}  // namespace

LockstepPlugin::~LockstepPlugin() {
  // The spinner waits for running callbacks, which in turn wait for the gate and the board.
  gate_.Stop();
  board_.Stop();
  connections_.clear();
  camera_.Detach();
  for (const auto& camera : side_cameras_) camera->Detach();
  if (spinner_) spinner_->stop();
  if (services_) services_->Stop();
  if (node_) node_->shutdown();
  if (ros::isStarted()) ros::shutdown();
}

void LockstepPlugin::Load(gazebo::physics::WorldPtr world, sdf::ElementPtr element) {
  world_ = world;
  config_ = Config::Read(element);
  // Filled here, so that this list never grows while the rendering thread reads it.
  for (std::size_t i = 0; i < config_.side_cameras.size(); ++i) side_cameras_.emplace_back(new CameraPublisher);
  seed_ = config_.seed;
  now_ns_ = Nanoseconds(world->SimTime());
  if (!StartRos()) return;
  gate_.SetLockstep(config_.lockstep);
  if (!gazebo::rendering::lockstep_enabled()) {
    Fail("gzserver has to be started with --lockstep (without it images lag behind physics)");
    return;
  }
  world->Physics()->SetSeed(static_cast<std::uint32_t>(seed_));
  for (const auto& model : world->Models()) VisualNames(model, &missing_visuals_);

  state_.Start(world, config_, node_.get());
  Attach();

  const auto run = [this](std::function<std::string()> job) {
    return gate_.Run(std::move(job), InSeconds(config_.timeout));
  };
  const auto after_change = [this](const std::function<bool()>& done) {
    // Gazebo inserts and removes models at the end of an update: in lock-step that of a null step,
    // otherwise that of the next update.
    const Deadline deadline = InSeconds(config_.timeout);
    while (true) {
      bool finished = false;
      std::string error = gate_.Run([&] { finished = done(); return std::string(); }, deadline);
      if (!error.empty()) return error;
      if (finished) break;
      if (Clock::now() > deadline) return std::string("Gazebo did not do it in time (see its output)");
      if (gate_.lockstep() || gate_.paused()) {
        error = NullStep(deadline);
        if (!error.empty()) return error;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return gate_.Run([this] { Attach(); return std::string(); }, deadline);
  };
  services_.reset(new WorldServices(world, config_, node_.get(), &gate_, &client_mutex_, run, after_change,
                                    [this] { return period_ns_ * 1e-9; }, [this] { return Stamp(now_ns_); }));

  step_ = node_->advertiseService("/gazebo/step", &LockstepPlugin::OnStep, this);
  reset_ = node_->advertiseService("/gazebo/reset", &LockstepPlugin::OnReset, this);
  set_lockstep_ = node_->advertiseService("/gazebo/set_lockstep", &LockstepPlugin::OnSetLockstep, this);
  command_subscriber_ = node_->subscribe(config_.command, 1, &LockstepPlugin::OnCommand, this);

  scene_deadline_ = InSeconds(config_.timeout);
  using gazebo::event::Events;
  connections_.push_back(Events::ConnectWorldUpdateBegin(
      [this](const gazebo::common::UpdateInfo&) { OnUpdateBegin(); }));
  connections_.push_back(Events::ConnectWorldUpdateEnd([this] { OnUpdateEnd(); }));
  connections_.push_back(Events::ConnectPreRender([this] { OnPreRender(); }));

  // Three threads: one may wait in a step while the others answer requests.
  spinner_.reset(new ros::AsyncSpinner(3, &queue_));
  spinner_->start();
  state_.PublishClock(Stamp(now_ns_));
  // Not through Gazebo's console, which buffers messages: nav_pkg.sim.gazebo waits for this line.
  std::fprintf(stderr, "[nav_pkg] ready: %s, physics step %g ms, robot %s\n",
               config_.lockstep ? "lock-step" : "free-running", StepNs() * 1e-6,
               drone_.attached() ? config_.robot.c_str() : "none");
}

bool LockstepPlugin::StartRos() {
  if (!ros::isInitialized()) {
    ros::M_string remappings;
    ros::init(remappings, "gazebo", ros::init_options::NoSigintHandler);
  }
  // Limits for a missing master: roscpp would wait for it without end.
  ros::master::setRetryTimeout(ros::WallDuration(5.0));
  const Deadline deadline = InSeconds(15.0);
  while (!ros::master::check()) {
    if (Clock::now() > deadline) {
      Fail("no ROS master at " + ros::master::getURI());
      return false;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  node_.reset(new ros::NodeHandle);
  node_->setCallbackQueue(&queue_);
  node_->setParam("/use_sim_time", true);
  node_->param("/gazebo/lockstep", config_.lockstep, config_.lockstep);
  return true;
}

void LockstepPlugin::Attach() {
  if (drone_.attached() && world_->ModelByName(config_.robot) == drone_.model()) return;
  if (!drone_.Attach(world_, config_.robot, config_.ground)) return;
  const std::string prefix = world_->Name() + "::" + drone_.link()->GetScopedName() + "::";
  const RobotSensors sensors = RobotSensors::Find(prefix, config_);
  if (sensors.camera && sensors.camera->Camera()) {
    const std::int64_t period = std::llround(1e9 / sensors.camera->UpdateRate());
    if (period % StepNs() != 0) {
      Fail("the camera's period (" + std::to_string(period * 1e-9) +
           " s) is no multiple of the physics step (" + std::to_string(StepNs() * 1e-9) + " s)");
      return;
    }
    period_ns_ = period;
    camera_.Attach(sensors.camera, config_, node_.get(), &board_);
    for (std::size_t i = 0; i < sensors.side_cameras.size(); ++i) {
      if (!sensors.side_cameras[i]) continue;
      const Config own = SideConfig(config_, config_.side_cameras[i]);
      side_cameras_[i]->Attach(sensors.side_cameras[i], own, node_.get(), &board_, static_cast<int>(i) + 1);
    }
  } else if (sensors.camera) {
    gzerr << "[nav_pkg] the camera has no renderer: is there an X display?" << std::endl;
  }
  state_.Attach(&drone_, sensors.laser, sensors.Mounted(config_));
}

std::int64_t LockstepPlugin::StepNs() const {
  return std::llround(world_->Physics()->GetMaxStepSize() * 1e9);
}

void LockstepPlugin::OnUpdateBegin() {
  if (null_step_) {
    // Undo the effect of the null step on the time: Gazebo has added two steps since then.
    null_step_ = false;
    world_->SetPhysicsEnabled(true);
    world_->SetSimTime(world_->SimTime() - gazebo::common::Time(world_->Physics()->GetMaxStepSize()));
  }
  if (!scene_ready_ && camera_.attached() && Clock::now() < scene_deadline_ && world_->Running()) {
    // Gazebo answers the renderer's requests about the world at the end of an update; while this thread
    // is held, it never would. Therefore null steps continue until the scene is complete.
    BeginNullStep();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    return;
  }
  gate_.Pass([this] { return world_->Running(); });
  if (null_step_ || !drone_.attached() || pinned_) return;
  if (!gate_.lockstep()) {
    VelocityCommand command;
    {
      std::lock_guard<std::mutex> lock(command_mutex_);
      const bool fresh = command_ns_ >= 0 && now_ns_ - command_ns_ <= config_.command_timeout * 1e9;
      if (fresh) command = command_;
    }
    drone_.SetCommand(command);
  }
  if (drone_.Finite()) drone_.Move();
}

void LockstepPlugin::OnUpdateEnd() {
  if (null_step_) return;
  const std::int64_t now = Nanoseconds(world_->SimTime());
  if (drone_.attached()) {
    if (pinned_) drone_.Place(pin_);
    drone_.CollectContacts();
    if (!drone_.Finite() && was_finite_) gzerr << "[nav_pkg] the robot's state is not finite" << std::endl;
    was_finite_ = drone_.Finite();
  }
  const std::int64_t period = period_ns_;
  const bool due = now % period == 0;
  const double rate = config_.clock_rate > 0.0 ? config_.clock_rate : gate_.lockstep() ? 0.0 : 100.0;
  const bool tick = rate > 0.0 && (now - last_clock_ns_ >= 1e9 / rate - 1.0 || now < last_clock_ns_);
  // The clock first: a subscriber that gets a frame must not see an older time.
  if (due || tick) {
    state_.PublishClock(Stamp(now));
    last_clock_ns_ = now;
  }
  if (due) {
    state_.PublishFrame(Stamp(now), seed_, static_cast<std::uint64_t>((now - episode_ns_) / period));
  }
  now_ns_ = now;
}

void LockstepPlugin::OnPreRender() {
  camera_.Prepare();
  for (const auto& camera : side_cameras_) camera->Prepare();
  if (scene_ready_) return;
  const auto scene = gazebo::rendering::get_scene(world_->Name());
  if (!scene || !scene->Initialized()) return;
  const auto there = [&](const std::string& name) { return static_cast<bool>(scene->GetVisual(name)); };
  missing_visuals_.erase(std::remove_if(missing_visuals_.begin(), missing_visuals_.end(), there),
                         missing_visuals_.end());
  std::lock_guard<std::mutex> lock(scene_mutex_);
  first_missing_ = missing_visuals_.empty() ? "" : missing_visuals_.front();
  scene_ready_ = missing_visuals_.empty();
}

std::string LockstepPlugin::WaitForScene(Deadline deadline) {
  // Gazebo sends the world to its renderer piece by piece; earlier images would lack objects.
  while (!scene_ready_ && camera_.attached()) {
    if (Clock::now() > deadline) {
      std::lock_guard<std::mutex> lock(scene_mutex_);
      return "the rendering scene is not complete: visual " + first_missing_ + " is missing";
    }
    if (!world_->Running()) return "the simulator is shutting down";
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return "";
}

std::string LockstepPlugin::Advance(std::uint64_t steps, Deadline deadline) {
  std::string error = WaitForScene(deadline);
  if (!error.empty()) return error;
  const std::int64_t step = StepNs();
  while (steps > 0) {
    const std::int64_t now = now_ns_;
    const std::int64_t due = (now / period_ns_ + 1) * period_ns_;
    const std::uint64_t to_due = static_cast<std::uint64_t>((due - now + step - 1) / step);
    const std::uint64_t part = std::min(steps, to_due);
    error = gate_.Step(part, deadline);
    if (!error.empty()) return error;
    steps -= part;
    if (part == to_due && now_ns_ == due) {
      const std::string missing = board_.Wait(due, deadline);
      if (!missing.empty()) {
        return "not published in time for stamp " + std::to_string(due * 1e-9) + " s: " + missing;
      }
    }
  }
  return "";
}

void LockstepPlugin::BeginNullStep() {
  null_step_ = true;
  world_->SetPhysicsEnabled(false);
}

std::string LockstepPlugin::NullStep(Deadline deadline) {
  if ((now_ns_ + StepNs()) % period_ns_ == 0) {
    return "not at this moment: one physics step before a frame is due";
  }
  std::string error = gate_.Run([this] { BeginNullStep(); return std::string(); }, deadline);
  return error.empty() ? gate_.Step(1, deadline) : error;
}

bool LockstepPlugin::OnStep(Step::Request& request, Step::Response& reply) {
  std::lock_guard<std::mutex> one(client_mutex_);
  const Deadline deadline = DeadlineOf(request.timeout);
  std::string error;
  if (!gate_.lockstep()) {
    error = "free-running: time goes on by itself (call /gazebo/set_lockstep first)";
  } else if (!Finite(request.command.linear) || !std::isfinite(request.command.angular.z)) {
    error = "the command is not finite";
  } else {
    VelocityCommand command;
    command.linear = ToCore(FromMessage(request.command.linear));
    command.yaw_rate = request.command.angular.z;
    error = gate_.Run([this, command] { drone_.SetCommand(command); return std::string(); }, deadline);
    if (error.empty()) error = Advance(request.steps, deadline);
  }
  reply.success = error.empty();
  reply.message = error;
  reply.stamp = Stamp(now_ns_);
  return true;
}

std::string LockstepPlugin::PlaceAtRest(const Pose3d& pose, std::uint64_t seed) {
  if (!drone_.attached()) return "there is no robot named " + config_.robot;
  seed_ = seed;
  pin_ = pose;
  pinned_ = true;
  // All other moving models return to their initial poses.
  for (const auto& model : world_->Models()) {
    if (model->IsStatic() || model == drone_.model()) continue;
    model->Reset();
    model->ResetPhysicsStates();
  }
  drone_.SetCommand(VelocityCommand());
  drone_.Place(pose);
  drone_.ClearContacts();
  // ODE's solver permutes its constraints with its own random generator.
  world_->Physics()->SetSeed(static_cast<std::uint32_t>(seed));
  const std::int64_t period = period_ns_;
  episode_ns_ = ((now_ns_ + period - 1) / period + 1) * period;
  return "";
}

bool LockstepPlugin::OnReset(Reset::Request& request, Reset::Response& reply) {
  std::lock_guard<std::mutex> one(client_mutex_);
  const Deadline deadline = DeadlineOf(request.timeout);
  const Pose3d pose = FromMessage(request.pose);
  std::string error;
  if (!gate_.lockstep()) {
    error = "free-running: a reset needs lock-step (call /gazebo/set_lockstep first)";
  } else if (!pose.IsFinite()) {
    error = "the pose is not finite";
  } else {
    error = WaitForScene(deadline);
  }
  const std::uint64_t seed = request.seed;
  if (error.empty()) error = gate_.Run([&] { return PlaceAtRest(pose, seed); }, deadline);
  if (error.empty()) {
    const std::int64_t step = StepNs();
    error = Advance(static_cast<std::uint64_t>((episode_ns_ - now_ns_ + step - 1) / step), deadline);
    const std::string unpinned = gate_.Run([this] { pinned_ = false; return std::string(); }, DeadlineOf(1.0));
    if (error.empty()) error = unpinned;
  }
  reply.success = error.empty();
  reply.message = error;
  reply.stamp = Stamp(now_ns_);
  return true;
}

bool LockstepPlugin::OnSetLockstep(std_srvs::SetBool::Request& request, std_srvs::SetBool::Response& reply) {
  std::lock_guard<std::mutex> one(client_mutex_);
  const bool on = request.data;
  const std::string error = gate_.Run([this, on] {
    drone_.SetCommand(VelocityCommand());
    gate_.SetLockstep(on);
    return std::string();
  }, DeadlineOf(0.0));
  reply.success = error.empty();
  reply.message = error.empty() ? (on ? "lock-step" : "free-running") : error;
  return true;
}

void LockstepPlugin::OnCommand(const geometry_msgs::Twist::ConstPtr& message) {
  if (!Finite(message->linear) || !std::isfinite(message->angular.z)) {
    ROS_WARN_THROTTLE(5.0, "a command that is not finite was ignored");
    return;
  }
  std::lock_guard<std::mutex> lock(command_mutex_);
  command_.linear = ToCore(FromMessage(message->linear));
  command_.yaw_rate = message->angular.z;
  command_ns_ = now_ns_;
}

GZ_REGISTER_WORLD_PLUGIN(LockstepPlugin)

}  // namespace nav_pkg
