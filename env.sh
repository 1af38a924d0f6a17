# A shell in which nav_pkg's commands work: source this file from bash or zsh, from any folder.
#
# Sets PATH (the Python environment first), PYTHONPATH (this checkout and its build), ROS_PACKAGE_PATH
# (its build) and NAV_PKG_ROOT. The library path of Gazebo's own folder is not set here: setup/gzserver
# sets it for the simulator alone, because other programs would load Debian 11's libraries with it.
# shellcheck shell=bash disable=SC2317

if [ -n "${BASH_VERSION:-}" ]; then
    _nav_root=${BASH_SOURCE[0]}
elif [ -z "${ZSH_VERSION:-}" ]; then
    echo "env.sh: source this file from bash or zsh, not from another shell" >&2
    return 2
else
    eval '_nav_root=${(%):-%x}' # zsh's name for the file being sourced; bash must not parse it
fi
_nav_root=$(cd "$(dirname "$_nav_root")" && pwd -P)

if [ ! -r "$_nav_root/build/env" ]; then
    echo "env.sh: nav_pkg is not set up in $_nav_root: run 'make setup' there" >&2
    unset _nav_root
    return 2 2>/dev/null || exit 2
fi
if ! "$_nav_root/setup/check" venv build; then
    unset _nav_root
    return 2 2>/dev/null || exit 2
fi

# The lines set-up wrote: which environment and build belong to this checkout.
# shellcheck disable=SC1091
. "$_nav_root/build/env"
if [ ! -x "$NAV_PKG_VENV/bin/python" ]; then
    echo "env.sh: $_nav_root was set up with $NAV_PKG_VENV, which is not on this machine: run 'make setup' there" >&2
    unset _nav_root
    return 2 2>/dev/null || exit 2
fi

# catkin's own file sets the ROS variables (and, on ROS Noetic, those of /opt/ros/noetic).
# It reads variables that may not be set, which a shell with `set -u` would not survive.
case $- in *u*) _nav_strict=1 ;; *) _nav_strict= ;; esac
set +u
# In a function, since a sourced file sees the arguments of who sources it: those of a script, or of a
# container's command, are not catkin's (which takes a --help).
# shellcheck disable=SC1090
_nav_catkin() { . "$_nav_space/setup.${ZSH_VERSION:+z}${BASH_VERSION:+ba}sh"; }
_nav_space=$_nav_root/build/.ws/devel
[ -e "$_nav_space" ] || _nav_space=$_nav_root/../.. # installed: PREFIX/share/nav_pkg
_nav_catkin

# ROS finds the package through the build's workspace, which holds links to this checkout; naming the
# checkout as well would make every launch file ambiguous.
# A shell may source this file again: a folder is put in front once. The checkout's own Python files
# come first, the generated messages beside them second.
_nav_front() { # _nav_front VARIABLE FOLDER
    eval "_nav_old=\${$1:-}"
    _nav_old=$(printf ':%s:' "$_nav_old" | sed -e "s|:$2:|:|g" -e 's|^:*||' -e 's|:*$||')
    export "$1=$2${_nav_old:+:$_nav_old}"
}
_nav_front PATH "$NAV_PKG_VENV/bin"
_nav_front PYTHONPATH "$_nav_root"
export NAV_PKG_ROOT="$_nav_root"

unset -f _nav_front _nav_catkin
if [ -n "$_nav_strict" ]; then set -u; fi
unset _nav_root _nav_old _nav_strict _nav_space
