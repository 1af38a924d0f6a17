#include "gate.h"

#include <algorithm>
#include <exception>

namespace nav_pkg {

namespace {
constexpr char kStopped[] = "the simulator is shutting down";
}

Deadline InSeconds(double seconds) {
  return Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

void Gate::RunJobs(std::unique_lock<std::mutex>& lock) {
  while (!jobs_.empty()) {
    const std::shared_ptr<Job> job = jobs_.front();
    jobs_.pop_front();
    job->started = true;
    lock.unlock();
    std::string result;
    try {
      result = job->work();
    } catch (const std::exception& error) {
      result = error.what();
    } catch (...) {
      // Gazebo's own exceptions have no common base class.
      result = "Gazebo refused (see its output)";
    }
    lock.lock();
    job->result = result;
    job->done = true;
    to_clients_.notify_all();
  }
}

void Gate::Pass(const std::function<bool()>& running) {
  std::unique_lock<std::mutex> lock(mutex_);
  RunJobs(lock);
  while (Holding()) {
    if (!held_) {
      held_ = true;
      to_clients_.notify_all();
    }
    to_physics_.wait_for(lock, std::chrono::milliseconds(50));
    if (!running()) {
      stopped_ = true;
      to_clients_.notify_all();
      break;
    }
    RunJobs(lock);
  }
  held_ = false;
  if (granted_ > 0) --granted_;
}

std::string Gate::Step(std::uint64_t steps, Deadline deadline) {
  std::unique_lock<std::mutex> lock(mutex_);
  if (stopped_) return kStopped;
  granted_ += steps;
  held_ = false;
  to_physics_.notify_all();
  const bool in_time = to_clients_.wait_until(lock, deadline, [this] { return held_ || stopped_; });
  if (stopped_) return kStopped;
  if (in_time) return "";
  granted_ = 0;
  return "physics did not take its steps in time (the world may be paused in Gazebo itself)";
}

std::string Gate::Run(std::function<std::string()> work, Deadline deadline) {
  const auto job = std::make_shared<Job>();
  job->work = std::move(work);
  std::unique_lock<std::mutex> lock(mutex_);
  if (stopped_) return kStopped;
  jobs_.push_back(job);
  to_physics_.notify_all();
  const auto ready = [&] { return job->done || (stopped_ && !job->started); };
  if (!to_clients_.wait_until(lock, deadline, ready)) {
    const auto place = std::find(jobs_.begin(), jobs_.end(), job);
    if (place != jobs_.end()) {
      jobs_.erase(place);
      return "the physics thread did not answer in time (the world may be paused in Gazebo itself)";
    }
    // The job is running and may use the caller's data: wait for its end.
    to_clients_.wait(lock, [&] { return job->done; });
  }
  return job->done ? job->result : kStopped;
}

void Gate::SetLockstep(bool on) {
  std::lock_guard<std::mutex> lock(mutex_);
  lockstep_ = on;
  granted_ = 0;
  to_physics_.notify_all();
}

void Gate::SetPaused(bool on) {
  std::lock_guard<std::mutex> lock(mutex_);
  paused_ = on;
  to_physics_.notify_all();
}

bool Gate::lockstep() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return lockstep_;
}

bool Gate::paused() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return paused_;
}

void Gate::Stop() {
  std::lock_guard<std::mutex> lock(mutex_);
  stopped_ = true;
  to_physics_.notify_all();
  to_clients_.notify_all();
}

}  // namespace nav_pkg
