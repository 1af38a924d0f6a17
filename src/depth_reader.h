// Depth images from the colour camera's own render.
#ifndef NAV_PKG_DEPTH_READER_H
#define NAV_PKG_DEPTH_READER_H

#include <string>
#include <vector>

#include <gazebo/rendering/Camera.hh>

namespace nav_pkg {

// Reads the depth buffer of the rendered colour image.
//
// Gazebo's own DepthCamera renders the scene two more times (depth, and an unused colour image). In
// software rendering this costs more than the colour camera. The depth buffer exists anyway: reading it
// back takes about a millisecond, and both images show the same instant from the same pose by
// construction. The drawback: the depth camera has the pose and the field of view of the colour camera,
// and its pixels are samples of that image's pixels (nearest).
class DepthReader {
 public:
  // Rendering thread, right after `camera` was rendered. Fills `depth` with `height` rows of `width`
  // values: metres along the optical axis, inf where nothing was rendered. Returns false without a
  // readable depth buffer; `error` then gives the reason.
  bool Read(const gazebo::rendering::CameraPtr& camera, int width, int height,
            std::vector<float>* depth, std::string* error);

 private:
  bool FindReadPixels(std::string* error);

  using ReadPixels = void (*)(int, int, int, int, unsigned, unsigned, void*);
  ReadPixels read_pixels_ = nullptr;
  std::vector<float> buffer_;
};

// Gives the camera a render target without multisampling. Gazebo requests four samples per pixel. In
// software rendering this costs about as much again as the image (docs/simulator.md), and the depth
// buffer cannot be read. Rendering thread.
void DisableMultisampling(const gazebo::rendering::CameraPtr& camera);

// Prevents an additional camera (number 1, 2, ...) from rendering into the depth buffer of another one.
// OGRE shares a buffer between targets of equal size, and Gazebo renders all cameras before any is read.
// Rendering thread, before the camera's first frame.
void OwnDepthBuffer(const gazebo::rendering::CameraPtr& camera, int number);

}  // namespace nav_pkg

#endif
