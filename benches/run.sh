#!/usr/bin/env bash
# Every measurement of RESULTS.md, one after another, on an otherwise idle machine.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh
programs="$CARGO_TARGET_DIR/release"
export TIDERACE_BIN="$programs/tiderace"
echo "$(nproc) cores, $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1), $(uname -sr), $(rustc --version), commit $(git rev-parse --short HEAD)"
for program in throughput lookups footprint; do
    printf '\n## %s\n\n' "$program"
    "$programs/$program"
done
printf '\n## freshness\n\n'
"$programs/freshness" --rates "${RATES:-1000}"
