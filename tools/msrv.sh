#!/usr/bin/env bash
# `make msrv`: the product and its library compile with the oldest Rust that Cargo.toml names (`rust-version`). The toolchain is installed by
# rustup where it is missing. The build has a target folder of its own, since two compilers cannot share one without compiling all anew.
set -euo pipefail
cd "$(dirname "$0")/.."

version=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
[ -n "$version" ] || { echo "msrv: Cargo.toml has no rust-version" >&2; exit 1; }

# The other manifests promise the same, by the same line.
for manifest in benches/Cargo.toml tests/clients/rust/Cargo.toml tests/fuzz/engine/Cargo.toml; do
    grep -qx "rust-version = \"$version\"" "$manifest" || { echo "msrv: $manifest does not say rust-version = \"$version\"" >&2; exit 1; }
done

command -v rustup >/dev/null || { echo "msrv: rustup is needed, to have Rust $version beside the Rust that is in use" >&2; exit 1; }
# A version of two numbers names a channel that follows its patch releases; the first release is the promise.
case $version in *.*.*) toolchain=$version ;; *) toolchain=$version.0 ;; esac
rustup run "$toolchain" rustc --version 2>/dev/null || rustup toolchain install "$toolchain" --profile minimal --no-self-update
echo "msrv: cargo check with Rust $toolchain"
exec cargo "+$toolchain" check --locked --target-dir "${CARGO_TARGET_DIR:-target}/msrv"
