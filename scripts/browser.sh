#!/usr/bin/env bash
# Installs what drives the browser in the tests of the console into the cache, once per list, from PyPI. The browser
# is the system's own Chromium: scripts/setup.sh installs it. The list is copied last, so a half-made
# environment is never taken for a whole one; the test compares it with its own.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

list=tests/tests/console/requirements.txt
home="$TIDERACE_CACHE/browser"
if ! cmp -s "$list" "$home/requirements.txt" || ! "$home/venv/bin/python" -c 'import playwright.sync_api' 2>/dev/null; then
    echo "installing what drives the browser in $home"
    rm -rf "$home"
    mkdir -p "$home"
    python3 -m venv "$home/venv"
    "$home/venv/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary=:all: -r "$list"
    cp "$list" "$home/requirements.txt"
fi
