// Vectors and quaternions of the parts that Gazebo's plugin and the embedded simulator share.
//
// Each operation computes in the order of ignition::math 6, which the plugin used before: equal numbers give equal
// bits. Header-only and without dependencies, so that `pip install` can compile it.
#ifndef NAV_PKG_CORE_VECTOR_H
#define NAV_PKG_CORE_VECTOR_H

#include <algorithm>
#include <cmath>

namespace nav_pkg {

// A value between -bound and bound.
inline double Limit(double value, double bound) { return std::max(-bound, std::min(bound, value)); }

struct Vector3 {
  double x = 0.0;
  double y = 0.0;
  double z = 0.0;

  double Length() const { return std::sqrt(x * x + y * y + z * z); }
  double Dot(const Vector3& v) const { return x * v.x + y * v.y + z * v.z; }
  Vector3 Cross(const Vector3& v) const { return {y * v.z - z * v.y, z * v.x - x * v.z, x * v.y - y * v.x}; }
  // A vector shorter than a micrometre is left as it is.
  void Normalize() {
    const double length = Length();
    if (length <= 1e-6) return;
    x /= length;
    y /= length;
    z /= length;
  }
  bool Finite() const { return std::isfinite(x) && std::isfinite(y) && std::isfinite(z); }
};

inline Vector3 operator+(const Vector3& a, const Vector3& b) { return {a.x + b.x, a.y + b.y, a.z + b.z}; }
inline Vector3 operator-(const Vector3& a, const Vector3& b) { return {a.x - b.x, a.y - b.y, a.z - b.z}; }
inline Vector3 operator*(const Vector3& v, double factor) { return {v.x * factor, v.y * factor, v.z * factor}; }
inline Vector3 operator*(const Vector3& a, const Vector3& b) { return {a.x * b.x, a.y * b.y, a.z * b.z}; }

struct Quaternion {
  double w = 1.0;
  double x = 0.0;
  double y = 0.0;
  double z = 0.0;

  // A rotation about the vertical axis, radians.
  static Quaternion FromYaw(double yaw) {
    Quaternion q{std::cos(yaw / 2.0), 0.0, 0.0, std::sin(yaw / 2.0)};
    q.Normalize();
    return q;
  }

  void Normalize() {
    const double length = std::sqrt(w * w + x * x + y * y + z * z);
    if (length <= 1e-6) {
      *this = Quaternion();
      return;
    }
    w /= length;
    x /= length;
    y /= length;
    z /= length;
  }

  Quaternion Inverse() const {
    const double squared = w * w + x * x + y * y + z * z;
    if (squared <= 1e-6) return Quaternion();
    return {w / squared, -x / squared, -y / squared, -z / squared};
  }

  // The angle about the vertical axis, radians (fixed axes: roll, then pitch, then yaw); 0 at a pitch of +-90 degrees.
  double Yaw() const {
    Quaternion q = *this;
    q.Normalize();
    const double sine = -2 * (q.x * q.z - q.w * q.y);
    if (std::abs(sine - 1) < 1e-15 || std::abs(sine + 1) < 1e-15) return 0.0;
    return std::atan2(2 * (q.x * q.y + q.w * q.z), q.w * q.w + q.x * q.x - q.y * q.y - q.z * q.z);
  }

  Vector3 Rotate(const Vector3& v) const;
  Vector3 RotateBack(const Vector3& v) const;
};

inline Quaternion operator*(const Quaternion& a, const Quaternion& b) {
  return {a.w * b.w - a.x * b.x - a.y * b.y - a.z * b.z, a.w * b.x + a.x * b.w + a.y * b.z - a.z * b.y,
          a.w * b.y - a.x * b.z + a.y * b.w + a.z * b.x, a.w * b.z + a.x * b.y - a.y * b.x + a.z * b.w};
}

inline Vector3 Quaternion::Rotate(const Vector3& v) const {
  const Quaternion q = (*this) * (Quaternion{0.0, v.x, v.y, v.z} * Inverse());
  return {q.x, q.y, q.z};
}

inline Vector3 Quaternion::RotateBack(const Vector3& v) const {
  const Quaternion q = Inverse() * (Quaternion{0.0, v.x, v.y, v.z} * (*this));
  return {q.x, q.y, q.z};
}

}  // namespace nav_pkg

#endif
