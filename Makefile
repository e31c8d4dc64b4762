# Commands for developers. Tools are installed below target/tools/ only.

.DEFAULT_GOAL := help
.PHONY: help demo check test msrv build tools fmt lint doc fuzz no-loss kill9 publish-cost deny audit model timing bench bench-report bench-micro bench-memory bench-profile floods soak

help: ## Show this help.
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

demo: build ## Chancery, a real Envoy and two upstreams, live until Ctrl-C; DEMO_EXIT=1 ends by itself.
	@python3 tools/install.py --demo
	@python3 tools/demo.py --chancery $(or $(CARGO_TARGET_DIR),target)/release/chancery

check: ## Before each commit: format, clippy and the library's tests, with 250 sessions of each model client (CASES=n).
	cargo fmt --check
	cargo clippy --all-targets --locked -- -D warnings
	PROPTEST_CASES=$(or $(CASES),250) cargo test --lib --locked

test: ## All checks: format, lints, docs, tests, examples, deployment, demo.
	@tools/test.sh

msrv: ## The oldest Rust that Cargo.toml promises still compiles it; rustup installs that Rust.
	@tools/msrv.sh

build: ## The release binary: target/release/chancery.
	cargo build --release --locked

tools: ## Install the tools of tests and demo, Envoys and Python packages, into target/tools/.
	@python3 tools/install.py

fmt: tools ## Format the sources, Rust and Python.
	cargo fmt
	cargo fmt --manifest-path tests/clients/rust/Cargo.toml
	cargo fmt --manifest-path benches/Cargo.toml --all
	cargo fmt --manifest-path tests/fuzz/engine/Cargo.toml
	target/tools/venv/bin/ruff format tools tests

lint: deny ## Format check and lints, with warnings as errors.
	cargo fmt --check
	cargo fmt --check --manifest-path tests/clients/rust/Cargo.toml
	cargo fmt --check --manifest-path benches/Cargo.toml --all
	cargo fmt --check --manifest-path tests/fuzz/engine/Cargo.toml
	cargo clippy --all-targets --locked -- -D warnings
	cargo clippy --manifest-path benches/Cargo.toml --target-dir $(or $(CARGO_TARGET_DIR),target) --all-targets --locked -- -D warnings

deny: ## Check licences, sources and versions of all dependencies against deny.toml.
	@python3 tools/install.py --python
	@tools/deny.sh

audit: ## As deny, and check for known vulnerabilities; downloads the RustSec database.
	@python3 tools/install.py --python
	@tools/deny.sh advisories

doc: ## The library's documentation, private items included, with warnings as errors.
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --locked
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --locked --document-private-items

fuzz: ## Coverage-guided fuzzing of every target for FUZZ_SECONDS (600) each; ONLY=xds,rest for some.
	@python3 tools/fuzz.py --seconds $(or $(FUZZ_SECONDS),600) --target-dir $(or $(CARGO_TARGET_DIR),target) $(if $(ONLY),--only $(ONLY))

model: ## Random client sessions and garbage against the protocol core (CASES=n of each), and against the server (SESSIONS=n).
	PROPTEST_CASES=$(or $(CASES),200000) cargo test --release --locked --lib protocol::tests:: -- --nocapture
	WIRE_MODEL_SESSIONS=$(or $(SESSIONS),5000) cargo test --release --locked --test wire model:: -- --nocapture

no-loss: tools ## Real Envoys under load through changes of every kind, 15 s each: no request may be lost.
	NO_LOSS_SECONDS=15 cargo test --locked --test no_loss -- --nocapture

kill9: build ## kill -9 during each of 1000 publishes (PUBLISHES=n, KILLS=n): no acknowledged publish may be lost.
	@python3 tools/kill9.py --chancery $(or $(CARGO_TARGET_DIR),target)/release/chancery --publishes $(or $(PUBLISHES),1000) --kills $(or $(KILLS),$(PUBLISHES),1000)

publish-cost: build ## Cost in CPU and on disk of publishing 10 000 resources of 1 KB, and of changing one of them.
	@python3 tools/publish_cost.py --chancery $(or $(CARGO_TARGET_DIR),target)/release/chancery

bench: ## Compare Chancery with its peers, docs/benchmarks.md; ONLY=1,2 for some scenarios, BENCH_QUICK=1 for small sizes.
	@tools/bench.sh run

bench-report: ## Write docs/benchmarks.md again, from docs/benchmarks/results.json.
	@tools/bench.sh report

bench-micro: ## Benchmarks of admission, publishes and sessions alone, with criterion.
	@tools/bench.sh micro

bench-profile: ## Chancery's CPU time by function, with perf; CASE=sotw1, sotw100, sotw1000, delta or commits.
	@tools/bench.sh profile

timing: ## Compare the times of answers for denied secrets and for missing ones; TIMING_NAMES=n of each.
	TIMING_NAMES=$(or $(TIMING_NAMES),10000) cargo test --release --locked --test wire timing:: -- --nocapture

floods: ## A minute of each flood while a small fleet is served (FLOOD_SECONDS); fails if publishes, probes or memory suffer.
	FLOODS_JUDGE=1 FLOOD_SECONDS=$(or $(FLOOD_SECONDS),60) cargo test --release --locked --test floods -- --test-threads 1 --nocapture

soak: ## Churn for 10 minutes, or SOAK_SECONDS: fails if memory, threads or open files grow; SOAK_HOSTILE=1 over mTLS, with denials and floods.
	@tools/bench.sh soak

bench-memory: ## The server's memory with 300 slow readers of 10 MB each.
	cargo test --release --locked --test slow_readers -- --nocapture
