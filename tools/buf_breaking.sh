#!/usr/bin/env bash
# Refuse changes to the protos that would break a caller, compared with the last release, or with the commit before.
set -euo pipefail
against=$(git describe --tags --abbrev=0 --match 'v*' 2>/dev/null || echo HEAD~1)
if ! git cat-file -e "$against:protos/videosearch" 2>/dev/null; then
    echo "buf breaking: $against has no protos to compare with"
    exit 0
fi
"${1:-.venv/bin}/buf" breaking --against ".git#ref=$(git rev-parse "$against"),subdir=protos"
