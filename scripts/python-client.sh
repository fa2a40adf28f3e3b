#!/usr/bin/env bash
# Installs what the tests of the Python client run with into the cache, once per list, from PyPI.
# The list is copied last, so a half-made environment is never taken for a whole one;
# the tests compare it with theirs.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

list=clients/python/requirements.txt
home="$TIDERACE_CACHE/python-client"
if ! cmp -s "$list" "$home/requirements.txt" || ! "$home/venv/bin/python" -c 'import grpc, pyarrow' 2>/dev/null; then
    if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        echo "the Python client needs Python 3.11 or later, and python3 is $(python3 --version)" >&2
        exit 1
    fi
    echo "installing what the Python client's tests need in $home"
    rm -rf "$home"
    mkdir -p "$home"
    python3 -m venv "$home/venv"
    "$home/venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$list"
    cp "$list" "$home/requirements.txt"
fi
