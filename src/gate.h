// The gate that the physics thread passes before each physics step.
#ifndef NAV_PKG_GATE_H
#define NAV_PKG_GATE_H

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

namespace nav_pkg {

using Clock = std::chrono::steady_clock;
using Deadline = Clock::time_point;

Deadline InSeconds(double seconds);

// Holds the physics thread until a client grants it steps, and runs the clients' jobs in it.
//
// Holding the thread inside WorldUpdateBegin costs nothing per step; pausing the world and calling
// World::Step() costs about 50 ms per call. Jobs (teleport, spawn, properties) run in the physics thread:
// while it is held, or at its next update. So they never race with it. All waits have a deadline, and all
// waits end when the world stops.
class Gate {
 public:
  // Physics thread. Runs the waiting jobs and returns when the next step may be taken.
  // `running` returns whether the world still runs. It is called at least every 50 ms, because Gazebo
  // joins this thread at shutdown and would wait forever.
  void Pass(const std::function<bool()>& running);

  // Grants `steps` steps and waits until all are done and the thread is held again. Returns an empty
  // text or an error; after an error the remaining steps are revoked.
  std::string Step(std::uint64_t steps, Deadline deadline);

  // Runs `job` in the physics thread and waits for it. The job returns an empty text or an error.
  std::string Run(std::function<std::string()> job, Deadline deadline);

  // Lock-step: hold the thread while no step is granted. Paused does the same when free-running.
  void SetLockstep(bool on);
  void SetPaused(bool on);
  bool lockstep() const;
  bool paused() const;

  // Releases the thread permanently; all clients get an error.
  void Stop();

 private:
  struct Job {
    std::function<std::string()> work;
    std::string result;
    bool started = false;
    bool done = false;
  };

  bool Holding() const { return (lockstep_ || paused_) && granted_ == 0 && !stopped_; }
  void RunJobs(std::unique_lock<std::mutex>& lock);

  mutable std::mutex mutex_;
  std::condition_variable to_physics_;
  std::condition_variable to_clients_;
  std::deque<std::shared_ptr<Job>> jobs_;
  std::uint64_t granted_ = 0;
  bool lockstep_ = true;
  bool paused_ = false;
  bool held_ = false;
  bool stopped_ = false;
};

}  // namespace nav_pkg

#endif
