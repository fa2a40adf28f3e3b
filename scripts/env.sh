# Sourced by the other scripts: where things are kept, and how cargo is called.
#
# Everything that is built or downloaded lies in TIDERACE_CACHE, outside the clone,
# so that a new clone starts warm. There is one profile (release) and one set of
# features (always --workspace: with `-p` cargo would choose fewer features of
# third-party crates and compile RocksDB and DataFusion again), so third-party
# code is compiled once. Clippy is the compiler of this workspace's own crates:
# linting and building are one compilation.

: "${HOME:=$(getent passwd "$(id -u)" | cut -d: -f6)}"
export HOME
export TIDERACE_CACHE="${TIDERACE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tiderace}"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$TIDERACE_CACHE/target}"

export PATH="$TIDERACE_CACHE/tools/bin:$PATH"

# A rustup that was installed a moment ago is not in PATH yet.
if ! command -v cargo >/dev/null && [ -x "$HOME/.cargo/bin/cargo" ]; then
    export PATH="$HOME/.cargo/bin:$PATH"
fi

# at_least VERSION WANTED: tells whether a version is no older than another.
at_least() {
    [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

rust_wanted=1.94
rust_is_new_enough() {
    command -v cargo >/dev/null && at_least "$(cargo --version 2>/dev/null | cut -d' ' -f2)" "$rust_wanted"
}
if ! rust_is_new_enough && command -v rustup >/dev/null; then
    export RUSTUP_TOOLCHAIN=stable
fi

# The driver's full path is part of what cargo caches by: always the same one.
clippy=$(rustup which clippy-driver 2>/dev/null || command -v clippy-driver || true)
if [ -n "$clippy" ]; then
    export RUSTC_WORKSPACE_WRAPPER="$clippy"
fi

# TIDERACE_STRICT: a warning is an error. CI sets it; a newer compiler's new
# warnings must not stop a user's demo. It is judged from what the compiler says,
# which cargo repeats for what is already built: with `-D warnings` in its
# arguments, everything would be compiled again whenever it is switched.
if [ -n "${TIDERACE_STRICT:-}" ]; then
    export TIDERACE_RUSTDOC_ARGS="-D warnings"
fi

# build ARGUMENTS…: cargo build, with the one profile and the one set of features.
build() {
    local said status=0
    said=$(mktemp)
    cargo build --release --locked --offline --workspace "$@" 2>&1 | tee "$said" || status=1
    if [ -n "${TIDERACE_STRICT:-}" ] && grep -Eq '^warning: .* generated [0-9]+ warning' "$said"; then
        echo "warnings are errors here (TIDERACE_STRICT)"
        status=1
    fi
    rm -f "$said"
    return $status
}

# step NAME COMMAND…: runs a command, says what it is and how long it took.
step() {
    local name="$1" began=$SECONDS
    shift
    printf '== %s\n' "$name"
    if ! "$@"; then
        printf '== %s: FAILED after %d s\n' "$name" $((SECONDS - began))
        return 1
    fi
    printf '== %s: %d s\n' "$name" $((SECONDS - began))
}
