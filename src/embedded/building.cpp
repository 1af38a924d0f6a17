#include "building.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace nav_pkg {

namespace {

constexpr double kCell = 1.0;  // side of a grid cell, m
constexpr double kInfinity = std::numeric_limits<double>::infinity();

double Distance(double low, double high, double other_low, double other_high) {
  return std::max({0.0, other_low - high, low - other_high});
}

// Whether the projections of a triangle (relative to the box's centre, in its axes) and of the box are apart.
bool Apart(const Vector3& axis, const Vector3* corner, const Vector3& half) {
  const double a = axis.Dot(corner[0]);
  const double b = axis.Dot(corner[1]);
  const double c = axis.Dot(corner[2]);
  const double radius = half.x * std::abs(axis.x) + half.y * std::abs(axis.y) + half.z * std::abs(axis.z);
  return std::min({a, b, c}) > radius || std::max({a, b, c}) < -radius;
}

}  // namespace

Building::Building(const double* corners, std::size_t triangles, double floor, double ceiling, double reach)
    : floor_(floor), ceiling_(ceiling), reach_(reach) {
  triangles_.resize(triangles);
  double x1 = -kInfinity, y1 = -kInfinity;
  x0_ = y0_ = kInfinity;
  for (std::size_t i = 0; i < triangles; ++i) {
    Triangle& triangle = triangles_[i];
    for (int j = 0; j < 3; ++j) {
      const double* c = corners + 9 * i + 3 * j;
      triangle.corner[j] = {c[0], c[1], c[2]};
    }
    const Vector3* p = triangle.corner;
    triangle.low = {std::min({p[0].x, p[1].x, p[2].x}), std::min({p[0].y, p[1].y, p[2].y}),
                    std::min({p[0].z, p[1].z, p[2].z})};
    triangle.high = {std::max({p[0].x, p[1].x, p[2].x}), std::max({p[0].y, p[1].y, p[2].y}),
                     std::max({p[0].z, p[1].z, p[2].z})};
    x0_ = std::min(x0_, triangle.low.x);
    y0_ = std::min(y0_, triangle.low.y);
    x1 = std::max(x1, triangle.high.x);
    y1 = std::max(y1, triangle.high.y);
  }
  if (triangles == 0) return;
  columns_ = static_cast<int>((x1 - x0_) / kCell) + 1;
  rows_ = static_cast<int>((y1 - y0_) / kCell) + 1;
  cells_.resize(static_cast<std::size_t>(columns_) * rows_);
  for (std::size_t i = 0; i < triangles; ++i) {
    const Triangle& t = triangles_[i];
    for (int row = 0; row < rows_; ++row) {
      const double dy = Distance(t.low.y, t.high.y, y0_ + row * kCell, y0_ + (row + 1) * kCell);
      if (dy > reach_) continue;
      for (int column = 0; column < columns_; ++column) {
        const double dx = Distance(t.low.x, t.high.x, x0_ + column * kCell, x0_ + (column + 1) * kCell);
        if (dx * dx + dy * dy > reach_ * reach_) continue;
        cells_[static_cast<std::size_t>(row) * columns_ + column].push_back(static_cast<std::uint32_t>(i));
      }
    }
  }
}

const std::vector<std::uint32_t>* Building::Near(double x, double y) const {
  const double column = std::floor((x - x0_) / kCell);
  const double row = std::floor((y - y0_) / kCell);
  if (!(column >= 0 && row >= 0 && column < columns_ && row < rows_)) return nullptr;
  return &cells_[static_cast<std::size_t>(row) * columns_ + static_cast<std::size_t>(column)];
}

void Building::Cast(const Vector3& origin, const Matrix3& axes, int rays, double first, double step,
                    double* ranges) const {
  // Floor and ceiling: planes across the rays.
  for (int i = 0; i < rays; ++i) {
    const double angle = first + i * step;
    const double rise = axes.m[6] * std::cos(angle) + axes.m[7] * std::sin(angle);
    double range = kInfinity;
    if (rise < 0.0) range = (floor_ - origin.z) / rise;
    if (rise > 0.0) range = (ceiling_ - origin.z) / rise;
    ranges[i] = range >= 0.0 ? range : kInfinity;
  }
  const std::vector<std::uint32_t>* near = Near(origin.x, origin.y);
  if (near) {
    for (const std::uint32_t number : *near) {
      const Triangle& triangle = triangles_[number];
      if (triangle.low.z > origin.z + reach_ || triangle.high.z < origin.z - reach_) continue;
      // The triangle in the sensor's frame; its section with the plane z = 0 is a line from a to b.
      Vector3 p[3];
      for (int j = 0; j < 3; ++j) p[j] = axes.TransposeTimes(triangle.corner[j] - origin);
      double ends[3][2];
      int count = 0;
      for (int j = 0; j < 3; ++j) {
        const Vector3& u = p[j];
        const Vector3& v = p[(j + 1) % 3];
        if ((u.z < 0.0) == (v.z < 0.0)) continue;
        const double share = u.z / (u.z - v.z);
        ends[count][0] = u.x + share * (v.x - u.x);
        ends[count][1] = u.y + share * (v.y - u.y);
        ++count;
      }
      if (count != 2) continue;
      const double* a = ends[0];
      const double* b = ends[1];
      const double dx = b[0] - a[0];
      const double dy = b[1] - a[1];
      const double cross = a[0] * dy - a[1] * dx;  // of a and the line's direction
      if (cross == 0.0) continue;                  // the line passes through the origin
      // The rays between the directions of a and b, and one more on each side.
      double from = std::atan2(a[1], a[0]);
      double to = std::atan2(b[1], b[0]);
      if (std::abs(to - from) > M_PI) (to < from ? to : from) += 2.0 * M_PI;
      if (to < from) std::swap(from, to);
      const double turn = std::floor((from - first) / (2.0 * M_PI)) * 2.0 * M_PI;
      const int last_ray = static_cast<int>(std::floor((to - turn - first) / step)) + 1;
      for (int i = static_cast<int>(std::ceil((from - turn - first) / step)) - 1; i <= last_ray; ++i) {
        const int whole = static_cast<int>(std::llround(2.0 * M_PI / step));
        const int ray = i >= rays ? i - whole : i < 0 ? i + whole : i;
        if (ray < 0 || ray >= rays) continue;
        const double angle = first + ray * step;
        const double x = std::cos(angle);
        const double y = std::sin(angle);
        const double across = x * dy - y * dx;
        const double range = cross / across;
        const double share = (a[0] * y - a[1] * x) / across;
        // Slightly beyond the ends: no ray passes between two triangles that share an edge.
        if (range >= 0.0 && share >= -1e-9 && share <= 1.0 + 1e-9) ranges[ray] = std::min(ranges[ray], range);
      }
    }
  }
  for (int i = 0; i < rays; ++i) {
    if (ranges[i] > reach_) ranges[i] = kInfinity;
  }
}

double Building::HeightAboveFloor(const Vector3& position, const Matrix3& axes, const Box& box) const {
  const Vector3 centre = axes * box.centre;
  const double down = std::abs(axes.m[6]) * box.half.x + std::abs(axes.m[7]) * box.half.y +
                      std::abs(axes.m[8]) * box.half.z;
  return position.z + centre.z - down - floor_;
}

int Building::Touched(const Vector3& position, const Matrix3& axes, const Box& box) const {
  const Vector3 centre = position + axes * box.centre;
  const double tall = std::abs(axes.m[6]) * box.half.x + std::abs(axes.m[7]) * box.half.y +
                      std::abs(axes.m[8]) * box.half.z;
  const int flat = (centre.z - tall <= floor_ ? kFloor : 0) + (centre.z + tall >= ceiling_ ? kCeiling : 0);
  const std::vector<std::uint32_t>* near = Near(centre.x, centre.y);
  if (!near) return flat;
  const double radius = box.half.Length();
  for (const std::uint32_t number : *near) {
    const Triangle& triangle = triangles_[number];
    if (triangle.low.x > centre.x + radius || triangle.high.x < centre.x - radius ||
        triangle.low.y > centre.y + radius || triangle.high.y < centre.y - radius ||
        triangle.low.z > centre.z + radius || triangle.high.z < centre.z - radius) {
      continue;
    }
    // Separating axes: those of the box, the triangle's normal, and the products of their edges.
    Vector3 p[3];
    for (int j = 0; j < 3; ++j) p[j] = axes.TransposeTimes(triangle.corner[j] - centre);
    const Vector3 unit[3] = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}};
    const Vector3 edge[3] = {p[1] - p[0], p[2] - p[1], p[0] - p[2]};
    bool apart = Apart(edge[0].Cross(edge[1]), p, box.half);
    for (int i = 0; i < 3 && !apart; ++i) {
      apart = Apart(unit[i], p, box.half);
      for (int j = 0; j < 3 && !apart; ++j) apart = Apart(unit[i].Cross(edge[j]), p, box.half);
    }
    if (!apart) return flat + kWalls;
  }
  return flat;
}

}  // namespace nav_pkg
