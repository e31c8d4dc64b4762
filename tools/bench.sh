#!/usr/bin/env bash
# Builds and runs the benchmarks: `tools/bench.sh run|report|short|soak|profile|micro`. See benches/README.md.
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(realpath --canonicalize-missing "${CARGO_TARGET_DIR:-target}")
harness=(--locked --manifest-path benches/Cargo.toml --target-dir "$target" --package bench-harness)
go_peer=target/tools/bench/go-peer/go-peer

build() {
    cargo build --release --locked
    cargo build --release "${harness[@]}"
}

case "${1:-}" in
run)
    python3 tools/install.py --bench
    build
    "$target/release/chancery-bench" run --chancery "$target/release/chancery" --go-peer "$go_peer" \
        ${ONLY:+--only "$ONLY"} ${BENCH_QUICK:+--quick}
    ;;
report)
    cargo build --release "${harness[@]}"
    "$target/release/chancery-bench" report
    ;;
short)
    # Uses the binary of the tests, and builds the harness in the same profile.
    cargo build "${harness[@]}"
    "$target/debug/chancery-bench" short --chancery "$target/debug/chancery"
    ;;
soak)
    build
    "$target/release/chancery-bench" soak --chancery "$target/release/chancery" --seconds "${SOAK_SECONDS:-600}" \
        ${SOAK_HOSTILE:+--hostile}
    ;;
profile)
    build
    "$target/release/chancery-bench" profile --chancery "$target/release/chancery" "${CASE:-delta}"
    ;;
micro)
    cargo bench --locked --manifest-path benches/Cargo.toml --target-dir "$target" --package bench-micro
    ;;
*)
    echo "usage: tools/bench.sh run|report|short|soak|profile|micro" >&2
    exit 2
    ;;
esac
