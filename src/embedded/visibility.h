// Which triangles of a world a camera may see. The others need not be drawn.
#ifndef NAV_PKG_EMBEDDED_VISIBILITY_H
#define NAV_PKG_EMBEDDED_VISIBILITY_H

#include <cstddef>
#include <cstdint>
#include <vector>

namespace nav_pkg {

// A vertical rectangle of the floor plan; the free floor lies to its left, seen from (x1, y1).
struct PlanWall {
  double x1, y1, x2, y2;
  double bottom, top;
};

// A half space a x + b y + c z + d >= 0; (a, b, c) has the length 1.
struct Plane {
  double a, b, c, d;
};

// A triangle is hidden if no line of sight leads to it from anywhere in the eye's cell (a square of the floor
// plan). A line of sight stays on the free floor: in the plan it crosses only places that are free at some height.
// The test errs on the side of visible: the free floor is widened by more than neighbouring test rays are apart.
class Visibility {
 public:
  // `corners`: 9 numbers a triangle (world frame, m).
  Visibility(const PlanWall* walls, std::size_t count, const std::vector<float>& corners, double floor,
             double ceiling);

  // Writes the numbers of the triangles that may be seen within all planes from an eye, ascending; returns how many.
  // An eye within `margin` (m) of a wall, or outside of the free space, may see through walls: all triangles. (Within
  // the plane of a surface, a renderer's rounding may even show parts of it that are not in view.)
  // `hidden`: whether triangles were left out.
  std::size_t Select(const double* eye, double margin, const Plane* planes, int count, std::int32_t* selected,
                     bool* hidden);

  // The same with hidden triangles, whatever the eye.
  std::size_t SelectAll(const Plane* planes, int count, std::int32_t* selected);

 private:
  // Triangles and the spheres around them.
  struct Group {
    std::vector<std::int32_t> numbers;
    std::vector<float> x, y, z, radius;
  };

  bool Free(double x, double y, double z, double margin) const;
  bool Inside(double x, double y, double z) const;
  void FindFreeFloor();
  const Group& VisibleFrom(int column, int row);
  void March(double x, double y, double angle, double width, double from, std::vector<std::uint8_t>* seen) const;
  std::size_t InView(const Group& group, const Plane* planes, int count, std::int32_t* selected);

  std::vector<PlanWall> walls_;
  std::vector<double> levels_;  // all heights where walls end, m
  Group all_;
  std::vector<float> inner_;  // by triangle, used within InView
  double floor_, ceiling_;
  double x0_ = 0.0, y0_ = 0.0;  // of all grids, m
  int columns_ = 0, rows_ = 0;  // of the fine grid
  std::vector<std::uint8_t> open_;  // fine grid: free at some height, widened
  int block_columns_ = 0, block_rows_ = 0;
  std::vector<std::vector<std::int32_t>> blocks_;  // triangles of each block
  int cell_columns_ = 0, cell_rows_ = 0;
  std::vector<Group> visible_;       // by cell; found when an eye is there for the first time
  std::vector<std::uint8_t> known_;  // by cell: whether it has been found
};

}  // namespace nav_pkg

#endif
