#!/usr/bin/env bash
# Installs the DuckDB that tests count by into the cache, once per version, from PyPI.
# A folder that does not give DuckDB is made anew.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

version=2.0.1
home="$TIDERACE_CACHE/duckdb"
venv="$home/venv-$version"
if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -c 'import duckdb' 2>/dev/null; then
    echo "installing DuckDB $version in $venv"
    rm -rf "$venv"
    mkdir -p "$home"
    python3 -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "duckdb==$version"
fi
