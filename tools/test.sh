#!/usr/bin/env bash
# `make test`: runs all checks, one after the other, even if one fails. The last line is the verdict.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

results=()
failed=0

# step NAME COMMAND…: runs one check, and records its verdict and its time.
step() {
    local name=$1 begun=$SECONDS verdict=ok
    shift
    printf '\n==> %s: %s\n' "$name" "$*"
    if ! "$@"; then
        verdict=FAILED
        failed=$((failed + 1))
    fi
    results+=("$(printf '%-7s %4d s  %s' "$verdict" $((SECONDS - begun)) "$name")")
}

target=${CARGO_TARGET_DIR:-target} # the last steps run the binary that `cargo test` builds here

step tools python3 tools/install.py
step fmt cargo fmt --check
step fmt-client cargo fmt --check --manifest-path tests/clients/rust/Cargo.toml
step fmt-benches cargo fmt --check --manifest-path benches/Cargo.toml --all
step fmt-fuzz cargo fmt --check --manifest-path tests/fuzz/engine/Cargo.toml
step deny tools/deny.sh
step clippy cargo clippy --all-targets --locked -- -D warnings
step clippy-benches cargo clippy --manifest-path benches/Cargo.toml --target-dir "$target" --all-targets --locked -- -D warnings
step doc env RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --locked
step doc-private env RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --locked --document-private-items
step test cargo test --locked --no-fail-fast
step test-benches cargo test --manifest-path benches/Cargo.toml --target-dir "$target" --package bench-harness --locked
step bench-short tools/bench.sh short
step python target/tools/venv/bin/ruff check tools tests
step python-fmt target/tools/venv/bin/ruff format --check tools tests
step project target/tools/venv/bin/python tools/check_project.py
step kill9 python3 tools/kill9.py --chancery "$target/debug/chancery" --publishes 40 --kills 30 --seed 9
step examples python3 tools/check_examples.py --chancery "$target/debug/chancery"
step deploy target/tools/venv/bin/python tools/check_deploy.py --chancery "$target/debug/chancery"
step metrics target/tools/venv/bin/python tools/check_metrics.py --chancery "$target/debug/chancery"
step demo env DEMO_EXIT=1 python3 tools/demo.py --chancery "$target/debug/chancery" --dir target/demo-test

printf '\n'
printf '%s\n' "${results[@]}"
if [ "$failed" -ne 0 ]; then
    echo "make test: FAILED: $failed of ${#results[@]}, in $SECONDS s"
    exit 1
fi
echo "make test: ok, ${#results[@]} of ${#results[@]}, in $SECONDS s"
