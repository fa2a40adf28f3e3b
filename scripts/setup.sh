#!/usr/bin/env bash
# Installs what is missing to build and run Tiderace, and only that.
#
#   scripts/setup.sh demo   what `make demo` needs: a C++ toolchain, and Rust
#   scripts/setup.sh test   also what the tests need: redis-server and redis-cli, Java, the jars of Kafka and
#                           of an S3 server, a schema registry, DuckDB, yamllint, Chromium; in Python
#                           environments of their own two versions of Feast's SDK, what the tests of the Python
#                           client need and what drives the browser; and cargo-deny, compiled from source (two
#                           minutes, once)
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

what="${1:-demo}"

# Debian packages to install.
packages=()
# need PACKAGE TEST…: wants the package unless the test succeeds.
need() {
    local package="$1"
    shift
    "$@" >/dev/null 2>&1 || packages+=("$package")
}
has() { command -v "$1"; }
has_libclang() {
    compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' || compgen -G '/usr/lib*/libclang*.so*' ||
        compgen -G '/usr/lib/*/libclang*.so*' || [ -n "${LIBCLANG_PATH:-}" ]
}
java_is_new_enough() {
    at_least "$(java -version 2>&1 | sed -n '1s/.*"\([0-9.]*\).*"/\1/p')" 17
}
jre() {
    if apt-cache show openjdk-17-jre-headless 2>/dev/null | grep -q '^Package:'; then
        echo openjdk-17-jre-headless
    else
        echo default-jre-headless
    fi
}

system_packages() {
    need build-essential has c++
    need make has make
    need cmake has cmake
    need clang has clang
    need libclang-dev has_libclang
    need pkg-config has pkg-config
    need libssl-dev pkg-config --exists openssl
    if [ "$what" != demo ]; then
        need redis-server has redis-server
        need redis-tools has redis-cli
        if ! cmp -s tests/kafka/pom.xml "$TIDERACE_CACHE/kafka/pom.xml" ||
            ! cmp -s tests/registry/pom.xml "$TIDERACE_CACHE/registry/pom.xml" ||
            ! cmp -s tests/s3/pom.xml "$TIDERACE_CACHE/s3/pom.xml"; then
            need maven has mvn
        fi
        need python3 has python3
        need python3-venv python3 -m ensurepip --version
        need chromium has chromium
    fi
    if ! rust_is_new_enough && ! command -v rustup >/dev/null; then
        need curl has curl
        need ca-certificates test -e /etc/ssl/certs/ca-certificates.crt
    fi

    if [ "$what" != demo ] && ! java_is_new_enough 2>/dev/null; then
        packages+=(java)
    fi
    if [ ${#packages[@]} -eq 0 ]; then
        return
    fi
    if ! command -v apt-get >/dev/null; then
        echo "this is not a Debian-like system; please install the equivalent of: ${packages[*]}" >&2
        exit 1
    fi
    local root=()
    if [ "$(id -u)" != 0 ]; then
        if ! command -v sudo >/dev/null; then
            echo "not root and no sudo; please install: ${packages[*]}" >&2
            exit 1
        fi
        root=(sudo)
    fi
    "${root[@]}" apt-get update -q
    # Which Java there is can be asked only now.
    local named=()
    for package in "${packages[@]}"; do
        if [ "$package" = java ]; then package=$(jre); fi
        named+=("$package")
    done
    echo "installing: ${named[*]}"
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends "${named[@]}"
}

rust() {
    if ! rust_is_new_enough; then
        if command -v rustup >/dev/null; then
            rustup toolchain install stable --profile minimal --component clippy,rustfmt
        else
            curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs |
                sh -s -- -y --profile minimal --component clippy,rustfmt --no-modify-path
        fi
    elif [ "$what" != demo ] && command -v rustup >/dev/null; then
        for component in clippy rustfmt; do
            cargo "${component/rustfmt/fmt}" --version >/dev/null 2>&1 || rustup component add "$component"
        done
    fi
}

step "system packages" system_packages
step "rust" rust
. scripts/env.sh # what was just installed is found now
if [ "$what" != demo ]; then
    step "kafka" scripts/kafka-jars.sh
    step "schema registry" scripts/registry.sh
    step "s3" scripts/s3-jars.sh
    step "duckdb" scripts/duckdb.sh
    step "python client" scripts/python-client.sh
    step "feast" scripts/feast.sh
    step "browser" scripts/browser.sh
    step "deploy tools" scripts/deploy-tools.sh
fi
if [ "$what" != demo ] && ! command -v cargo-deny >/dev/null; then
    step "cargo-deny" env -u RUSTC_WORKSPACE_WRAPPER -u CARGO_TARGET_DIR \
        cargo install --locked --quiet --root "$TIDERACE_CACHE/tools" cargo-deny
fi
# From here on nothing needs the network.
# The licences of every platform's crates are checked with the tests.
if [ "$what" = demo ]; then
    step "crates" cargo fetch --locked --quiet --target "$(rustc -vV | sed -n 's/^host: //p')"
else
    step "crates" cargo fetch --locked --quiet
fi
