#!/usr/bin/env bash
# Unpacks the schema registry that the tests run into the cache, once per pom.
# The pom is copied last, so a half-unpacked folder is never taken for a whole one;
# the tests compare it with theirs.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

pom=tests/registry/pom.xml
registry="$TIDERACE_CACHE/registry"
if ! cmp -s "$pom" "$registry/pom.xml"; then
    echo "unpacking the schema registry to $registry"
    rm -rf "$registry"
    mkdir -p "$registry"
    mvn -q -B -f "$pom" dependency:unpack -DoutputDirectory="$registry/app" </dev/null
    cp "$pom" "$registry/pom.xml"
fi
