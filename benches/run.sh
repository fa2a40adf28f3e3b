#!/usr/bin/env bash
# Every measurement of RESULTS.md, one after another, on an otherwise idle machine.
#
#   benches/run.sh [live] [engine]      both without arguments
#
# FILE=payments.parquet measures ingest on that file too. `engine` installs Flink (330 MB, once).
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

live() {
    local ingest half
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
}

engine() {
    local events size
    measure "Engine" engine --stages
    measure "Engine, publications encoded" engine --publish --views one,three --stages
    measure "Engine, a commit every 200 ms" engine --commit-interval 200 --views one,three --stages
    printf '\n## Windows\n\n`benches/peers/flink/run.py`\n\n'
    benches/peers/flink/run.py
    events=$(mktemp)
    "$bench" stream --events 8000000 --out "$events"
    for size in 10m 60m 24h; do
        "$bench" windows --file "$events" --size "$size" --stages
    done
    rm "$events"
}

cpu=$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1)
echo "$(date -u +%F), $(nproc) cores ($cpu), $(uname -sr), $(rustc --version), commit $(git rev-parse --short HEAD)"
if [ $# -eq 0 ]; then
    set -- live engine
fi
for part in "$@"; do
    case "$part" in
    live) live ;;
    engine) engine ;;
    *) echo "neither live nor engine: $part" >&2 && exit 2 ;;
    esac
done
