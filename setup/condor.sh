#!/bin/bash
# Makes HTCondor's prefix: a newer Debian's HTCondor in a folder of its own, run natively on Debian 12.
#
# Debian 12 has no HTCondor. The packages come from the Debian mirror that this machine's apt uses,
# through a private apt state, as an ordinary user. The programs are changed to load that suite's own
# C library and libraries out of the folder; nothing is set in the environment, so that jobs are plain
# processes of this machine. The downloads stay in ~/.cache/nav_pkg, so that the folder is made again
# without the network.
set -euo pipefail
# shellcheck source=setup/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=setup/prefix.sh
. "$NAV_REPO/setup/prefix.sh"

SUITES=(sid trixie) # 25.14.1, the version of the Python bindings; 23.9.6
DEBS=$NAV_CACHE/condor-debs
APT=$NAV_CACHE/condor-apt

download() {
    local suite wanted
    for suite in "${SUITES[@]}" none; do
        [ "$suite" != none ] || fail "no Debian suite with HTCondor (${SUITES[*]}) can be had: mend the connection and start again"
        if private_apt "$APT" "$suite" condor; then break; fi
    done
    # Perl, Python, systemd and the like serve parts that a personal pool does not have; of the libraries, those
    # that are needed are taken when the folder is laid out.
    wanted=$(wanted_by condor patchelf | grep -E '^(condor|patchelf|lib.*|gcc-.*-base|zlib1g)$' |
        grep -v -E '^lib(perl|python)')
    # shellcheck disable=SC2086
    fetch "$DEBS" $wanted
}

lay_out() { # lay_out PREFIX: its programs are made to run in $NAV_CONDOR
    local unpacked=$NAV_CACHE/condor-unpacked
    unpack "$DEBS" "$unpacked" || return 1
    rm -rf "$1"
    /usr/bin/python3 "$NAV_REPO/setup/condor_prefix.py" "$unpacked" "$1" "$NAV_CONDOR" || return 1
    rm -rf "$unpacked"
}

try_out() { # try_out PREFIX: it is HTCondor, and no program lacks a library
    local loader=$1/lib/ld-linux-x86-64.so.2 program
    "$loader" "$1/bin/condor_version" >"$1/VERSION" || return 1
    head -n 1 "$1/VERSION"
    while read -r program; do
        "$loader" --list "$1/$program" >/dev/null || return 1
    done <"$1/PROGRAMS"
}

make_prefix "$NAV_CONDOR" "$DEBS" "$NAV_CONDOR_RECIPE"
rm -rf "$APT"
