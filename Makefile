# Everything a developer runs. Tools are installed below target/tools/ and nowhere else.

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

test: ## Every check there is: format, lints, docs, tests, examples, deployment, demo.
	@tools/test.sh

msrv: ## The oldest Rust that Cargo.toml promises still compiles it; rustup installs that Rust.
	@tools/msrv.sh

build: ## The release binary: target/release/chancery.
	cargo build --release --locked

tools: ## Install what tests and the demo need: Envoys and Python packages, into target/tools/.
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

deny: ## Licences, sources and versions of everything that is depended on: deny.toml.
	@python3 tools/install.py --python
	@tools/deny.sh

audit: ## The same, and known vulnerabilities; fetches the RustSec database.
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

kill9: build ## kill -9 in the midst of 1000 publishes, restarted each time (PUBLISHES=n, KILLS=n): nothing acknowledged is lost.
	@python3 tools/kill9.py --chancery $(or $(CARGO_TARGET_DIR),target)/release/chancery --publishes $(or $(PUBLISHES),1000) --kills $(or $(KILLS),$(PUBLISHES),1000)

publish-cost: build ## What a publish of 10 000 resources of 1 KB costs in CPU and on disk, and one that changes one of them.
	@python3 tools/publish_cost.py --chancery $(or $(CARGO_TARGET_DIR),target)/release/chancery

bench: ## Chancery against its peers, docs/benchmarks.md; ONLY=1,2 for some scenarios, BENCH_QUICK=1 for a look.
	@tools/bench.sh run

bench-report: ## docs/benchmarks.md again, from docs/benchmarks/results.json.
	@tools/bench.sh report

bench-micro: ## Admission, publishes and sessions by themselves, with criterion.
	@tools/bench.sh micro

bench-profile: ## Where Chancery's CPU goes, with perf; CASE=sotw1, sotw100, sotw1000, delta or commits.
	@tools/bench.sh profile

timing: ## Times of answers for secrets that a node may not have and for those that are not there, compared; TIMING_NAMES=n of each.
	TIMING_NAMES=$(or $(TIMING_NAMES),10000) cargo test --release --locked --test wire timing:: -- --nocapture

floods: ## A minute of each flood while a small fleet is served (FLOOD_SECONDS); fails where publishes, probes or memory suffer.
	FLOODS_JUDGE=1 FLOOD_SECONDS=$(or $(FLOOD_SECONDS),60) cargo test --release --locked --test floods -- --test-threads 1 --nocapture

soak: ## Churn for 10 minutes, or SOAK_SECONDS: fails where memory, threads or open files grow; SOAK_HOSTILE=1 over mTLS, with denials and floods.
	@tools/bench.sh soak

bench-memory: ## What 300 slow readers of 10 MB each cost in memory.
	cargo test --release --locked --test slow_readers -- --nocapture
