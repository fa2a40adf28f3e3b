#!/usr/bin/env bash
# Checks the files of deploy/ with whatever is installed, and says what was left out.
#
# scripts/deploy-tools.sh installs the tools. What needs the binary and real servers (metrics, probes,
# commands, runbooks) is a test: `cargo test … --test deploy`. No image is built and no cluster is asked.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

export PATH="$TIDERACE_CACHE/deploy/venv/bin:$TIDERACE_CACHE/deploy/bin:$PATH"
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT

left_out=()
failed=

# check TOOL WHAT COMMAND…: runs the command if there is the tool.
check() {
    local tool="$1" what="$2"
    shift 2
    if ! command -v "$tool" >/dev/null; then
        left_out+=("$what (no $tool)")
    elif "$@" >"$place/said" 2>&1; then
        echo "good: $what ($tool)"
    else
        echo "BAD: $what ($tool)"
        cat "$place/said"
        failed=yes
    fi
}

rendered() {
    kustomize build deploy >"$place/rendered.yaml" &&
        kubernetes-validate --strict -k "$kubernetes" "$place/rendered.yaml"
}

# units: as if the binary were where they look for it.
units() {
    local unit
    for unit in deploy/systemd/*.service; do
        sed "s|^ExecStart=/usr/local/bin/tiderace |ExecStart=$(command -v true) |" "$unit" >"$place/${unit##*/}"
        systemd-analyze verify "$place/${unit##*/}"
    done
}

compose() {
    case "$1" in
        docker) docker compose --file deploy/compose/compose.yaml config --quiet ;;
        compose-go) (cd deploy/compose && compose-go compose.yaml) ;;
    esac
}

scripts() { bash -n deploy/docker/healthy && bash -n scripts/deploy-check.sh && bash -n scripts/deploy-tools.sh; }

kubernetes=1.31
manifests=(deploy/kubernetes/[!k]*.yaml)

check yamllint "YAML" yamllint --strict --config-file deploy/.yamllint deploy features
check kubernetes-validate "manifests, against Kubernetes $kubernetes" \
    kubernetes-validate --strict -k "$kubernetes" "${manifests[@]}"
check kustomize "manifests, rendered and then validated" rendered
check promtool "alert rules" promtool check rules deploy/prometheus/alerts.yaml
check promtool "what alerts fire on" promtool test rules deploy/prometheus/alerts.test.yaml
check promtool "Prometheus' own settings" promtool check config --syntax-only deploy/compose/prometheus.yml
if docker compose version >/dev/null 2>&1; then
    check docker "compose file" compose docker
else
    check compose-go "compose file" compose compose-go
fi
check actionlint "workflow for feature repositories" actionlint deploy/github/features.yml
check systemd-analyze "units" units
check python3 "dashboard is JSON" python3 -m json.tool deploy/grafana/tiderace.json /dev/null
check bash "scripts, as to syntax" scripts
check shellcheck "scripts, by shellcheck" \
    shellcheck --exclude=SC1091 deploy/docker/healthy scripts/deploy-check.sh scripts/deploy-tools.sh
check hadolint "Dockerfile" hadolint deploy/docker/Dockerfile

for what in "${left_out[@]}"; do
    echo "left out: $what"
done
[ -z "$failed" ]
