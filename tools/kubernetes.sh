#!/usr/bin/env bash
# Renders deploy/k8s as `kubectl apply --kustomize` would, and holds it against Kubernetes' own schemas.
set -euo pipefail
oldest=1.27 newest=1.37
if ! command -v kubectl >/dev/null; then
    echo "kubernetes: no kubectl on PATH: deploy/k8s is neither rendered nor validated"
    exit 0
fi
for overlay in deploy/k8s/overlays/*; do
    objects=$(kubectl kustomize "$overlay")
    for version in "$oldest" "$newest"; do
        # What it says is what it refuses, or has no schema for: of all kinds but Prometheus Operator's, that is wrong too.
        "${1:-.venv/bin}/kubernetes-validate" --strict --quiet --kubernetes-version "$version" - <<<"$objects" |
            { ! grep -v 'monitoring.coreos.com/v1' >&2; }
    done
done
