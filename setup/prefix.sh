# Folders made from packages of another Debian suite than the machine's ("prefixes"). Sourced after lib.sh.
# shellcheck shell=bash

# private_apt FOLDER SUITE PACKAGE: an apt of our own that knows only the suite, with an empty list of
# installed packages; from here on apt's programs use it. 1 when the mirror does not have the package.
private_apt() {
    local apt=$1 suite=$2 package=$3 sites site
    # What the machine's apt already has of the suite, else the mirror of its own release.
    # shellcheck disable=SC2016
    sites=$(APT_CONFIG='' apt-get indextargets --format '$(CREATED_BY)|$(CODENAME)|$(SITE)')
    site=$(sed -n "s/^Packages|$suite|//p" <<<"$sites" | head -n 1)
    [ -n "$site" ] || site=$(sed -n 's/^Packages|bookworm|//p' <<<"$sites" | head -n 1)
    [ -n "$site" ] || fail "apt knows no Debian mirror (suite bookworm): add Debian 12 to apt's sources, run 'apt-get update' and start again"
    rm -rf "$apt"
    mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial"
    : >"$apt/state/status"
    # A mirror that is not kept up to date is signed all the same.
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg check-valid-until=no] $site $suite main" >"$apt/sources.list"
    cat >"$apt/apt.conf" <<CONF
Dir::State "$apt/state";
Dir::State::status "$apt/state/status";
Dir::Cache "$apt/cache";
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
APT::Install-Recommends "false";
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::Retries "3";
Acquire::http::Timeout "60";
CONF
    export APT_CONFIG=$apt/apt.conf
    apt-get update
    apt-cache show --no-all-versions "$package" >/dev/null 2>&1 || {
        echo "the mirror $site can not be reached or does not carry $package of the suite $suite"
        return 1
    }
}

# The installed packages that set-up asked for, with all they depend on. Only these give libraries from
# the host: any other package may be removed again, and the simulator with it. Qt (which OpenCV depends on)
# is not taken from the host: Qt's plugins work only with the Qt libraries of their own version.
host_packages() {
    # shellcheck disable=SC2046
    APT_CONFIG='' apt-cache depends --recurse --installed --no-recommends --no-suggests --no-conflicts \
        --no-breaks --no-replaces --no-enhances $(debian_packages) | grep '^[a-z0-9]' | grep -v '^libqt[56]' | sort -u |
        comm -12 - <(dpkg-query -W -f '${db:Status-Status} ${Package}\n' | sed -n 's/^installed //p' | sort -u)
}

wanted_by() { apt-get install -s "$@" | awk '/^Inst/ {print $2}'; } # all that these bring into an empty system

# fetch FOLDER PACKAGE...: apt downloads into a partial folder, checks the sums and renames, so that a cut
# download is never taken. The sums, of the suite's signed index, are kept beside the packages; they are
# written last, so that a folder without them is not whole.
fetch() {
    local debs=$1 sums
    shift
    mkdir -p "$debs"
    rm -f "$debs/SHA256SUMS"
    # 'URI' FILE SIZE SHA256:SUM, a line a package; of those that the present folder has not.
    sums=$(cd "$(dirname "$APT_CONFIG")" && apt-get download --print-uris "$@" | sed -n "s/^'.*' \([^ /]*\.deb\) [0-9]* SHA256:\([0-9a-f]\{64\}\)$/\2  \1/p") || return 1
    if [ "$(wc -l <<<"$sums")" != $# ]; then
        echo "apt names the sums of $(wc -l <<<"$sums") of $# packages"
        return 1
    fi
    (cd "$debs" && apt-get download "$@") || return 1
    echo "$sums" >"$debs/SHA256SUMS.new"
    mv "$debs/SHA256SUMS.new" "$debs/SHA256SUMS"
}

unpack() { # unpack DEBS FOLDER: the packages whose sums are kept, checked again
    local deb
    rm -rf "$2"
    mkdir -p "$2"
    (cd "$1" && sha256sum --strict --quiet --check SHA256SUMS) || return 1
    while read -r _ deb; do
        dpkg-deb -x "$1/$deb" "$2" || return 1
    done <"$1/SHA256SUMS"
}

# make_prefix PREFIX DEBS: with the caller's functions `download`, `lay_out NEW` and `try_out NEW`.
# Made beside its place and moved there by one rename; from kept packages without a network.
make_prefix() {
    local prefix=$1 debs=$2 new=$1.new
    mkdir -p "$NAV_DATA" "$NAV_CACHE"
    if [ ! -s "$debs/SHA256SUMS" ]; then
        echo "downloading"
        download
    fi
    echo "unpacking"
    if ! { lay_out "$new" && try_out "$new"; }; then
        # A file was changed, or else the host: fetch afresh.
        rm -rf "$debs" "$new"
        echo "the kept packages do not work here; fetching them again"
        download
        if ! { lay_out "$new" && try_out "$new"; }; then return 1; fi
    fi
    echo "$3" >"$new/RECIPE"
    # shellcheck disable=SC2094
    (cd "$new" && find . ! -type d ! -name MANIFEST -printf '%s %P\n' | LC_ALL=C sort -k2 >MANIFEST)
    sync -f "$new/MANIFEST"
    # Between these two renames there is no prefix: an interruption there is completed by the next run.
    rm -rf "$prefix.old"
    [ ! -e "$prefix" ] || mv -T "$prefix" "$prefix.old"
    mv -T "$new" "$prefix"
    rm -rf "$prefix.old"
}
