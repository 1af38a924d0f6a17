"""Visual navigation by imitation: lock-step simulation, datasets, learning, flight."""

from pkgutil import extend_path

# The generated messages (nav_pkg.msg, nav_pkg.srv) live in the catkin devel space beside the source.
__path__ = extend_path(__path__, __name__)

__version__ = "0.1.0"
