#include "visibility.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace nav_pkg {

namespace {

constexpr double kFine = 0.1;      // side of a fine grid cell, m
constexpr int kWiden = 2;           // fine cells by which the free floor is widened
constexpr int kBlock = 5;          // fine cells along a side of a block
constexpr int kCell = 20;           // fine cells along a side of an eye's cell
constexpr double kSpacing = 0.2;    // between test rays that start beside each other, m
constexpr int kFirstRays = 32;      // test rays of a start before any is split
// Two neighbouring rays may be this far apart: a line of sight between them is then within half of it, and half of
// kSpacing, of one of them, so that this ray stays on the widened floor.
constexpr double kApart = 2.0 * kFine * kWiden - kSpacing;
constexpr double kSlack = 1e-3;     // for rounding in the renderer, m

}  // namespace

Visibility::Visibility(const PlanWall* walls, std::size_t count, const std::vector<float>& corners, double floor,
                       double ceiling)
    : walls_(walls, walls + count), levels_{floor, ceiling}, floor_(floor), ceiling_(ceiling) {
  const std::size_t triangles = corners.size() / 9;
  for (std::size_t i = 0; i < triangles; ++i) {
    // The sphere around the middle of the triangle's bounding box.
    const float* c = corners.data() + 9 * i;
    double middle[3], square = 0.0;
    for (int k = 0; k < 3; ++k) {
      middle[k] = (std::min({c[k], c[3 + k], c[6 + k]}) + std::max({c[k], c[3 + k], c[6 + k]})) / 2.0;
    }
    for (int j = 0; j < 3; ++j) {
      double sum = 0.0;
      for (int k = 0; k < 3; ++k) sum += (c[3 * j + k] - middle[k]) * (c[3 * j + k] - middle[k]);
      square = std::max(square, sum);
    }
    all_.numbers.push_back(static_cast<std::int32_t>(i));
    all_.x.push_back(static_cast<float>(middle[0]));
    all_.y.push_back(static_cast<float>(middle[1]));
    all_.z.push_back(static_cast<float>(middle[2]));
    all_.radius.push_back(static_cast<float>(std::sqrt(square) + kSlack));
  }
  inner_.resize(triangles);
  if (walls_.empty()) return;

  double x1 = -std::numeric_limits<double>::infinity(), y1 = x1;
  x0_ = y0_ = -x1;
  for (const PlanWall& wall : walls_) {
    x0_ = std::min({x0_, wall.x1, wall.x2});
    y0_ = std::min({y0_, wall.y1, wall.y2});
    x1 = std::max({x1, wall.x1, wall.x2});
    y1 = std::max({y1, wall.y1, wall.y2});
    levels_.push_back(wall.bottom);
    levels_.push_back(wall.top);
  }
  std::sort(levels_.begin(), levels_.end());
  levels_.erase(std::unique(levels_.begin(), levels_.end()), levels_.end());
  const double edge = 1.0;  // around the building, m
  x0_ -= edge;
  y0_ -= edge;
  cell_columns_ = static_cast<int>((x1 + edge - x0_) / (kFine * kCell)) + 1;
  cell_rows_ = static_cast<int>((y1 + edge - y0_) / (kFine * kCell)) + 1;
  columns_ = cell_columns_ * kCell;
  rows_ = cell_rows_ * kCell;
  block_columns_ = columns_ / kBlock;
  block_rows_ = rows_ / kBlock;
  visible_.resize(static_cast<std::size_t>(cell_columns_) * cell_rows_);
  known_.assign(visible_.size(), 0);
  FindFreeFloor();

  blocks_.resize(static_cast<std::size_t>(block_columns_) * block_rows_);
  const double side = kFine * kBlock;
  for (std::size_t i = 0; i < triangles; ++i) {
    const float* c = corners.data() + 9 * i;
    const auto at = [&](double value, double origin, int limit) {
      return std::min(std::max(static_cast<int>(std::floor((value - origin) / side)), 0), limit - 1);
    };
    const int left = at(std::min({c[0], c[3], c[6]}), x0_, block_columns_);
    const int right = at(std::max({c[0], c[3], c[6]}), x0_, block_columns_);
    const int low = at(std::min({c[1], c[4], c[7]}), y0_, block_rows_);
    const int high = at(std::max({c[1], c[4], c[7]}), y0_, block_rows_);
    for (int row = low; row <= high; ++row) {
      for (int column = left; column <= right; ++column) {
        blocks_[static_cast<std::size_t>(row) * block_columns_ + column].push_back(static_cast<std::int32_t>(i));
      }
    }
  }
}

bool Visibility::Inside(double x, double y, double z) const {
  int winding = 0;
  for (const PlanWall& wall : walls_) {
    if (!(wall.bottom <= z && z < wall.top)) continue;
    const double side = (wall.x2 - wall.x1) * (y - wall.y1) - (x - wall.x1) * (wall.y2 - wall.y1);
    if (wall.y1 <= y && wall.y2 > y && side > 0.0) ++winding;
    if (wall.y2 <= y && wall.y1 > y && side < 0.0) --winding;
  }
  return winding == 1;
}

// The cells that some wall crosses, and those whose middle is on the free floor at some height; then widened.
void Visibility::FindFreeFloor() {
  std::vector<std::uint8_t> base(static_cast<std::size_t>(columns_) * rows_, 0);
  for (std::size_t level = 0; level + 1 < levels_.size(); ++level) {
    const double z = (levels_[level] + levels_[level + 1]) / 2.0;
    // For each row of cells: where the walls at this height cross the line through its middle.
    std::vector<std::vector<std::pair<double, int>>> crossings(rows_);
    for (const PlanWall& wall : walls_) {
      if (!(wall.bottom <= z && z < wall.top) || wall.y1 == wall.y2) continue;
      const double low = std::min(wall.y1, wall.y2), high = std::max(wall.y1, wall.y2);
      const int first = std::max(0, static_cast<int>(std::ceil((low - y0_) / kFine - 0.5)));
      for (int row = first; row < rows_; ++row) {
        const double y = y0_ + (row + 0.5) * kFine;
        if (y < low) continue;
        if (y >= high) break;
        const double x = wall.x1 + (y - wall.y1) / (wall.y2 - wall.y1) * (wall.x2 - wall.x1);
        crossings[row].push_back({x, wall.y2 > wall.y1 ? 1 : -1});
      }
    }
    for (int row = 0; row < rows_; ++row) {
      auto& line = crossings[row];
      std::sort(line.begin(), line.end());
      // From the left: a point has as winding number the sum over the walls to its right.
      int winding = 0;
      for (const auto& crossing : line) winding += crossing.second;
      std::size_t next = 0;
      for (int column = 0; column < columns_; ++column) {
        const double x = x0_ + (column + 0.5) * kFine;
        while (next < line.size() && line[next].first <= x) winding -= line[next++].second;
        if (winding == 1) base[static_cast<std::size_t>(row) * columns_ + column] = 1;
      }
    }
  }
  for (const PlanWall& wall : walls_) {
    const double length = std::hypot(wall.x2 - wall.x1, wall.y2 - wall.y1);
    const int steps = static_cast<int>(length / (kFine / 4.0)) + 1;
    for (int i = 0; i <= steps; ++i) {
      // Points a quarter of a cell apart, and their neighbours within an eighth of it.
      const double share = static_cast<double>(i) / steps;
      const double x = wall.x1 + share * (wall.x2 - wall.x1), y = wall.y1 + share * (wall.y2 - wall.y1);
      for (const double dx : {-kFine / 8.0, kFine / 8.0}) {
        for (const double dy : {-kFine / 8.0, kFine / 8.0}) {
          const int column = static_cast<int>((x + dx - x0_) / kFine), row = static_cast<int>((y + dy - y0_) / kFine);
          base[static_cast<std::size_t>(row) * columns_ + column] = 1;
        }
      }
    }
  }
  open_.assign(base.size(), 0);
  for (int row = 0; row < rows_; ++row) {
    for (int column = 0; column < columns_; ++column) {
      if (!base[static_cast<std::size_t>(row) * columns_ + column]) continue;
      for (int r = std::max(row - kWiden, 0); r <= std::min(row + kWiden, rows_ - 1); ++r) {
        for (int c = std::max(column - kWiden, 0); c <= std::min(column + kWiden, columns_ - 1); ++c) {
          open_[static_cast<std::size_t>(r) * columns_ + c] = 1;
        }
      }
    }
  }
}

// Follows a ray that stands for all lines of sight within `width` of its angle, from the distance `from` on. Where
// these are too far apart, two rays of half the width go on.
void Visibility::March(double x, double y, double angle, double width, double from,
                       std::vector<std::uint8_t>* seen) const {
  const double dx = std::cos(angle), dy = std::sin(angle);
  const double end = kApart / width;
  // From one fine cell to the next (Amanatides and Woo).
  const double px = (x + from * dx - x0_) / kFine, py = (y + from * dy - y0_) / kFine;
  int column = static_cast<int>(std::floor(px)), row = static_cast<int>(std::floor(py));
  const int right = dx > 0 ? 1 : -1, up = dy > 0 ? 1 : -1;
  const double huge = std::numeric_limits<double>::max();
  const double across = dx != 0.0 ? std::abs(1.0 / dx) : huge, along = dy != 0.0 ? std::abs(1.0 / dy) : huge;
  double next_x = dx != 0.0 ? (dx > 0 ? column + 1 - px : px - column) * across : huge;
  double next_y = dy != 0.0 ? (dy > 0 ? row + 1 - py : py - row) * along : huge;
  const double length = (end - from) / kFine;
  double gone = 0.0;
  while (gone <= length) {
    if (column < 0 || row < 0 || column >= columns_ || row >= rows_) return;
    if (!open_[static_cast<std::size_t>(row) * columns_ + column]) return;
    (*seen)[static_cast<std::size_t>(row / kBlock) * block_columns_ + column / kBlock] = 1;
    if (next_x < next_y) {
      gone = next_x;
      next_x += across;
      column += right;
    } else {
      gone = next_y;
      next_y += along;
      row += up;
    }
  }
  March(x, y, angle - width / 4.0, width / 2.0, end, seen);
  March(x, y, angle + width / 4.0, width / 2.0, end, seen);
}

const Visibility::Group& Visibility::VisibleFrom(int column, int row) {
  const std::size_t number = static_cast<std::size_t>(row) * cell_columns_ + column;
  Group& result = visible_[number];
  if (known_[number]) return result;
  known_[number] = 1;
  std::vector<std::uint8_t> seen(blocks_.size(), 0);
  const double side = kFine * kCell;
  const double left = x0_ + column * side, low = y0_ + row * side;
  for (int r = row * (kCell / kBlock); r < (row + 1) * (kCell / kBlock); ++r) {
    for (int c = column * (kCell / kBlock); c < (column + 1) * (kCell / kBlock); ++c) {
      seen[static_cast<std::size_t>(r) * block_columns_ + c] = 1;
    }
  }
  // A line of sight that ends outside of the cell leaves it through its edge.
  const int starts = static_cast<int>(std::lround(side / kSpacing));
  for (int edge = 0; edge < 4; ++edge) {
    const double outwards = edge * M_PI / 2.0;  // right, up, left, down
    for (int i = 0; i < starts; ++i) {
      const double along = (i + 0.5) * side / starts;
      const double x = edge == 0 ? left + side : edge == 2 ? left : left + along;
      const double y = edge == 1 ? low + side : edge == 3 ? low : low + along;
      const double width = M_PI / kFirstRays;
      for (int ray = 0; ray < kFirstRays; ++ray) {
        March(x, y, outwards - M_PI / 2.0 + (ray + 0.5) * width, width, 0.0, &seen);
      }
    }
  }
  // Widened by a block: a line of sight may end beside the ray that stands for it.
  std::vector<std::uint8_t> wanted(inner_.size(), 0);
  for (int r = 0; r < block_rows_; ++r) {
    for (int c = 0; c < block_columns_; ++c) {
      if (!seen[static_cast<std::size_t>(r) * block_columns_ + c]) continue;
      for (int i = std::max(r - 1, 0); i <= std::min(r + 1, block_rows_ - 1); ++i) {
        for (int j = std::max(c - 1, 0); j <= std::min(c + 1, block_columns_ - 1); ++j) {
          for (const std::int32_t triangle : blocks_[static_cast<std::size_t>(i) * block_columns_ + j]) {
            wanted[triangle] = 1;
          }
        }
      }
    }
  }
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (!wanted[i]) continue;
    result.numbers.push_back(static_cast<std::int32_t>(i));
    result.x.push_back(all_.x[i]);
    result.y.push_back(all_.y[i]);
    result.z.push_back(all_.z[i]);
    result.radius.push_back(all_.radius[i]);
  }
  return result;
}

bool Visibility::Free(double x, double y, double z, double margin) const {
  for (const double level : levels_) {
    if (std::abs(z - level) <= margin) return false;
  }
  if (!(z > floor_ && z < ceiling_) || !Inside(x, y, z)) return false;
  for (const PlanWall& wall : walls_) {
    const double dx = wall.x2 - wall.x1, dy = wall.y2 - wall.y1;
    const double square = dx * dx + dy * dy;
    const double share = square > 0.0 ? ((x - wall.x1) * dx + (y - wall.y1) * dy) / square : 0.0;
    const double nearest = std::min(std::max(share, 0.0), 1.0);
    const double gx = x - wall.x1 - nearest * dx, gy = y - wall.y1 - nearest * dy;
    if (gx * gx + gy * gy <= margin * margin) return false;
  }
  return true;
}

std::size_t Visibility::InView(const Group& group, const Plane* planes, int count, std::int32_t* selected) {
  const std::size_t size = group.numbers.size();
  const float *x = group.x.data(), *y = group.y.data(), *z = group.z.data(), *radius = group.radius.data();
  float* inner = inner_.data();
  std::copy(radius, radius + size, inner);
  for (int j = 0; j < count; ++j) {
    const float a = static_cast<float>(planes[j].a), b = static_cast<float>(planes[j].b);
    const float c = static_cast<float>(planes[j].c), d = static_cast<float>(planes[j].d);
    // Simple, so that compilers make vector instructions of it.
    for (std::size_t i = 0; i < size; ++i) {
      const float value = a * x[i] + b * y[i] + c * z[i] + d + radius[i];
      inner[i] = value < inner[i] ? value : inner[i];
    }
  }
  std::size_t number = 0;
  for (std::size_t i = 0; i < size; ++i) {
    selected[number] = group.numbers[i];
    number += inner[i] >= 0.0f;
  }
  return number;
}

std::size_t Visibility::Select(const double* eye, double margin, const Plane* planes, int count,
                               std::int32_t* selected, bool* hidden) {
  *hidden = Free(eye[0], eye[1], eye[2], margin);
  if (!*hidden) {
    std::copy(all_.numbers.begin(), all_.numbers.end(), selected);
    return all_.numbers.size();
  }
  const double side = kFine * kCell;
  const int column = static_cast<int>((eye[0] - x0_) / side), row = static_cast<int>((eye[1] - y0_) / side);
  return InView(VisibleFrom(column, row), planes, count, selected);
}

std::size_t Visibility::SelectAll(const Plane* planes, int count, std::int32_t* selected) {
  return InView(all_, planes, count, selected);
}

}  // namespace nav_pkg
