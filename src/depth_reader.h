// Depth images out of the colour camera's own render.
#ifndef NAV_PKG_DEPTH_READER_H
#define NAV_PKG_DEPTH_READER_H

#include <string>
#include <vector>

#include <gazebo/rendering/Camera.hh>

namespace nav_pkg {

// Reads the depth buffer that drawing the colour image has left behind.
//
// Gazebo's own DepthCamera draws the scene twice more (depth, and a colour image that nobody asked
// for), which in software rendering costs more than the colour camera. The depth buffer is there
// anyway: reading it back costs about a millisecond, and the two images show the same instant from
// the same place by construction. Its price: the depth camera shares the colour camera's pose and
// field of view, and its pixels are samples of that image's pixels (nearest).
class DepthReader {
 public:
  // Rendering thread, right after `camera` was drawn. Fills `depth` with height rows of width
  // metres along the optical axis; inf where nothing was drawn. False when there is no depth buffer
  // to read; `error` then says why.
  bool Read(const gazebo::rendering::CameraPtr& camera, int width, int height,
            std::vector<float>* depth, std::string* error);

 private:
  bool FindReadPixels(std::string* error);

  using ReadPixels = void (*)(int, int, int, int, unsigned, unsigned, void*);
  ReadPixels read_pixels_ = nullptr;
  std::vector<float> buffer_;
};

// Gives the camera a render target without multisampling. Gazebo asks for four samples a pixel,
// which in software rendering costs about as much again as the image (docs/simulator.md) and leaves
// no depth buffer that can be read. Rendering thread.
void DisableMultisampling(const gazebo::rendering::CameraPtr& camera);

// Keeps a further camera (number 1, 2, ...) from drawing into the depth buffer of another one. OGRE
// shares a buffer between targets of one size, and Gazebo draws all cameras before any is read.
// Rendering thread, before the camera's first frame.
void OwnDepthBuffer(const gazebo::rendering::CameraPtr& camera, int number);

}  // namespace nav_pkg

#endif
