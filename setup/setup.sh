#!/bin/bash
# Makes everything nav_pkg needs on this machine; called by `make setup`.
#
# Every step leaves at once when its work is done, and can be interrupted anywhere: the next run
# completes it. Made once a user: the Python environment, the folders of Gazebo and
# HTCondor (~/.local/share/nav_pkg).
# Made once a checkout: build/ (catkin workspace, env). What happened is in ~/.cache/nav_pkg/setup.log.
set -euo pipefail
# shellcheck source=setup/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

LOCK_WAIT=3600 # s; a first run takes minutes, on a slow network longer

# --check: only say whether this machine can be set up.
case $* in
    "") check= ;;
    --check) check=yes ;;
    *) fail "takes no arguments but --check, got '$*'" ;;
esac

# Needed on Debian 12 and only these; why each is here: docs/dependencies.md.
mapfile -t DEBIAN_PACKAGES < <(debian_packages)

step_lock() {
    mkdir -p "$NAV_DATA" "$NAV_CACHE" || fail "cannot write to $HOME: make $NAV_DATA and $NAV_CACHE writable"
    local lock=$NAV_DATA/setup.lock
    if ! [ -w "$NAV_DATA" ]; then # an image's: it is used as it is, only the checkout is built
        mkdir -p "$NAV_REPO/build" && [ -w "$NAV_REPO/build" ] || fail "neither $NAV_DATA nor $NAV_REPO can be written to: make one of them writable"
        lock=$NAV_REPO/build/setup.lock
    fi
    exec 9>"$lock"
    if ! flock -n 9; then
        say "another set-up of this user is running; waiting for it (at most $((LOCK_WAIT / 60)) minutes)"
        flock -w "$LOCK_WAIT" 9 || fail "another set-up still holds $lock after $((LOCK_WAIT / 60)) minutes: end it and run 'make setup' again"
    fi
    # One log, and not an endless one.
    if [ "$(stat -c %s "$NAV_LOG" 2>/dev/null || echo 0)" -gt 5000000 ]; then mv -f "$NAV_LOG" "$NAV_LOG.1"; fi
    logging=yes # from here on say and fail write to it too
    printf '\n%s set-up of %s\n' "$(date '+%F %T')" "$NAV_REPO" >>"$NAV_LOG"
}

step_platform() {
    PLATFORM=$(platform)
    if [ -z "$PLATFORM" ]; then
        local name
        name=$(sed -n 's/^PRETTY_NAME="\?\([^"]*\)"\?$/\1/p' "$NAV_OS_RELEASE" 2>/dev/null || true)
        fail "this system (${name:-unknown}) is not supported: use Debian 12, or a machine with ROS Noetic in /opt/ros/noetic and Gazebo 11"
    fi
}

missing_packages() {
    dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${DEBIAN_PACKAGES[@]}" 2>/dev/null |
        sed -n 's/^installed //p' | LC_ALL=C sort |
        LC_ALL=C comm -13 - <(printf '%s\n' "${DEBIAN_PACKAGES[@]}" | LC_ALL=C sort)
}

step_rights() { # may it install what is missing? Sets missing and root.
    missing=() root=()
    if [ "$PLATFORM" = noetic ]; then
        # The machine has its own ROS and Gazebo: nothing is fetched, only looked at.
        for program in g++ cmake make Xvfb; do
            command -v "$program" >/dev/null || fail "$program is not installed: ask for it with 'apt-get install g++ cmake make xvfb' and run 'make setup' again"
        done
        /usr/bin/python3 -c 'import venv, ensurepip' 2>/dev/null ||
            fail "Python's venv is not installed: ask for it with 'apt-get install python3-venv' and run 'make setup' again"
        PYTHONPATH=$NAV_NOETIC/lib/python3/dist-packages /usr/bin/python3 -c 'import cv2, cv_bridge' 2>/dev/null ||
            fail "cv_bridge and OpenCV are not installed: ask for them with 'apt-get install ros-noetic-cv-bridge python3-opencv' and run 'make setup' again"
        return
    fi
    mapfile -t missing < <(missing_packages)
    [ ${#missing[@]} -gt 0 ] || return 0
    local install="apt-get install --no-install-recommends ${missing[*]}"
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null ||
            fail "Debian packages are missing (${#missing[@]}), and there is neither root nor sudo to install them: ask an administrator to run: $install"
        root=(sudo)
        # Without a password, or with one when there is someone to type it.
        if ! sudo -n true 2>/dev/null && ! { [ -t 0 ] && sudo -v; }; then
            fail "Debian packages are missing (${#missing[@]}), and sudo does not let this user install them: ask an administrator to run: $install"
        fi
    fi
}

step_announce() { # what is missing: how much is fetched, and what it takes on the disk, before anything begins
    local disk=0 offer parts=() free size
    [ -w "$NAV_DATA" ] || return 0
    if [ ${#missing[@]} -gt 0 ]; then
        # 'URI' FILE SIZE SUM, a line a package.
        size=$(apt-get install --print-uris -qq --no-install-recommends "${missing[@]}" 2>/dev/null | awk '{s += $3} END {printf "%d", s / 1e6}') || true
        [ "${size:-0}" != 0 ] || size="unknown, as apt has no lists yet," # until its update
        parts+=("${#missing[@]} Debian packages and what they need (on the system's disk; $size MB to fetch)")
    fi
    if ! "$NAV_REPO/setup/check" venv 2>/dev/null; then
        offer=$(torch_offer)
        if [ "$offer" = large ]; then
            parts+=("Python packages with a CUDA build of torch (7 GB on disk)") disk=7000
        else
            parts+=("Python packages with a CPU build of torch (0.4 GB to fetch, 1.5 GB on disk)") disk=1500
        fi
    fi
    if [ "$PLATFORM" != noetic ] && ! "$NAV_REPO/setup/check" prefix 2>/dev/null; then
        parts+=("Gazebo 11 (190 MB to fetch, 680 MB on disk with the kept packages)") disk=$((disk + 680))
    fi
    if [ "$PLATFORM" != noetic ] && ! own_condor >/dev/null && ! "$NAV_REPO/setup/check" condor 2>/dev/null; then
        parts+=("HTCondor (27 MB to fetch, 90 MB on disk)") disk=$((disk + 90))
    fi
    [ ${#parts[@]} -gt 0 ] || return 0
    say "to be fetched (unless kept from before) and made in $NAV_DATA:"
    for part in "${parts[@]}"; do say "  $part"; done
    if [ "${offer:-}" = large ] && [ "$(torch_kind)" = cpu ]; then
        say "  pip's index has only CUDA builds of torch $(sed -n 's/^torch==//p' "$(requirements "$(python_version)")"), which this machine without an NVIDIA GPU can not use. For 1.5 GB instead of 7: stop (Ctrl-C), name an index with CPU builds in PIP_EXTRA_INDEX_URL or a folder of wheels in PIP_FIND_LINKS, and start again (docs/setup.md)"
    elif [ "${offer:-}" = unknown ]; then
        say "  7 GB instead of 1.5 where pip's index has only CUDA builds of torch: name an index with CPU builds in PIP_EXTRA_INDEX_URL or a folder of wheels in PIP_FIND_LINKS first (docs/setup.md)"
    fi
    free=$(df -Pm "$NAV_DATA" | awk 'NR == 2 {print $4}')
    if [ "$disk" -gt "$free" ]; then
        fail "$NAV_DATA has $free MB free, and set-up takes $disk MB there: make room, or name a folder on another disk in NAV_PKG_SHARE"
    fi
}

step_apt() {
    [ ${#missing[@]} -gt 0 ] || return 0
    say "installing Debian packages with apt (ROS 1 and build tools; ${#missing[@]} are missing)"
    local apt=("${root[@]}" env DEBIAN_FRONTEND=noninteractive)
    local options=(-o DPkg::Lock::Timeout=600 -o Acquire::Retries=3)
    # What an interrupted run left half installed; harmless when there is nothing.
    logged "${apt[@]}" dpkg --configure -a || true
    # An unreachable third-party source makes update fail; the packages asked for decide.
    logged "${apt[@]}" apt-get "${options[@]}" update || true
    logged "${apt[@]}" apt-get "${options[@]}" install -y -f --no-install-recommends "${missing[@]}" || failed_step "apt could not install the packages"
    mapfile -t missing < <(missing_packages)
    [ ${#missing[@]} = 0 ] || fail "still not installed after apt: ${missing[*]} (see $NAV_LOG)"
}

failed_step() { # failed_step WHAT: its last words, then the one line that names the log
    tail -n 15 "$NAV_LOG" | sed 's/^/  | /' >&2
    fail "$1: see $NAV_LOG, put it right and run 'make setup' again"
}

can_make() { # can_make WHAT: where the folder of what is shared is an image's, it has to be there
    [ -w "$NAV_DATA" ] || fail "$NAV_DATA has no $1 for this checkout, and can not be written to: use the code that the image was made of, or 'unset NAV_PKG_SHARE' to make one in the home folder"
}

step_venv() {
    local venv
    venv=$(venv_dir)
    if "$NAV_REPO/setup/check" venv 2>/dev/null; then return; fi
    can_make "Python environment"
    say "making the Python environment $venv (some minutes)"
    logged "$NAV_REPO/setup/venv.sh" || failed_step "the Python environment could not be made"
}

# prefix_is_made PREFIX RECIPE CHECK NAME: whole and not older than this checkout's recipe; else says why not.
prefix_is_made() {
    local why
    rm -rf "$1.new" "$1.old" # of an interrupted run
    if why=$("$NAV_REPO/setup/check" "$3" 2>&1); then
        # Checkouts share the folder: a newer one's recipe serves an older one as well.
        if [ "$(cat "$1/RECIPE" 2>/dev/null || echo 0)" -ge "$2" ]; then return; fi
        why="setup: $4's folder was made by an older set-up"
    fi
    if [ -e "$1" ]; then say "${why#setup: }"; fi
    return 1
}

step_gazebo() {
    [ "$PLATFORM" != noetic ] || return 0
    if prefix_is_made "$NAV_PREFIX" "$NAV_RECIPE" prefix Gazebo; then return; fi
    can_make "Gazebo 11"
    say "making Gazebo 11's folder $NAV_PREFIX"
    logged "$NAV_REPO/setup/gazebo.sh" || failed_step "Gazebo 11 could not be made"
}

step_condor() { # for personal pools; all else works without
    local own
    if own=$(own_condor); then
        say "HTCondor: $own is used, nothing is made"
        return
    fi
    if [ "$PLATFORM" = noetic ]; then
        say "HTCondor: none is installed, and only Debian 12 lets set-up make one; the cluster's commands need CONDOR_CONFIG or condor_master on the PATH"
        return
    fi
    if ! [ -w "$NAV_DATA" ]; then return; fi # jobs need none
    if prefix_is_made "$NAV_CONDOR" "$NAV_CONDOR_RECIPE" condor HTCondor; then return; fi
    say "making HTCondor's folder $NAV_CONDOR"
    logged "$NAV_REPO/setup/condor.sh" ||
        say "HTCondor could not be made (see $NAV_LOG): all but the cluster's commands works; 'make setup' tries again"
}

step_build() {
    mkdir -p "$NAV_REPO/build"
    if [ "$(cat "$NAV_WS/.complete" 2>/dev/null)" != "$(build_key)" ] ||
        [ ! -e "$NAV_WS/devel/lib/libnav_pkg_gazebo.so" ]; then
        say "building messages, services and the Gazebo plugin in build/.ws"
        logged "$NAV_REPO/setup/build.sh" || failed_step "the catkin build failed"
    else
        link_checkout
    fi
    local new=$NAV_REPO/build/env.new
    printf 'export NAV_PKG_VENV=%q\n' "$(venv_dir)" >"$new"
    mv -f "$new" "$NAV_REPO/build/env"
}

step_worlds() { # quick when up to date; the command compares contents itself
    local plan world
    for plan in "$NAV_REPO"/nav_pkg/world/plans/*.json; do
        world=$(basename "$plan" .json)
        logged env PYTHONPATH="$NAV_REPO" "$(venv_dir)/bin/python" "$NAV_REPO/scripts/make_world.py" "$world" ||
            failed_step "the world $world could not be made"
    done
}

exec 3>&1 # the steps' own words to the user; the rest of what they write goes to the log
step_platform
if [ -n "$check" ]; then
    step_rights
    exit 0
fi
step_lock
started=$SECONDS
step_rights
step_announce
step_apt
step_venv
step_gazebo
step_condor
step_build
step_worlds
places="Python environment $(venv_dir), build $NAV_REPO/build"
[ "$PLATFORM" = noetic ] || places="Gazebo $NAV_PREFIX, $places"
say "done in $((SECONDS - started)) s: $places; log: $NAV_LOG; in a shell of your own: source env.sh"
