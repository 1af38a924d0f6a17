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

# Programs, plugins and headers; the libraries they need follow from apt's own dependency data.
RUN_PACKAGES=(gazebo gazebo-common gazebo-plugin-base libgazebo11 sdformat-sdf)
DEV_PACKAGES=(libgazebo-dev libsdformat-dev libignition-math-dev libignition-common-dev
    libignition-msgs-dev libignition-transport-dev libignition-fuel-tools-dev libprotobuf-dev
    libtbb-dev libogre-1.9-dev libtinyxml-dev libtinyxml2-dev)
SUITE=bullseye
DEBS=$NAV_CACHE/gazebo-11-debs
APT=$NAV_CACHE/gazebo-11-apt
export APT_CONFIG=$APT/apt.conf

private_apt() { # an apt of our own that knows only the suite, with an empty list of installed packages
    local sites site
    # What the machine's apt already has of the suite, else the mirror of its own release.
    # shellcheck disable=SC2016
    sites=$(APT_CONFIG='' apt-get indextargets --format '$(CREATED_BY)|$(CODENAME)|$(SITE)')
    site=$(sed -n "s/^Packages|$SUITE|//p" <<<"$sites" | head -n 1)
    [ -n "$site" ] || site=$(sed -n 's/^Packages|bookworm|//p' <<<"$sites" | head -n 1)
    [ -n "$site" ] || fail "apt knows no Debian mirror (suite bookworm): add Debian 12 to apt's sources, run 'apt-get update' and start again"
    rm -rf "$APT"
    mkdir -p "$APT/state/lists/partial" "$APT/cache/archives/partial"
    : >"$APT/state/status"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $site $SUITE main" >"$APT/sources.list"
    cat >"$APT_CONFIG" <<CONF
Dir::State "$APT/state";
Dir::State::status "$APT/state/status";
Dir::Cache "$APT/cache";
Dir::Etc::sourcelist "$APT/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
APT::Install-Recommends "false";
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::Retries "3";
Acquire::http::Timeout "60";
CONF
    apt-get update
    apt-cache show --no-all-versions gazebo >/dev/null 2>&1 ||
        fail "the mirror $site can not be reached or does not carry Debian 11 ($SUITE): mend the connection, or add a source of $SUITE to apt's, and start again"
}

# The installed packages that set-up asked for, with all they depend on. Only these give libraries from
# the host: any other package may be removed again, and the simulator with it.
host_packages() {
    # shellcheck disable=SC2046
    APT_CONFIG='' apt-cache depends --recurse --installed --no-recommends --no-suggests --no-conflicts \
        --no-breaks --no-replaces --no-enhances $(debian_packages) | grep '^[a-z0-9]' | sort -u |
        comm -12 - <(dpkg-query -W -f '${db:Status-Status} ${Package}\n' | sed -n 's/^installed //p' | sort -u)
}

download() {
    local wanted
    mkdir -p "$DEBS"
    wanted=$(
        {
            printf '%s\n' "${DEV_PACKAGES[@]}"
            # Everything Gazebo would pull into an empty Debian 11 ...
            apt-get install -s "${RUN_PACKAGES[@]}" | awk '/^Inst/ {print $2}'
        } | sort -u |
            # ... less data that no part we use reads ...
            grep -v -E '^(libllvm11|proj-data|gdal-data|mysql-common|mariadb-common|fonts-.*)$' |
            # ... less what the host is sure to have.
            comm -23 - <(host_packages)
    )
    # apt downloads into a partial folder, checks the sums and renames: a cut download is never taken.
    # shellcheck disable=SC2086
    (cd "$DEBS" && apt-get download $wanted)
    : >"$DEBS/.complete"
}

lay_out() { # lay_out PREFIX
    local unpacked=$NAV_CACHE/gazebo-11-unpacked deb
    rm -rf "$unpacked" "$1"
    mkdir -p "$unpacked" "$1"
    for deb in "$DEBS"/*.deb; do
        dpkg-deb -x "$deb" "$unpacked" || return 1
    done
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

make_prefix() {
    local new=$NAV_PREFIX.new
    if [ ! -e "$DEBS/.complete" ]; then
        echo "downloading"
        private_apt
        download
    fi
    echo "unpacking"
    if ! { lay_out "$new" && try_out "$new"; }; then
        # Not by a bad download (apt checks sums), but the host may have changed since: fetch afresh.
        rm -rf "$DEBS" "$new"
        echo "the kept packages do not make a working Gazebo here; fetching them again"
        private_apt
        download
        if ! { lay_out "$new" && try_out "$new"; }; then return 1; fi
    fi
    echo "$NAV_RECIPE" >"$new/RECIPE"
    # shellcheck disable=SC2094
    (cd "$new" && find . ! -type d ! -name MANIFEST -printf '%s %P\n' | LC_ALL=C sort -k2 >MANIFEST)
    sync -f "$new/MANIFEST"
    # Between these two renames there is no prefix: an interruption there is completed by the next run.
    rm -rf "$NAV_PREFIX.old"
    [ ! -e "$NAV_PREFIX" ] || mv -T "$NAV_PREFIX" "$NAV_PREFIX.old"
    mv -T "$new" "$NAV_PREFIX"
    rm -rf "$NAV_PREFIX.old" "$APT"
}

mkdir -p "$NAV_DATA" "$NAV_CACHE"
make_prefix
