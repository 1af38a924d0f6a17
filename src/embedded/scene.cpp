#include "scene.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace nav_pkg {

namespace {

constexpr int kMostPixels = 16;  // more empty pixels than this: everything in view is drawn

// The points whose image lies on one side of a line: `sign` (x - value w) >= 0 or `sign` (y - value w) >= 0.
Plane Side(const double rows[4][4], int axis, double value, double sign) {
  double p[4];
  for (int k = 0; k < 4; ++k) p[k] = sign * (rows[axis][k] - value * rows[3][k]);
  const double length = std::sqrt(p[0] * p[0] + p[1] * p[1] + p[2] * p[2]);
  return {p[0] / length, p[1] / length, p[2] / length, p[3] / length};
}

// The planes around a part of the image, in coordinates from -1 to 1, and the plane of the camera.
void Planes(const double rows[4][4], double left, double right, double low, double high, Plane* planes) {
  planes[0] = Side(rows, 0, left, 1.0);
  planes[1] = Side(rows, 0, right, -1.0);
  planes[2] = Side(rows, 1, low, 1.0);
  planes[3] = Side(rows, 1, high, -1.0);
  planes[4] = {rows[3][0], rows[3][1], rows[3][2], rows[3][3]};
}

}  // namespace

bool Scene::Draw(const CameraView& camera, const Vector3& position, const Quaternion& orientation, float* matrix,
                 std::int32_t* indices, std::int32_t* ends) {
  const Vector3 eye = position + orientation.Rotate(camera.position);
  const Matrix3 turn = Matrix3::From(orientation * camera.orientation);
  // OpenGL's camera looks along -z, with x to the right and y upwards.
  double view[3][4];
  for (int k = 0; k < 3; ++k) {
    view[0][k] = -turn.m[3 * k + 1];
    view[1][k] = turn.m[3 * k + 2];
    view[2][k] = -turn.m[3 * k];
  }
  for (auto& row : view) row[3] = -(row[0] * eye.x + row[1] * eye.y + row[2] * eye.z);
  for (int k = 0; k < 4; ++k) {
    rows_[0][k] = camera.across * view[0][k];
    rows_[1][k] = camera.up * view[1][k];
    rows_[2][k] = camera.scale * view[2][k] + (k == 3 ? camera.offset : 0.0);
    rows_[3][k] = -view[2][k];
  }
  for (int row = 0; row < 4; ++row) {
    for (int k = 0; k < 4; ++k) matrix[4 * k + row] = static_cast<float>(rows_[row][k]);
  }
  Plane planes[5];
  Planes(rows_, -1.0, 1.0, -1.0, 1.0, planes);
  const double place[3] = {eye.x, eye.y, eye.z};
  bool hidden = false;
  Write(visibility_.Select(place, camera.margin, planes, 5, selected_.data(), &hidden), indices, ends);
  return hidden;
}

void Scene::DrawBehind(const std::int32_t* pixels, int count, int width, int height, std::int32_t* indices,
                       std::int32_t* ends) {
  Plane planes[5];
  if (count > kMostPixels) {
    Planes(rows_, -1.0, 1.0, -1.0, 1.0, planes);
    Write(visibility_.SelectAll(planes, 5, selected_.data()), indices, ends);
    return;
  }
  std::fill(wanted_.begin(), wanted_.end(), 0);
  for (int i = 0; i < count; ++i) {
    const int column = pixels[i] % width, row = pixels[i] / width;
    Planes(rows_, 2.0 * column / width - 1.0, 2.0 * (column + 1) / width - 1.0, 2.0 * row / height - 1.0,
           2.0 * (row + 1) / height - 1.0, planes);
    const std::size_t found = visibility_.SelectAll(planes, 5, selected_.data());
    for (std::size_t j = 0; j < found; ++j) wanted_[selected_[j]] = 1;
  }
  std::size_t number = 0;
  for (std::size_t i = 0; i < wanted_.size(); ++i) {
    if (wanted_[i]) selected_[number++] = static_cast<std::int32_t>(i);
  }
  Write(number, indices, ends);
}

void Scene::Write(std::size_t count, std::int32_t* indices, std::int32_t* ends) const {
  for (std::size_t i = 0; i < count; ++i) {
    const std::int32_t* triangle = triangles_.data() + 3 * selected_[i];
    indices[3 * i] = triangle[0];
    indices[3 * i + 1] = triangle[1];
    indices[3 * i + 2] = triangle[2];
  }
  const auto first = selected_.begin(), last = first + static_cast<std::ptrdiff_t>(count);
  for (std::size_t i = 1; i < surfaces_.size(); ++i) {
    ends[i - 1] = static_cast<std::int32_t>(std::lower_bound(first, last, surfaces_[i]) - first);
  }
}

int EmptyPixels(const float* buffer, int pixels, std::int32_t* numbers, int limit) {
  int count = 0;
  constexpr int kPart = 256;
  for (int start = 0; start < pixels; start += kPart) {
    const int end = std::min(start + kPart, pixels);
    int empty = 0;
    for (int i = start; i < end; ++i) empty += buffer[i] >= 1.0f;
    if (empty == 0) continue;
    for (int i = start; i < end; ++i) {
      if (!(buffer[i] >= 1.0f)) continue;
      if (count < limit) numbers[count] = i;
      ++count;
    }
  }
  return count;
}

void SampleDepth(const CameraView& camera, const float* buffer, int width, int height, float* metres,
                 int metres_width, int metres_height) {
  std::vector<int> columns(metres_width);
  for (int i = 0; i < metres_width; ++i) columns[i] = (2 * i + 1) * width / (2 * metres_width);
  for (int row = 0; row < metres_height; ++row) {
    const float* line = buffer + static_cast<std::size_t>((2 * row + 1) * height / (2 * metres_height)) * width;
    for (int i = 0; i < metres_width; ++i) metres[i] = line[columns[i]];
    for (int i = 0; i < metres_width; ++i) {
      const double value = metres[i];
      const double distance = camera.offset / (2.0 * value - 1.0 + camera.scale);
      metres[i] = static_cast<float>(value >= 1.0 ? std::numeric_limits<double>::infinity() : distance);
    }
    metres += metres_width;
  }
}

}  // namespace nav_pkg
