// Sensor noise as a pure function of (seed, frame, index), independent of threads and history.
#ifndef NAV_PKG_CORE_NOISE_H
#define NAV_PKG_CORE_NOISE_H

#include <cmath>
#include <cstdint>

namespace nav_pkg {

// SplitMix64's output function (Steele, Lea, Flood, "Fast splittable pseudorandom number
// generators", OOPSLA 2014): a good 64-bit mixing function.
inline std::uint64_t Mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

// A sample of the standard normal distribution (Box-Muller) for a counter. Gazebo's global generator is
// not suitable: several threads share it, so the order of its samples is random.
inline double Gaussian(std::uint64_t seed, std::uint64_t frame, std::uint64_t index) {
  const std::uint64_t key = Mix(Mix(Mix(seed) ^ frame) ^ index);
  const double scale = 1.0 / 9007199254740992.0;  // 2^-53
  const double u = (static_cast<double>(Mix(key) >> 11) + 1.0) * scale;  // (0, 1]
  const double v = static_cast<double>(Mix(key ^ 0x5851f42d4c957f2dULL) >> 11) * scale;
  return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * M_PI * v);
}

}  // namespace nav_pkg

#endif
