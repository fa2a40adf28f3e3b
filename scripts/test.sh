#!/usr/bin/env bash
# Formats are checked, everything is built and linted, every test is run, the documentation
# is written; the last line sums up the tests. With TIDERACE_NIGHTLY set, tests with
# random schedules run many more of them, the files of deploy/ are checked by more tools,
# and decoders are fuzzed with coverage, TIDERACE_FUZZ_SECONDS (300) for each.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

results=$(mktemp)
trap 'rm -f "$results"' EXIT

# Random histories: fewer with every change, many more at night.
export PROPTEST_CASES="${PROPTEST_CASES:-$([ -z "${TIDERACE_NIGHTLY:-}" ] && echo 96 || echo 2048)}"

# Both remember results, and go on after failures.
failed_command=
built="cargo test --release --locked --offline --workspace"
tests() {
    $built --no-run --tests --message-format=json |
        scripts/run-tests.py --times "$CARGO_TARGET_DIR/test-times.json" 2>&1 |
        tee -a "$results" || failed_command=yes
}
examples() {
    $built --no-fail-fast --doc 2>&1 | tee -a "$results" || failed_command=yes
}

step "format" cargo fmt --all --check
step "licences and sources" cargo deny --offline check licenses bans sources
step "deploy files" scripts/deploy-check.sh
# The binary first: the tests run it.
step "build" build --bin tiderace
step "build tests and benches" build --all-targets
# What has no tests says so in its manifest: programs that fuzz never end.
step "tests" tests
RUSTDOC="$PWD/scripts/rustdoc" step "documentation and its examples" examples

if [ -n "${TIDERACE_NIGHTLY:-}" ]; then
    step "more deploy tools" scripts/deploy-tools.sh all || failed_command=yes
    step "deploy files, by all of them" scripts/deploy-check.sh || failed_command=yes
    step "fuzzing finds what is planted" scripts/fuzz.sh planted || failed_command=yes
    step "fuzzing" scripts/fuzz.sh || failed_command=yes
fi

awk '
    /^test result:/ { passed += $4; failed += $6 }
    END { printf "%d passed, %d failed\n", passed, failed }
' "$results"
[ -z "$failed_command" ]
