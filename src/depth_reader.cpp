#include "depth_reader.h"

#include <dlfcn.h>

#include <cmath>
#include <limits>

#include <gazebo/rendering/ogre_gazebo.h>
#include <OGRE/OgreDepthBuffer.h>
#include <gazebo/rendering/RTShaderSystem.hh>
#include <gazebo/rendering/Scene.hh>

namespace nav_pkg {

namespace {
// From the OpenGL specification; declared here so that the build needs no OpenGL headers.
constexpr unsigned kDepthComponent = 0x1902;
constexpr unsigned kFloat = 0x1406;
}  // namespace

bool DepthReader::FindReadPixels(std::string* error) {
  if (read_pixels_) return true;
  // The library that OGRE has loaded into this process, wherever it comes from.
  void* library = dlopen("libGL.so.1", RTLD_LAZY | RTLD_GLOBAL);
  if (library) read_pixels_ = reinterpret_cast<ReadPixels>(dlsym(library, "glReadPixels"));
  if (!read_pixels_) *error = "libGL.so.1 offers no glReadPixels";
  return read_pixels_ != nullptr;
}

bool DepthReader::Read(const gazebo::rendering::CameraPtr& camera, int width, int height,
                       std::vector<float>* depth, std::string* error) {
  if (!FindReadPixels(error)) return false;
  Ogre::RenderTarget* target = camera->OgreViewport()->getTarget();
  if (target->getFSAA() > 1) {
    *error = "the camera is multisampled";
    return false;
  }
  const int full_width = static_cast<int>(camera->ImageWidth());
  const int full_height = static_cast<int>(camera->ImageHeight());
  buffer_.resize(static_cast<std::size_t>(full_width) * full_height);
  Ogre::Root::getSingleton().getRenderSystem()->_setRenderTarget(target);
  read_pixels_(0, 0, full_width, full_height, kDepthComponent, kFloat, buffer_.data());

  // The projection maps a distance D to the normalised depth z = -p22 + p23 / D, with z = 2 d - 1
  // for a buffer value d in [0, 1] (OpenGL specification, chapter 13.8).
  const Ogre::Matrix4& projection = camera->OgreCamera()->getProjectionMatrixRS();
  const double p22 = projection[2][2];
  const double p23 = projection[2][3];
  depth->resize(static_cast<std::size_t>(width) * height);
  for (int row = 0; row < height; ++row) {
    const int full_row = (2 * row + 1) * full_height / (2 * height);
    const float* line = buffer_.data() + static_cast<std::size_t>(full_row) * full_width;
    float* out = depth->data() + static_cast<std::size_t>(row) * width;
    for (int column = 0; column < width; ++column) {
      const float value = line[(2 * column + 1) * full_width / (2 * width)];
      out[column] = value >= 1.0f ? std::numeric_limits<float>::infinity()
                                  : static_cast<float>(p23 / (2.0 * value - 1.0 + p22));
    }
  }
  return true;
}

void DisableMultisampling(const gazebo::rendering::CameraPtr& camera) {
  const Ogre::Texture* old = camera->RenderTexture();
  if (!old || camera->OgreViewport()->getTarget()->getFSAA() <= 1) return;
  Ogre::TexturePtr plain = Ogre::TextureManager::getSingleton().createManual(
      old->getName() + "_plain", "General", Ogre::TEX_TYPE_2D, old->getWidth(), old->getHeight(), 0,
      old->getFormat(), Ogre::TU_RENDERTARGET, 0, false, 0);
  Ogre::RenderTarget* target = plain->getBuffer()->getRenderTarget();
  target->setAutoUpdated(false);
  camera->SetRenderTarget(target);
}

void OwnDepthBuffer(const gazebo::rendering::CameraPtr& camera, int number) {
  camera->OgreViewport()->getTarget()->setDepthBufferPool(
      static_cast<Ogre::uint16>(Ogre::DepthBuffer::POOL_DEFAULT + number));
}

}  // namespace nav_pkg
