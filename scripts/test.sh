#!/usr/bin/env bash
# Formats are checked, everything is built and linted, every test is run; the last
# line sums them up. `nightly` as the first argument adds what is too slow for every change.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

results=$(mktemp)
trap 'rm -f "$results"' EXIT

# tests ARGUMENTS…: cargo test, its results remembered. Goes on after failures.
failed_command=
tests() {
    cargo test --release --locked --offline --workspace --no-fail-fast "$@" 2>&1 | tee -a "$results" || failed_command=yes
}

step "format" cargo fmt --all --check
if command -v cargo-deny >/dev/null; then
    step "licences and sources" cargo deny --offline check licenses bans sources
fi
# The binary first: the tests run it.
step "build" cargo build --release --locked --offline --workspace --bins
step "build tests and benches" cargo build --release --locked --offline --workspace --all-targets
step "tests" tests --lib --bins --tests
RUSTDOC="$PWD/scripts/rustdoc" step "documentation and its examples" tests --doc

awk '
    /^test result:/ { passed += $4; failed += $6 }
    END { printf "%d passed, %d failed\n", passed, failed }
' "$results"
[ -z "$failed_command" ]
