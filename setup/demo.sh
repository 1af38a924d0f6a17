#!/bin/bash
# `make demo`: sets up what it needs and runs the demo, in Gazebo where that can be set up, else in the embedded
# simulator. SIMULATOR=gazebo or SIMULATOR=embedded chooses.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

simulator=${SIMULATOR:-}
case $simulator in
    "" | gazebo | embedded) ;;
    *)
        echo "setup: SIMULATOR=$simulator: has to be gazebo or embedded" >&2
        exit 2
        ;;
esac
if [ -z "$simulator" ]; then
    simulator=gazebo
    if ! why=$(setup/setup.sh --check 2>&1); then
        echo "$why"
        echo "setup: so the demo runs in the embedded simulator, which needs Python alone (SIMULATOR=gazebo requires Gazebo)"
        simulator=embedded
    fi
fi
if [ "$simulator" = gazebo ]; then
    setup/setup.sh
    # shellcheck disable=SC1091
    . ./env.sh
    exec python scripts/demo.py
fi
exec 3>&1 # what set-up prints; its last line is the environment's folder
venv=$(setup/embedded.sh | tee /dev/fd/3 | tail -n 1)
exec "$venv/bin/nav_pkg" demo --simulator embedded
