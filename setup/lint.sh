#!/bin/bash
# Every check that runs no code of ours. In a shell with env.sh; continues after a failure, so that one
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

check 'ruff check' ruff check --output-format concise --quiet .
check 'ruff format' ruff format --check --output-format concise .
# vermin takes every .decode() for Python 2's of str.
check 'Python 3.8 (vermin)' vermin --quiet --no-tips --no-parse-comments --exclude str.decode -t=3.8- --violations nav_pkg bench scripts test setup setup.py
check 'import layers' lint-imports --no-cache --no-logo
check 'types of the core (mypy)' mypy --no-error-summary
# Of the workspace's folder, which has the package's name; the checkout may have another. Offline: Debian
# keeps no rosdep database to look up names in.
check 'catkin_lint' catkin_lint --quiet --strict -W2 --offline build/.ws/src/nav_pkg gazebo_msgs
if command -v shellcheck >/dev/null; then check shellcheck shellcheck -x setup/*.sh setup/check setup/gzserver env.sh; fi

if [ ${#failed[@]} -gt 0 ]; then
    printf 'lint: failed: %s\n' "${failed[*]}" >&2
    exit 1
fi
