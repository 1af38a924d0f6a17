// Records which sensor has published which stamp; a step waits for all sensors.
#ifndef NAV_PKG_FRAME_BOARD_H
#define NAV_PKG_FRAME_BOARD_H

#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>

#include "gate.h"

namespace nav_pkg {

class FrameBoard {
 public:
  // From now on, every frame requires a message of this sensor (a topic name).
  void Expect(const std::string& sensor) {
    std::lock_guard<std::mutex> lock(mutex_);
    last_.emplace(sensor, -1);
  }

  void Published(const std::string& sensor, std::int64_t stamp_ns) {
    std::lock_guard<std::mutex> lock(mutex_);
    last_[sensor] = stamp_ns;
    changed_.notify_all();
  }

  // Waits until all sensors have published this exact stamp. Returns an empty text, or the names of the
  // sensors that have not.
  std::string Wait(std::int64_t stamp_ns, Deadline deadline) {
    std::unique_lock<std::mutex> lock(mutex_);
    const auto missing = [&] {
      std::string names;
      for (const auto& entry : last_) {
        if (entry.second != stamp_ns) names += (names.empty() ? "" : ", ") + entry.first;
      }
      return names;
    };
    changed_.wait_until(lock, deadline, [&] { return stopped_ || missing().empty(); });
    return missing();
  }

  void Stop() {
    std::lock_guard<std::mutex> lock(mutex_);
    stopped_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, std::int64_t> last_;
  bool stopped_ = false;
};

}  // namespace nav_pkg

#endif
