#!/bin/bash
# Every check that runs no code of ours. In a shell with env.sh; goes on after a failure, so that one
# run shows all of them.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2
: "${NAV_PKG_ROOT:?source env.sh first}"

failed=()
check() { # check NAME COMMAND...
    local name=$1
    shift
    echo "lint: $name"
    "$@" || failed+=("$name")
}

check 'ruff check' ruff check --quiet .
check 'ruff format' ruff format --check --quiet .
check 'Python 3.8 (vermin)' vermin --quiet --no-tips --no-parse-comments -t=3.8- --violations nav_pkg scripts test setup setup.py
check 'import layers' lint-imports --no-cache --no-logo
# Debian keeps no rosdep database, so catkin_lint can not look up names that are no packages here.
check 'catkin_lint' catkin_lint --quiet --strict -W2 --offline . gazebo_msgs
if command -v shellcheck >/dev/null; then check shellcheck shellcheck -x setup/*.sh setup/check setup/gzserver env.sh; fi

if [ ${#failed[@]} -gt 0 ]; then
    printf 'lint: failed: %s\n' "${failed[*]}" >&2
    exit 1
fi
