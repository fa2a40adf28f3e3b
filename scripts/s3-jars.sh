#!/usr/bin/env bash
# Copies the jars of the S3 server that the tests run into the cache, once per pom.
# The pom is copied last, so a half-copied folder is never taken for a whole one;
# the tests compare it with theirs.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

pom=tests/s3/pom.xml
s3="$TIDERACE_CACHE/s3"
if ! cmp -s "$pom" "$s3/pom.xml"; then
    echo "copying the S3 server's jars to $s3"
    rm -rf "$s3"
    mkdir -p "$s3"
    mvn -q -B -f "$pom" dependency:copy-dependencies -DoutputDirectory="$s3/jars" </dev/null
    cp "$pom" "$s3/pom.xml"
fi
