"""Lays out HTCondor's prefix from unpacked packages of a newer Debian.

Takes HTCondor's programs and the libraries they need, that suite's C library included, and makes each
program load them: its interpreter is the folder's ld.so, its library path is given relative to itself
(as DT_RPATH, which serves libraries opened later, too). Nothing has to be set in the environment, so
nothing leaks into jobs, which are processes of the host.

Usage: condor_prefix.py UNPACKED FOLDER PLACE, where PLACE is what the folder will be renamed to: the
interpreter's path can only be absolute. Runs on the system's Python without further packages.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import elf

LOADER = "ld-linux-x86-64.so.2"
OPENED = "libSciTokens.so.0 libgssapi_krb5.so.2 libk5crypto.so.3 libkrb5.so.3 libcom_err.so.2"
OPENED += " libkrb5support.so.0 libmunge.so.2 libssl.so.3 libcrypto.so.3 libvomsapi.so.1"
"""Libraries that HTCondor opens while it runs, without naming them in its headers."""


def is_program(path):
    """Whether a file is a program that is linked dynamically: neither a script nor a library."""
    with open(str(path), "rb") as file:
        begin = file.read(4096)
    return begin.startswith(b"\x7fELF") and LOADER.encode() in begin


def main(unpacked, prefix, place):
    """Fills the folder `prefix`; returns the exit code."""
    usr = unpacked / "usr"
    (prefix / "lib").mkdir(parents=True)
    for name in ("bin", "sbin"):
        (prefix / name).mkdir()
        for path in sorted((usr / name).glob("*condor*")) + sorted((usr / name).glob("procd_ctl")):
            shutil.copy2(str(path), str(prefix / name / path.name), follow_symlinks=False)
    shutil.copytree(str(usr / "libexec/condor"), str(prefix / "libexec/condor"), symlinks=True)
    for name in ("annex", "adstash", "credmon", "singularity_test_sandbox"):  # of pools of machines
        shutil.rmtree(str(prefix / "libexec/condor" / name), ignore_errors=True)

    files = [path for path in sorted(prefix.rglob("*")) if path.is_file() and not path.is_symlink()]
    programs = [path for path in files if is_program(path)]
    for path in set(files) - set(programs):
        # The bindings are in the Python environment of the shell, not in the system's Python.
        text = path.read_bytes()
        path.write_bytes(re.sub(rb"\A#! ?/usr/bin/python3\b", b"#!/usr/bin/env python3", text))

    index = elf.index([usr / "lib"])
    lib = prefix / "lib"
    opened = []
    for soname in OPENED.split():
        if soname in index:
            shutil.copyfile(str(index[soname].resolve()), str(lib / soname))
            opened.append(lib / soname)
    taken, missing = elf.take_libraries(programs + opened, index, set(), lib)
    if missing or LOADER not in taken:
        print("no package gives: " + " ".join(missing or [LOADER]), file=sys.stderr)
        return 1
    (lib / LOADER).chmod(0o755)

    loader = str(index[LOADER].resolve())
    patchelf = [loader, "--library-path", str(lib), str(usr / "bin/patchelf"), "--force-rpath"]
    for path in programs:
        up = "../" * len(path.relative_to(prefix).parents[:-1])
        change = ["--set-interpreter", str(place / "lib" / LOADER), "--set-rpath", f"$ORIGIN/{up}lib"]
        subprocess.run(patchelf + change + [str(path)], check=True)
    names = [str(path.relative_to(prefix)) for path in programs]
    (prefix / "PROGRAMS").write_text("\n".join(names) + "\n")
    print(f"{len(programs)} programs, {len(taken) + len(opened)} libraries")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: condor_prefix.py UNPACKED FOLDER PLACE")
    os.umask(0o022)
    sys.exit(main(*(Path(argument) for argument in sys.argv[1:])))
