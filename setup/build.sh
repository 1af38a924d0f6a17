#!/bin/bash
# Builds the catkin workspace build/ws: the Python package, messages, services and Gazebo plugin.
set -euo pipefail
# shellcheck source=setup/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

venv=$(venv_dir)
case $(platform) in
    noetic)
        # shellcheck disable=SC1091
        set +u && . "$NAV_NOETIC/setup.bash" && set -u
        prefix=
        ;;
    *) prefix=$NAV_PREFIX ;;
esac

key=$(build_key) # before the build: a file that changes meanwhile is then built the next time
# Until it is done the stamp fits nothing, so an interrupted build is taken up again; it stays, so that
# shells can be opened meanwhile on the build before.
[ ! -e "$NAV_WS/.complete" ] || echo building >"$NAV_WS/.complete"
# The workspace's nav_pkg is a folder of links to the checkout's files, not a link to the checkout:
# that holds build/, and a tree that contains itself makes rosrun's search go round in circles.
link_checkout
# catkin does not look for packages inside a package: gazebo_msgs is linked in beside it, and only
# where the distribution has none.
rm -f "$NAV_WS/src/gazebo_msgs"
if ! released_gazebo_msgs; then ln -s "$NAV_REPO/gazebo_msgs" "$NAV_WS/src/gazebo_msgs"; fi

# The relay scripts in devel/lib get this Python in their first line: it has to be the environment's.
catkin_make -C "$NAV_WS" -j2 -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_FLAGS_RELEASE='-O2 -DNDEBUG' \
    -DPYTHON_EXECUTABLE="$venv/bin/python" -Dnav_pkg_GAZEBO_PREFIX="$prefix"
PYTHONPATH=$NAV_WS/devel/lib/python3/dist-packages "$venv/bin/python" -c 'import nav_pkg, gazebo_msgs.msg'
echo "$key" >"$NAV_WS/.complete"
