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
// Holding the thread inside WorldUpdateBegin costs nothing per step, whereas pausing the world and
// calling World::Step() costs about 50 ms a call. Jobs (teleport, spawn, properties) run in the
// physics thread, so that they never race with it: while it is held, or at its next update.
// All waits have a deadline, and once the world stops every wait ends.
class Gate {
 public:
  // Physics thread. Runs the waiting jobs and returns when the next step may be taken.
  // `running` tells whether the world still runs: it is asked at least every 50 ms, because Gazebo
  // joins this thread when it shuts down and would wait for ever.
  void Pass(const std::function<bool()>& running);

  // Grants `steps` steps and waits until they are all done and the thread is held again.
  // Returns an empty text, or what went wrong; the steps not yet taken are then revoked.
  std::string Step(std::uint64_t steps, Deadline deadline);

  // Runs `job` in the physics thread and waits for it. The job returns an empty text or an error.
  std::string Run(std::function<std::string()> job, Deadline deadline);

  // Lock-step: hold whenever no step is granted. Paused does the same while free-running.
  void SetLockstep(bool on);
  void SetPaused(bool on);
  bool lockstep() const;
  bool paused() const;

  // Lets the thread go for good; all clients get an error.
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
