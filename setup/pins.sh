#!/bin/bash
# Writes setup/*.lock: the versions of setup/requirements*.txt with the sums of all their files, for every
# system and Python. Run by `make pins` after a change of a version; needs a package index.
#
# torch is not in it: which file it is depends on the index (docs/setup.md), and an index of CPU builds has
# other sums than the public one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
/usr/bin/python3 -m venv "$tools"
"$tools/bin/python" -m pip install --disable-pip-version-check -q uv==0.13.9
for pins in requirements*.txt; do
    version=3.11
    [ "$pins" != requirements-py3.8.txt ] || version=3.8.10 # Ubuntu 20.04's
    # The list is whole (test/setup holds that): nothing is resolved.
    UV_FIND_LINKS='' "$tools/bin/uv" pip compile -q --no-deps --no-annotate --generate-hashes --no-emit-package torch \
        --python-version "$version" --custom-compile-command 'make pins' "$pins" -o "${pins%.txt}.lock"
done
