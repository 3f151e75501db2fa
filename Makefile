# `make run` and `make test` are all a newcomer needs; both install what is missing and say so first.

.DEFAULT_GOAL := help
.PHONY: help run test bench figures build plugins fmt lint deny doc advisories

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Build everything, start a gateway on loopback and show it at work
	@scripts/tour

test: ## Run every check and every test, from building the plugins on
	@scripts/test

bench: ## Measure the hot paths beside the bare libraries (release build; ROWS="policy store" for some)
	@scripts/setup test
	plugins/build
	cargo build --release --locked --workspace --bins
	CHANCERY_BIN=$(CURDIR)/target/release/chancery target/release/bench $(ROWS)

figures: ## Measure only what policies cost, as continuous integration reports it
	@scripts/setup test
	plugins/build
	cargo build --release --locked -p chancery-benches
	target/release/bench policy policy-load policy-engines

build: plugins ## Build the program in target/release
	cargo build --release --locked -p chancery-server

plugins: ## Build the policy plugins from source
	@scripts/setup run
	plugins/build

fmt: ## Format the sources
	cargo fmt --all
	cargo fmt --manifest-path plugins/Cargo.toml --all

lint: ## Only the checks of `make test`: format, clippy, rustdoc, licences
	@scripts/test lint

deny: ## Check licences, sources and bans of the dependencies
	@scripts/test deny

doc: ## Build the documentation of the crates in target/doc
	cargo doc --workspace --no-deps --locked

advisories: ## Check the dependencies for known holes: before each release (needs the network)
	@scripts/test advisories
