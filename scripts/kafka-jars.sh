#!/usr/bin/env bash
# Copies the jars of the Kafka that the tests run into the cache, once.
# Prints the folder. The folder's name carries the hash of the pom, so that a
# changed pom is a new folder and a half-copied one is never used.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

pom=tests/kafka/pom.xml
jars="$TIDERACE_CACHE/kafka-$(sha256sum "$pom" | cut -c1-12)"
if [ ! -d "$jars" ]; then
    mkdir -p "$TIDERACE_CACHE"
    fresh=$(mktemp -d "$TIDERACE_CACHE/kafka-fresh.XXXXXX")
    trap 'rm -rf "$fresh"' EXIT
    mvn -q -B -f "$pom" dependency:copy-dependencies -DoutputDirectory="$fresh/jars" >&2
    mv -T "$fresh/jars" "$jars"
fi
echo "$jars"
