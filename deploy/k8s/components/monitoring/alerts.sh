#!/usr/bin/env bash
# Prints the alerts as Prometheus Operator takes them: deploy/k8s/components/monitoring/alerts.sh | kubectl apply --filename -
set -euo pipefail
cat <<'EOF'
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: videosearch
  namespace: videosearch
spec:
EOF
sed 's/^./  &/' "$(dirname "$0")/../../../prometheus/alerts.yaml"
