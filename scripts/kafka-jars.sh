#!/usr/bin/env bash
# Copies the jars of the Kafka that the tests run into the cache, once per pom.
# The pom is copied last, so a half-copied folder is never taken for a whole one;
# the tests compare it with theirs.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

pom=tests/kafka/pom.xml
kafka="$TIDERACE_CACHE/kafka"
if ! cmp -s "$pom" "$kafka/pom.xml"; then
    echo "copying Kafka's jars to $kafka"
    rm -rf "$kafka"
    mkdir -p "$kafka"
    mvn -q -B -f "$pom" dependency:copy-dependencies -DoutputDirectory="$kafka/jars" </dev/null
    cp "$pom" "$kafka/pom.xml"
fi
