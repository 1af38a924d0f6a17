#!/bin/bash
# Makes the virtual environment that the pinned requirements ask for.
#
# Every file but torch's has to have one of the sums in setup/*.lock (`make pins`), whatever index it comes from.
# A virtual environment can not be made beside and renamed (its scripts hold absolute paths), so a
# stamp written last says that it is whole; one without the stamp is removed and made again. Its
# name holds the hash of the requirements: checkouts with different ones never disturb each other.
set -euo pipefail
# shellcheck source=setup/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
unset PYTHONPATH # pip would take what lies there for installed

venv=$(venv_dir)
pins=$(requirements "$(python_version)")
rm -rf "$venv"
mkdir -p "$NAV_DATA"
/usr/bin/python3 -m venv --system-site-packages "$venv"
# The settings of pip (index, mirror, wheel folder) are the user's own.
install=("$venv/bin/python" -m pip install --disable-pip-version-check --no-input --progress-bar off --retries 5)
"${install[@]}" --no-deps --require-hashes -r "${pins%.txt}.lock"
# Its builds differ from index to index (CPU, CUDA): by version, from an index that the user trusts.
"${install[@]}" -c "$pins" "$(grep '^torch==' "$pins")"
# What fails here would otherwise fail in the middle of a flight. cv2 and cv_bridge are the system's.
"$venv/bin/python" -c 'import numpy, matplotlib, torch, simplejpeg, isal.isal_zlib, loky, rosbags.rosbag1, onnx, onnxruntime, msgspec, flask, moderngl, glcontext, gymnasium, cv2'
sync -f "$venv/bin/python"
: >"$venv/.complete"
