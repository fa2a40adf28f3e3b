#!/usr/bin/env bash
# Installs the two versions of Feast's Python SDK that tests ask through into the cache, from PyPI, once.
# Each has an environment of its own; what they import beside Feast is the same, and lies there once.
# An environment that lacks it, or was made by other pins, is made anew.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

versions=(0.58.0 0.67.0)
pins=tests/tests/feast/requirements.txt
home="$TIDERACE_CACHE/feast"
shared="$home/shared"

# The pins, the versions and this script: a change of any of them installs anew.
made_by() { cat "$pins" "scripts/feast.sh"; }

# What is there was made by the same, and no venv lost its Python.
ready() {
    cmp -s "$home/made-by" <(made_by) || return 1
    local version
    for version in "${versions[@]}"; do
        [ "$("$home/venv-$version/bin/python" -c '
import importlib.metadata
print(importlib.metadata.version("feast"))' 2>/dev/null)" = "$version" ] || return 1
    done
}

pip() { "$shared/bin/python" -m pip --quiet --disable-pip-version-check "$@"; }
packages() { "$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }

if ! ready; then
    echo "installing Feast ${versions[*]} in $home"
    rm -rf "$home"
    mkdir -p "$home"
    python3 -m venv "$shared"
    pip install --only-binary=:all: --no-compile --no-deps -r "$pins"
    for version in "${versions[@]}"; do
        venv="$home/venv-$version"
        python3 -m venv --without-pip "$venv"
        pip install --only-binary=:all: --no-compile --no-deps \
            --target "$(packages "$venv")" "feast==$version"
        packages "$shared" >"$(packages "$venv")/shared.pth"
        rm -rf "$(packages "$venv")/feast/ui"
    done
    # Two hundred megabytes that no client reads.
    find "$(packages "$shared")" -type d \( -name tests -o -path '*/pyarrow/include' \) -prune -exec rm -rf {} +
    for version in "${versions[@]}"; do
        "$home/venv-$version/bin/python" -W ignore -c 'import feast, grpc, feast.infra.online_stores.remote'
    done
    made_by >"$home/made-by"
fi
