"""An OpenGL context without a window: through EGL, or through OSMesa where there is no EGL."""

from __future__ import annotations

import contextlib
import ctypes
import os
from typing import Any, Dict, Optional, Tuple

from nav_pkg.core import UsageError

REMEDY = (
    "install one (Debian, Ubuntu): apt-get install libegl1 libgl1-mesa-dri, or apt-get install libosmesa6"
)
_EGL = "libEGL.so.1"
_LIBRARIES = ("libOSMesa.so.8", "libOSMesa.so.6", "libOSMesa.so")
# GL/osmesa.h of Mesa
_FORMAT, _RGBA, _DEPTH_BITS = 0x22, 0x1908, 0x30
_PROFILE, _CORE_PROFILE, _MAJOR, _MINOR = 0x33, 0x34, 0x36, 0x37
_UNSIGNED_BYTE = 0x1401


class _OSMesa:
    """An OSMesa context in the form that moderngl takes."""

    standalone = True

    def __init__(self) -> None:
        for name in _LIBRARIES:
            with contextlib.suppress(OSError):
                self._library = ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)
                break
        else:
            raise OSError(f"no {_LIBRARIES[0]}")
        library = self._library
        library.OSMesaCreateContextAttribs.restype = ctypes.c_void_p
        library.OSMesaCreateContextAttribs.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
        library.OSMesaMakeCurrent.argtypes = [ctypes.c_void_p, ctypes.c_void_p, *3 * [ctypes.c_int]]
        library.OSMesaGetProcAddress.restype = ctypes.c_void_p
        library.OSMesaGetProcAddress.argtypes = [ctypes.c_char_p]
        library.OSMesaDestroyContext.argtypes = [ctypes.c_void_p]
        words = (_FORMAT, _RGBA, _DEPTH_BITS, 24, _PROFILE, _CORE_PROFILE, _MAJOR, 3, _MINOR, 3, 0)
        self._context = library.OSMesaCreateContextAttribs((ctypes.c_int * len(words))(*words), None)
        # A context needs an image of its own to draw on; the renderer draws on framebuffer objects.
        self._image = (ctypes.c_ubyte * (4 * 16 * 16))()
        made = self._context and library.OSMesaMakeCurrent(self._context, self._image, _UNSIGNED_BYTE, 16, 16)
        if not made:
            raise OSError("OSMesa gives no OpenGL 3.3 context")

    def load(self, name: str) -> int:
        return self._library.OSMesaGetProcAddress(name.encode()) or 0

    def load_opengl_function(self, name: str) -> int:
        return self.load(name)

    def __enter__(self) -> _OSMesa:
        self._library.OSMesaMakeCurrent(self._context, self._image, _UNSIGNED_BYTE, 16, 16)
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def release(self) -> None:
        if self._context:
            self._library.OSMesaDestroyContext(self._context)
            self._context = None


def create(backend: Optional[str] = None) -> Tuple[Any, str]:
    """Create a context and make it current. Mesa then runs in one thread.

    Args:
        backend: `egl` or `osmesa`; None: environment NAV_PKG_GL, else the first of the two that works.

    Returns:
        The moderngl context, and the backend's name.

    Raises:
        UsageError: moderngl is not installed, or neither backend works.
    """
    backend = backend or os.environ.get("NAV_PKG_GL") or None
    if backend not in (None, "egl", "osmesa"):
        raise UsageError(f"NAV_PKG_GL is {backend!r}; it has to be egl or osmesa")
    # Before the first OpenGL library is loaded. More threads gain nothing at these image sizes; processes do.
    os.environ.setdefault("LP_NUM_THREADS", "0")
    os.environ.setdefault("EGL_LOG_LEVEL", "fatal")
    try:
        import moderngl
    except ImportError as error:
        raise UsageError(
            f"the embedded simulator needs moderngl ({error}): run 'make setup', "
            "or pip install 'nav_pkg[sim]'"
        ) from None
    causes: Dict[str, str] = {}
    for name in (backend,) if backend else ("egl", "osmesa"):
        try:
            if name == "egl":
                # EGL gives all functions; libGL, another package of Debian's, is not needed.
                libraries = {"libgl": _EGL, "libegl": _EGL}
                return moderngl.create_context(standalone=True, backend="egl", require=330, **libraries), name
            return moderngl.create_context(require=330, context=_OSMesa()), name
        except Exception as error:  # glcontext raises a bare Exception
            causes[str(name)] = " ".join(str(error).split()) or type(error).__name__
    why = "; ".join(f"{name}: {cause}" for name, cause in causes.items())
    raise UsageError(f"no OpenGL 3.3 without a window ({why}); {REMEDY}")
