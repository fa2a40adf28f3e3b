#!/usr/bin/env bash
# Builds with the one profile and the one set of features. Arguments choose targets: `--bin tiderace`.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh
step "build in $CARGO_TARGET_DIR" build "$@"
