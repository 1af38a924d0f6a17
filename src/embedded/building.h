// The collision geometry of a world: the triangles of its walls, a floor and a ceiling.
#ifndef NAV_PKG_EMBEDDED_BUILDING_H
#define NAV_PKG_EMBEDDED_BUILDING_H

#include <cstddef>
#include <cstdint>
#include <vector>

#include "rigid_body.h"

namespace nav_pkg {

constexpr int kFloor = 1;
constexpr int kCeiling = 2;
constexpr int kWalls = 4;

struct Box {
  Vector3 centre;  // in the robot's frame, m
  Vector3 half;    // half edges along the robot's axes, m
};

class Building {
 public:
  // `corners`: 9 numbers a triangle (world frame, m). `reach`: the longest ray, m.
  Building(const double* corners, std::size_t triangles, double floor, double ceiling, double reach);

  // Distances along `rays` rays from `origin` in the plane of the sensor's x and y axes; ray i has the angle
  // `first` + i `step` (radians, counter-clockwise from the x axis). inf without a hit within the reach.
  void Cast(const Vector3& origin, const Matrix3& axes, int rays, double first, double step, double* ranges) const;

  // The parts of the building that a box of the robot overlaps: a sum of kFloor, kCeiling and kWalls; 0: none.
  int Touched(const Vector3& position, const Matrix3& axes, const Box& box) const;

  // Height of the lowest point of a box of the robot above the floor, m.
  double HeightAboveFloor(const Vector3& position, const Matrix3& axes, const Box& box) const;

 private:
  struct Triangle {
    Vector3 corner[3];
    Vector3 low, high;
  };
  // Numbers of the triangles within the reach of a place's cell; null outside the grid.
  const std::vector<std::uint32_t>* Near(double x, double y) const;

  std::vector<Triangle> triangles_;
  double floor_, ceiling_, reach_;
  double x0_ = 0.0, y0_ = 0.0;
  int columns_ = 0, rows_ = 0;
  std::vector<std::vector<std::uint32_t>> cells_;
};

}  // namespace nav_pkg

#endif
