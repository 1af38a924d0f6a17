// The reading of a lidar for a measured distance, the same in Gazebo and in the embedded simulator.
#ifndef NAV_PKG_CORE_LIDAR_H
#define NAV_PKG_CORE_LIDAR_H

#include <cmath>
#include <cstdint>
#include <limits>

#include "noise.h"

namespace nav_pkg {

struct LidarRange {
  double noise = 0.0;  // m, standard deviation
  double min = 0.0;    // m
  double max = 0.0;    // m
};

// REP 117: +inf if there is no return within the range. A return below the smallest range reads as the smallest
// range. Noise must not create a return. `frame` counts control periods since the reset.
inline float LidarReading(double distance, const LidarRange& range, std::uint64_t seed, std::uint64_t frame,
                          std::uint64_t ray) {
  if (!std::isfinite(distance)) return std::numeric_limits<float>::infinity();
  double reading = distance + range.noise * Gaussian(seed, frame, ray);
  if (reading >= range.max) reading = std::numeric_limits<double>::infinity();
  if (reading <= range.min) reading = range.min;
  return static_cast<float>(reading);
}

}  // namespace nav_pkg

#endif
