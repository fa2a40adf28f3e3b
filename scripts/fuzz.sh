#!/usr/bin/env bash
# Fuzzes the decoders of bytes from disks and networks, guided by coverage (`fuzz/`).
#
#   scripts/fuzz.sh              every target, for TIDERACE_FUZZ_SECONDS (300) each
#   scripts/fuzz.sh rows json    these
#   scripts/fuzz.sh planted      shows that it searches: a fault that takes eight bytes in a row is found
#
# What was learnt is kept in TIDERACE_CACHE/fuzz/corpus. Bytes that break a property are left in
# TIDERACE_CACHE/fuzz/found: run `TIDERACE_CACHE/fuzz/bin/fuzz-NAME FILE` to see them do it,
# and write them down as a failing test of the crate first.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

all=(rows entries markers wire state frames json avro protobuf changes schemas)
seconds="${TIDERACE_FUZZ_SECONDS:-300}"
place="$TIDERACE_CACHE/fuzz"
mkdir -p "$place/bin" "$place/found"

# instrumented TARGET…: builds targets, beside what is built without instruments.
instrumented() {
    local target bins=()
    for target in "$@"; do bins+=(--bin "fuzz-$target"); done
    RUSTC_WORKSPACE_WRAPPER="$PWD/scripts/sancov-rustc" \
        cargo build --release --locked --offline --workspace "${bins[@]}" || return 1
    for target in "$@"; do cp "$CARGO_TARGET_DIR/release/fuzz-$target" "$place/bin/"; done
}

# fuzz TARGET FOLDER SECONDS: searches, beginning with the seeds. An input of 4 KiB that takes a
# second or half a gigabyte breaks a property too.
fuzz() {
    mkdir -p "$2"
    "$place/bin/fuzz-$1" -max_total_time="$3" -max_len=4096 -timeout=5 -rss_limit_mb=512 \
        -print_final_stats=1 -artifact_prefix="$place/found/$1-" "$2" "$place/seeds/$1" \
        >"$place/$1.log" 2>&1
}

# search TARGET: fuzzes it and says how that went.
search() {
    local status=0
    fuzz "$1" "$place/corpus/$1" "$seconds" || status=$?
    awk -v target="$1" '
        / cov: / { for (i = 1; i < NF; i++) if ($i == "cov:") coverage = $(i + 1) }
        /number_of_executed_units/ { runs = $2 }
        END { printf "fuzz %s: %d runs, %d edges covered\n", target, runs, coverage }
    ' "$place/$1.log"
    if [ "$status" != 0 ]; then
        tail -n 40 "$place/$1.log"
        return 1
    fi
}

# planted: the proof that what is planted is found, soon and from nothing.
planted() {
    local corpus
    corpus=$(mktemp -d)
    if TIDERACE_PLANTED=1 fuzz rows "$corpus" 120; then
        echo "the planted fault was not found"
        return 1
    fi
    grep -q 'the planted fault was found' "$place/rows.log" || return 1
    rm -rf "$corpus" "$place"/found/rows-crash-*
}

step "build seeds" build --bin fuzz-seeds
rm -rf "$place/seeds"
"$CARGO_TARGET_DIR/release/fuzz-seeds" "$place/seeds"
if [ "${1:-}" = planted ]; then
    step "build fuzz targets" instrumented rows
    step "planted fault" planted
    exit
fi
[ $# -gt 0 ] || set -- "${all[@]}"
step "build fuzz targets" instrumented "$@"
failed=
for target in "$@"; do
    step "fuzz $target for $seconds s" search "$target" || failed=yes
done
[ -z "$failed" ]
