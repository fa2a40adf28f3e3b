#!/usr/bin/env bash
# Every measurement of RESULTS.md, one after another, on an otherwise idle machine.
# FILE=payments.parquet measures ingest on that file too.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh
bench="$CARGO_TARGET_DIR/release/tiderace-bench"
export TIDERACE_BIN="$CARGO_TARGET_DIR/release/tiderace"

# measure TITLE ARGUMENTS…: runs one measurement under a heading that says how.
measure() {
    printf '\n## %s\n\n`tiderace-bench %s`\n\n' "$1" "${*:2}"
    "$bench" "${@:2}"
}

cpu=$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1)
echo "$(date -u +%F), $(nproc) cores ($cpu), $(uname -sr), $(rustc --version), commit $(git rev-parse --short HEAD)"
ingest=$(measure "Ingest" ingest)
printf '%s\n' "$ingest"
if [ -n "${FILE:-}" ]; then
    measure "Ingest of a file" ingest --file "$FILE"
fi
half=$(sed -n 's/^half of the maximum: //p' <<<"$ingest")
measure "Freshness" freshness --rates "1000,20000,$half"
measure "Lookups" lookup
measure "Footprint" footprint
printf '\n## Hot paths\n\n'
cargo bench --locked --offline --workspace --bench hot -- --noplot | grep -E 'time:|thrpt:|^[a-zA-Z]'
