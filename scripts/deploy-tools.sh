#!/usr/bin/env bash
# Installs what scripts/deploy-check.sh checks the files of deploy/ with.
#
#   scripts/deploy-tools.sh        yamllint, from PyPI, into the cache
#   scripts/deploy-tools.sh all    also Kubernetes' schemas (kubernetes-validate, 22 MB), and as far as they are to be
#                                  had: actionlint, kustomize and compose-go, compiled by Go; promtool and shellcheck,
#                                  taken out of Debian's packages
#
# Once per version.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

home="$TIDERACE_CACHE/deploy"
mkdir -p "$home"

venv="$home/venv"

# python_tool MODULE PACKAGE==VERSION: in an environment that is made anew where it does not have it.
python_tool() {
    [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
    if ! "$venv/bin/python" -c "import $1, importlib.metadata as have
assert '${2%%==*}==' + have.version('${2%%==*}') == '$2'" 2>/dev/null; then
        echo "installing $2 in $venv"
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$2"
    fi
}

# go_tool NAME MODULE VERSION: compiled once per version. Without Go, or the module, it is left out.
go_tool() {
    local bin="$home/go/$1-$3"
    if [ ! -x "$bin/$1" ]; then
        echo "compiling $1 $3"
        mkdir -p "$bin"
        if ! GOBIN="$bin" GOFLAGS=-modcacherw go install "$2@$3"; then
            echo "$1 is not to be had; it will be left out"
            return
        fi
        # Go names a program by its folder.
        [ -x "$bin/$1" ] || mv "$bin/${2##*/}" "$bin/$1"
    fi
    mkdir -p "$home/bin"
    ln -sfn "$bin/$1" "$home/bin/$1"
}

# debian_tool PROGRAM PACKAGE: taken out of its package, so that no server is installed.
debian_tool() {
    if command -v "$1" >/dev/null || [ -x "$home/bin/$1" ]; then
        return
    fi
    local place
    place=$(mktemp -d)
    if (cd "$place" && apt-get download -q "$2" >/dev/null 2>&1 && dpkg -x "$2"_*.deb .); then
        mkdir -p "$home/bin"
        mv "$place/usr/bin/$1" "$home/bin/$1"
    else
        echo "$1 is not to be had; it will be left out"
    fi
    rm -rf "$place"
}

python_tool yamllint yamllint==1.38.0
if [ "${1:-}" = all ]; then
    python_tool kubernetes_validate kubernetes-validate==1.37.0
    if command -v go >/dev/null; then
        go_tool actionlint github.com/rhysd/actionlint/cmd/actionlint v1.7.7
        go_tool kustomize sigs.k8s.io/kustomize/kustomize/v5 v5.4.3
        go_tool compose-go github.com/compose-spec/compose-go/v2/cmd v2.4.7
    fi
    debian_tool promtool prometheus
    debian_tool shellcheck shellcheck
fi
