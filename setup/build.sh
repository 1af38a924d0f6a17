#!/bin/bash
# Builds the catkin workspace build/.ws: the Python package, messages, services and Gazebo plugin.
set -euo pipefail
# shellcheck source=setup/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

venv=$(venv_dir)
if [ "$(platform)" = noetic ]; then
    # shellcheck disable=SC1091
    set +u && . "$NAV_NOETIC/setup.bash" && set -u
fi

key=$(build_key) # before the build: a file that changes meanwhile is then built the next time
# Until it is done the stamp fits nothing, so an interrupted build is taken up again; it stays, so that
# shells can be opened meanwhile on the build before.
[ ! -e "$NAV_WS/.complete" ] || echo building >"$NAV_WS/.complete"
# The workspace's nav_pkg is a folder of links to the checkout's files, not a link to the checkout:
# that holds build/, and a tree that contains itself makes rosrun's search go round in circles.
link_checkout
rm -rf "$NAV_REPO/build/ws" # of an older set-up, which ROS would find in workspaces

# ROS's own Python, whatever comes first in PATH: catkin needs packages of the system's.
catkin_make -C "$NAV_WS" -j2 -DPYTHON_EXECUTABLE=/usr/bin/python3
PYTHONPATH=$NAV_WS/devel/lib/python3/dist-packages "$venv/bin/python" -c 'import nav_pkg, gazebo_msgs.msg'
echo "$key" >"$NAV_WS/.complete"
