#!/bin/bash
# Makes what the embedded simulator needs, without root, ROS and Gazebo: a Python environment with nav_pkg[sim]
# installed by pip. Prints the environment's folder as its last line.
#
# The environment is of the user's own python3 (3.8 or later), or of the one that NAV_PKG_PYTHON names.
set -euo pipefail
# shellcheck source=setup/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

python=${NAV_PKG_PYTHON:-python3}
command -v "$python" >/dev/null || fail "$python is not installed: install Python 3.8 or later, or name one in NAV_PKG_PYTHON"
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 8))' || fail "$python is Python $version: name one of 3.8 or later in NAV_PKG_PYTHON"
"$python" -c 'import venv, ensurepip' 2>/dev/null || fail "Python's venv is not installed: install it (Debian, Ubuntu: apt-get install python3-venv)"
command -v c++ >/dev/null || fail "a C++ compiler is not installed: install one (Debian, Ubuntu: apt-get install g++)"

mkdir -p "$NAV_DATA" "$NAV_CACHE" || fail "cannot write to $HOME: make $NAV_DATA and $NAV_CACHE writable"
exec 9>"$NAV_DATA/embedded.lock"
flock -w 3600 9 || fail "another set-up still holds $NAV_DATA/embedded.lock after an hour: end it and start again"
logging=yes
printf '\n%s embedded set-up of %s\n' "$(date '+%F %T')" "$NAV_REPO" >>"$NAV_LOG"

# What pip installs: a clean copy, as pip builds where the source lies.
sources=(nav_pkg src config/robot models/drone models/turtlebot3 scripts studies package.xml pyproject.toml setup.py MANIFEST.in README.md LICENSE)
sum=$(cd "$NAV_REPO" && find "${sources[@]}" -type f ! -name '*.pyc' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -c1-16)
pins=$(sha256sum <"$NAV_REPO/setup/requirements.txt" | cut -c1-8)
venv=$NAV_DATA/venv-embedded-$version-$(torch_kind)-$pins
if [ "$(cat "$venv/.complete" 2>/dev/null)" != "$sum" ]; then
    copy=$(mktemp -d)
    trap 'rm -rf "$copy"' EXIT
    (cd "$NAV_REPO" && tar -cf - --exclude='*.pyc' "${sources[@]}") | tar -xf - -C "$copy"
    if ! [ -e "$venv/.complete" ]; then
        say "making the Python environment $venv (some minutes; 1.5 GB on disk, 7 with a CUDA build of torch)"
        rm -rf "$venv"
        "$python" -m venv "$venv" || fail "the Python environment $venv could not be made"
    else
        say "installing nav_pkg in $venv"
    fi
    rm -f "$venv/.complete"
    install=("$venv/bin/python" -m pip install --disable-pip-version-check --no-input --progress-bar off --retries 5)
    # The versions that are seen to work together are those of Debian 12's Python; others take what fits.
    limits=()
    [ "$version" != 3.11 ] || limits=(-c "$NAV_REPO/setup/requirements.txt")
    if ! logged "${install[@]}" "${limits[@]}" "$copy[sim]" || ! logged "${install[@]}" --no-deps --force-reinstall "$copy"; then
        tail -n 15 "$NAV_LOG" | sed 's/^/  | /' >&2
        fail "pip could not install nav_pkg[sim]: see $NAV_LOG, put it right and start again"
    fi
    "$venv/bin/python" -c 'from nav_pkg.sim.embedded import library; library.load(); import moderngl' ||
        fail "the embedded simulator was not built: see $NAV_LOG"
    echo "$sum" >"$venv/.complete"
fi
say "the embedded simulator is in $venv; log: $NAV_LOG"
echo "$venv"
