"""Lays out the Gazebo prefix from unpacked Debian 11 packages.

Takes Gazebo's programs, plugins, media and headers, and of all shared libraries only those that
the programs and plugins need (found by following ELF NEEDED entries) and the host's packages that are
named on standard input do not have.
Every library goes into one folder under its soname, so one LD_LIBRARY_PATH entry finds it,
whatever sub-folder Debian keeps it in (libpulsecommon, blas).

Usage: gazebo_prefix.py UNPACKED PREFIX < PACKAGES. Runs on the system's Python
without further packages.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import elf


def host_sonames(packages):
    """Names of the shared libraries of these packages that the host's loader finds by itself."""
    run = {"check": True, "stdout": subprocess.PIPE, "text": True}
    cache = subprocess.run(["/sbin/ldconfig", "-p"], **run).stdout
    owned = subprocess.run(["dpkg", "-L", *packages], **run).stdout
    names = {line.rpartition("/")[2] for line in owned.splitlines() if ".so" in line}
    return names & {line.split()[0] for line in cache.splitlines() if "=>" in line}


def main(unpacked, prefix):
    """Fills the empty folder `prefix`; returns the exit code."""
    usr = unpacked / "usr"
    libdirs = [d for d in (usr / "lib", unpacked / "lib") if d.is_dir()]
    index = elf.index(libdirs)
    arch_lib = index["libgazebo.so.11"].parent

    copies = [
        (usr / "share/gazebo-11", "share/gazebo-11"),
        (usr / "share/sdformat9", "share/sdformat9"),
        (arch_lib / "gazebo-11/plugins", "lib/gazebo-11/plugins"),
        (arch_lib / "OGRE-1.9.0", "lib/OGRE-1.9.0"),
        (usr / "include", "include"),
    ]
    # For gzclient's window: X11, OpenGL and its icons.
    for name in ("platforms", "xcbglintegrations", "imageformats", "iconengines"):
        copies.append((arch_lib / "qt5/plugins" / name, f"lib/qt5/plugins/{name}"))
    for source, target in copies:
        shutil.copytree(str(source), str(prefix / target), symlinks=True)
    (prefix / "bin").mkdir()
    for name in ("gzserver", "gzclient", "gz"):
        shutil.copy2(
            str(usr / "bin" / name), str(prefix / "bin" / name)
        )  # follows gzserver -> gzserver-11.1.0

    for path in prefix.rglob("*"):
        if path.is_symlink() and not path.exists():  # into a package that was not fetched, e.g. fonts
            path.unlink()

    host = host_sonames(sys.stdin.read().split())
    frontier = [p for p in prefix.rglob("*") if p.parent.name == "bin" or ".so" in p.name]
    taken, missing = elf.take_libraries(frontier, index, host, prefix / "lib")
    if missing:
        print("no package gives: " + " ".join(missing), file=sys.stderr)
        return 1

    # The linker looks for libX.so: give it one for each library we took that has a development link.
    for name, path in index.items():
        if name.endswith(".so") and path.is_symlink():
            soname = next(
                (s for s in taken if s.startswith(name) and index[s].resolve() == path.resolve()), None
            )
            if soname:
                (prefix / "lib" / name).symlink_to(soname)

    # Of Debian 11's headers these two must win over the host's newer ones of the same name; the rest
    # of the include folder comes after the system's (see CMakeLists.txt).
    first = prefix / "include-first"
    first.mkdir()
    for name in ("tbb", "google"):
        (first / name).symlink_to(Path("..") / "include" / name)
    print(f"{len(taken)} libraries")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: gazebo_prefix.py UNPACKED PREFIX < PACKAGES")
    os.umask(0o022)
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
