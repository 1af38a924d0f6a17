#!/bin/bash
# Makes the Gazebo 11 prefix: Debian 11's Gazebo in a folder of its own, run natively on Debian 12.
#
# The packages come from the Debian mirror that this machine's apt uses, through a private apt
# state, as an ordinary user. What a run needs and the host lacks is laid out beside the final
# place, tried, and moved there by one rename. The downloads stay in ~/.cache/nav_pkg, so that a
# damaged prefix is made again without the network.
set -euo pipefail
# shellcheck source=setup/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=setup/prefix.sh
. "$NAV_REPO/setup/prefix.sh"

# Programs, plugins and headers; the libraries they need follow from apt's own dependency data.
RUN_PACKAGES=(gazebo gazebo-common gazebo-plugin-base libgazebo11 sdformat-sdf)
DEV_PACKAGES=(libgazebo-dev libsdformat-dev libignition-math-dev libignition-common-dev
    libignition-msgs-dev libignition-transport-dev libignition-fuel-tools-dev libprotobuf-dev
    libtbb-dev libogre-1.9-dev libtinyxml-dev libtinyxml2-dev)
SUITE=bullseye
DEBS=$NAV_CACHE/gazebo-11-debs
APT=$NAV_CACHE/gazebo-11-apt

download() {
    local wanted
    private_apt "$APT" "$SUITE" gazebo ||
        fail "Debian 11 ($SUITE) can not be had: mend the connection, or add a source of $SUITE to apt's, and start again"
    wanted=$(
        {
            printf '%s\n' "${DEV_PACKAGES[@]}"
            # Everything Gazebo would pull into an empty Debian 11 ...
            wanted_by "${RUN_PACKAGES[@]}"
        } | sort -u |
            # ... less data that no part we use reads ...
            grep -v -E '^(libllvm11|proj-data|gdal-data|mysql-common|mariadb-common|fonts-.*)$' |
            # ... less what the host is sure to have.
            comm -23 - <(host_packages)
    )
    # shellcheck disable=SC2086
    fetch "$DEBS" $wanted
}

lay_out() { # lay_out PREFIX
    local unpacked=$NAV_CACHE/gazebo-11-unpacked
    rm -rf "$1"
    mkdir -p "$1"
    unpack "$DEBS" "$unpacked" || return 1
    host_packages | /usr/bin/python3 "$NAV_REPO/setup/gazebo_prefix.py" "$unpacked" "$1" || return 1
    rm -rf "$unpacked"
}

try_out() { # try_out PREFIX: gzserver starts and no library is missing
    local missing version
    missing=$(export LD_LIBRARY_PATH="$1/lib"
        find "$1/bin" "$1/lib" -type f \( -name '*.so*' -o -name 'gz*' \) -exec ldd {} + 2>&1 | grep -E 'not found' | sort -u || true)
    if [ -n "$missing" ]; then
        echo "libraries missing in $1:"
        echo "$missing"
        return 1
    fi
    version=$(LD_LIBRARY_PATH="$1/lib" timeout 60 "$1/bin/gzserver" --version) || true # it exits with 255
    echo "$version" | head -n 1
    case $version in *'version 11.'*) ;; *) return 1 ;; esac
}

make_prefix "$NAV_PREFIX" "$DEBS" "$NAV_RECIPE"
rm -rf "$APT"
