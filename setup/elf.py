"""Programs and the shared libraries they need, found by following ELF NEEDED entries.

For the scripts that lay out prefixes. Runs on the system's Python without further packages.
"""

import re
import shutil
import subprocess


def index(libdirs):
    """All shared libraries below some folders, by file name (the first of a name counts)."""
    libraries = {}
    for libdir in libdirs:
        for path in libdir.rglob("*.so*"):
            if path.exists():  # links of packages that were not fetched dangle
                libraries.setdefault(path.name, path)
    return libraries


def needed(files):
    """Sonames that any of the ELF files asks for (one readelf call: there are hundreds of files)."""
    out = subprocess.run(
        ["readelf", "-d"] + [str(f) for f in files],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    return set(re.findall(r"\(NEEDED\).*\[(.+)\]", out.stdout))


def take_libraries(frontier, libraries, host, folder):
    """Copy all libraries that some files need, directly or not, into one folder under their sonames.

    Args:
        frontier: the files.
        libraries: what there is, from `index`.
        host: sonames that the host gives.
        folder: where the copies go.

    Returns:
        The sonames taken, and the sorted list of those that nothing gives.
    """
    taken, missing = set(), set()
    while frontier:
        wave = []
        for soname in sorted(needed(frontier) - taken - missing - host):
            if soname not in libraries:
                missing.add(soname)
                continue
            taken.add(soname)
            target = folder / soname
            shutil.copyfile(str(libraries[soname].resolve()), str(target))
            wave.append(target)
        frontier = wave
    return taken, sorted(missing)
