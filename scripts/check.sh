#!/usr/bin/env bash
# What can be said of the code without running its tests.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh
step "format" cargo fmt --all --check
step "licences and sources" cargo deny --offline check licenses bans sources
step "deploy files" scripts/deploy-check.sh
step "build and lints" build --all-targets
RUSTDOC="$PWD/scripts/rustdoc" step "documentation" \
    cargo test --release --locked --offline --workspace --doc --quiet
