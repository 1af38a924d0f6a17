// What a camera draws of a world, frame by frame.
#ifndef NAV_PKG_EMBEDDED_SCENE_H
#define NAV_PKG_EMBEDDED_SCENE_H

#include <cstddef>
#include <cstdint>
#include <vector>

#include "rigid_body.h"
#include "visibility.h"

namespace nav_pkg {

// A camera on the robot. It looks along its x axis; y points to the left, z upwards.
struct CameraView {
  Vector3 position;  // in the robot's frame, m
  Quaternion orientation;
  // Of the projection: across / (-z), up / (-z), and depth (scale -z + offset) / (-z), as in OpenGL.
  double across, up, scale, offset;
  double margin;  // an eye this near to a wall may see through it, m
};

class Scene {
 public:
  // `surfaces`: number of the first triangle of each surface, and at last that of all triangles.
  Scene(Visibility visibility, std::vector<std::int32_t> triangles, std::vector<std::int32_t> surfaces)
      : visibility_(std::move(visibility)), triangles_(std::move(triangles)), surfaces_(std::move(surfaces)),
        selected_(triangles_.size() / 3), wanted_(triangles_.size() / 3) {}

  // The triangles to draw for a pose of the robot.
  // `matrix`: from the world to the image (OpenGL's column order). `indices`: the vertices of the triangles.
  // `ends`: for each surface, the triangles of it and of those before it. Returns whether some were left out.
  bool Draw(const CameraView& camera, const Vector3& position, const Quaternion& orientation, float* matrix,
            std::int32_t* indices, std::int32_t* ends);

  // The triangles, hidden ones as well, that may cover the given pixels of the image drawn last (numbers in a
  // buffer of width x height pixels).
  void DrawBehind(const std::int32_t* pixels, int count, int width, int height, std::int32_t* indices,
                  std::int32_t* ends);

 private:
  void Write(std::size_t count, std::int32_t* indices, std::int32_t* ends) const;

  Visibility visibility_;
  std::vector<std::int32_t> triangles_;  // 3 vertices each
  std::vector<std::int32_t> surfaces_;
  std::vector<std::int32_t> selected_;
  std::vector<std::uint8_t> wanted_;
  double rows_[4][4];  // from the world to the image, of the image drawn last
};

// The pixels of a depth buffer where nothing was drawn: writes at most `limit` of their numbers, returns how many
// there are.
int EmptyPixels(const float* buffer, int pixels, std::int32_t* numbers, int limit);

// Metres along the optical axis at the samples of a depth buffer that src/depth_reader.cpp takes; inf where nothing
// was drawn.
void SampleDepth(const CameraView& camera, const float* buffer, int width, int height, float* metres,
                 int metres_width, int metres_height);

}  // namespace nav_pkg

#endif
