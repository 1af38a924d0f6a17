# Names, messages and waiting shared by the set-up scripts. Sourced, never run.
# shellcheck shell=bash disable=SC2034

NAV_REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
NAV_DATA=${NAV_PKG_SHARE:-$HOME/.local/share/nav_pkg} # made once a user, shared by all checkouts
NAV_CACHE=$HOME/.cache/nav_pkg # downloads and the log
NAV_LOG=$NAV_CACHE/setup.log
NAV_PREFIX=$NAV_DATA/gazebo-11
NAV_RECIPE=3                        # of the prefix: one more whenever what goes into it changes
NAV_CONDOR=$NAV_DATA/condor
NAV_CONDOR_RECIPE=1                 # likewise
# The point keeps ROS away, which follows links: in a workspace that the checkout is linked into, it would
# find every launch file twice.
NAV_WS=$NAV_REPO/build/.ws
NAV_NOETIC=${NAV_PKG_NOETIC:-/opt/ros/noetic} # tests point these two elsewhere
NAV_OS_RELEASE=${NAV_PKG_OS_RELEASE:-/etc/os-release}

say() {
    printf 'setup: %s\n' "$*"
    [ -z "${logging:-}" ] || printf '%s %s\n' "$(date +%T)" "$*" >>"$NAV_LOG"
}

fail() { # fail MESSAGE: one line on stderr, exit code 2 (wrong use, do not retry)
    printf 'setup: %s\n' "$*" >&2
    [ -z "${logging:-}" ] || printf '%s FAILED: %s\n' "$(date +%T)" "$*" >>"$NAV_LOG"
    exit 2
}

# logged COMMAND...: its output goes to the log; every 10 s one line says that it is alive.
# The command stays in the foreground, so that Ctrl-C reaches it; the ticker closes the
# lock's descriptor (9), so that it can not hold the lock when this script was killed.
logged() {
    local ticker rc=0 owner=$$
    printf '%s + %s\n' "$(date +%T)" "$*" >>"$NAV_LOG"
    (
        exec 9>&-
        waited=0
        while sleep 1 && kill -0 "$owner" 2>/dev/null; do
            waited=$((waited + 1))
            if [ $((waited % 10)) = 0 ]; then
                printf '  %4d s  %.100s\n' "$waited" "$(tail -c 2000 "$NAV_LOG" | LC_ALL=C tr -c '\n -~' '\n' | grep '[A-Za-z]' | tail -n 1)"
            fi
        done
    ) &
    ticker=$!
    "$@" >>"$NAV_LOG" 2>&1 || rc=$?
    kill "$ticker" 2>/dev/null || true
    wait "$ticker" 2>/dev/null || true
    return "$rc"
}

platform() { # prints noetic, debian12 or nothing
    if [ -f "$NAV_NOETIC/setup.bash" ]; then
        if [ -x "$(command -v gzserver || true)" ] && gzserver_is_11; then
            echo noetic
        fi
    elif grep -qs '^ID="\?debian"\?$' "$NAV_OS_RELEASE" && grep -qs '^VERSION_ID="\?12"\?$' "$NAV_OS_RELEASE"; then
        echo debian12
    fi
}

gzserver_is_11() { # by its file name (gzserver -> gzserver-11.x.y): running it costs half a second
    case $(readlink -f "$(command -v gzserver)") in
        *-11.*) return 0 ;;
    esac
    gzserver --version 2>/dev/null | grep -q 'version 11\.'
}

venv_dir() { # the virtual environment these requirements ask for, whether made or not
    local version sum
    version=$(python_version)
    sum=$(grep -v -E '^ *(#|$)' "$(requirements "$version")" | sha256sum | cut -c1-8)
    echo "$NAV_DATA/venv-$version-$(torch_kind)-$sum"
}

torch_kind() { # cpu or cuda: a home folder can be shared by hosts with and without a GPU, which get different builds
    if [ -n "${NAV_PKG_TORCH:-}" ]; then
        echo "$NAV_PKG_TORCH" # of a container's image, which is built on one host and run on others
    elif has_gpu; then
        echo cuda
    else
        echo cpu
    fi
}

# torch_offer: what pip's index has of the pinned torch: small (a CPU build), large (CUDA alone), or unknown,
# where pip can't be asked yet.
torch_offer() {
    local pip version offered
    version=$(sed -n 's/^torch==//p' "$(requirements "$(python_version)")")
    if [ "$(torch_kind)" = cuda ]; then
        echo large
        return
    fi
    # Out of the file that venv takes it from: making an environment takes seconds.
    pip=$(find /usr/share/python-wheels -name 'pip-*.whl' 2>/dev/null | head -n 1)
    offered=$(/usr/bin/python3 "$pip/pip" index versions torch --disable-pip-version-check 2>>"$NAV_LOG") || true
    case "$offered" in
        *" $version+cpu"*) echo small ;;
        *" $version"*) echo large ;;
        *) echo unknown ;;
    esac
}

python_version() { /usr/bin/python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])'; }

requirements() { # requirements PYTHON_VERSION: the pinned list for it
    if [ -f "$NAV_REPO/setup/requirements-py$1.txt" ]; then
        echo "$NAV_REPO/setup/requirements-py$1.txt"
    else
        echo "$NAV_REPO/setup/requirements.txt"
    fi
}

has_gpu() { [ -e /dev/nvidiactl ] || [ -e /proc/driver/nvidia/version ]; }

debian_packages() { sed -e 's/#.*//' -e '/^ *$/d' -e 's/ *$//' "$NAV_REPO/setup/packages-debian12.txt"; }

own_condor() { # the machine's own HTCondor, said in a few words; 1 when there is none
    if [ -n "${CONDOR_CONFIG:-}" ]; then
        echo "the pool of CONDOR_CONFIG ($CONDOR_CONFIG)"
    elif command -v condor_master >/dev/null && [ "$(command -v condor_master)" != "$NAV_CONDOR/sbin/condor_master" ]; then
        echo "the machine's own ($(command -v condor_master))"
    else
        return 1
    fi
}

plugin_folder() { # of the catkin workspace whose setup file this shell has read; else of the checkout's own build
    local prefix prefixes
    IFS=: read -ra prefixes <<<"${CMAKE_PREFIX_PATH:-}"
    # An installed nav_pkg lies in PREFIX/share/nav_pkg.
    for prefix in "${prefixes[@]}" "${NAV_REPO%/share/nav_pkg}"; do
        if [ -e "$prefix/lib/libnav_pkg_gazebo.so" ]; then
            echo "$prefix/lib"
            return
        fi
    done
    echo "$NAV_WS/devel/lib"
}

link_checkout() { # links every entry of the checkout that catkin or ROS may look for
    local entry links=$NAV_WS/src/nav_pkg
    mkdir -p "$links"
    find "$links" -xtype l -delete # of entries that are no more
    for entry in "$NAV_REPO"/*; do
        # Not what runs write: rosrun searches the whole folder, and data is large.
        case ${entry##*/} in build | data | demo | log) continue ;; esac
        [ -e "$links/${entry##*/}" ] || ln -s "$entry" "$links/${entry##*/}"
    done
}

build_key() { # what the build was made from: its inputs' content and the folders it points into
    (
        cd "$NAV_REPO" || exit
        echo "$NAV_REPO" "$(venv_dir)" "$NAV_RECIPE"
        find CMakeLists.txt package.xml setup.py gazebo_msgs msg srv src setup/build.sh setup/where setup/*.in -type f 2>/dev/null |
            LC_ALL=C sort | xargs -d '\n' sha256sum
        find scripts nav_pkg -maxdepth 1 ! -name __pycache__ 2>/dev/null | LC_ALL=C sort
    ) | sha256sum
}
