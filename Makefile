# Every step of CI is a target here. scripts/set-up prepares the machine and does nothing when all is there.
# The rule of a target says what it does after ##; `make help` prints those lines.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory --no-builtin-rules
.DEFAULT_GOAL := help

with_tools := . scripts/environment;
gradle := gradle --no-daemon --quiet
cargo_flags := --release --locked

library_directory := jvm/core/build/native/io/faissindexer/native/linux-x86_64
library := $(library_directory)/libfaiss_indexer.so
program := dist/bin/faiss-indexer
completions := dist/completions

shell_scripts = $$(grep -rlI --exclude-dir=build -E '^\#!(/bin/bash|/usr/bin/env bash)' \
	.ci benchmarks examples jvm native scripts tests 2>/dev/null)
python_scripts = $$({ grep -rlI --exclude-dir=build -E '^\#!/usr/bin/env python3' benchmarks examples native scripts tests; \
	find examples native scripts tests -name '*.py' -not -path '*/build/*'; } | sort -u)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-20s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# --- what a user runs

.PHONY: demo
demo: dist ## build an index of real embeddings with Spark and search it with stock Faiss (under 10 minutes)
	@examples/demo/run

.PHONY: test
test: test-notices test-rust test-native-library test-cli test-benchmarks test-jvm test-bare-debian test-demo ## run every test
	@if [ -s build/tests-not-run.txt ]; then echo "not run:"; sed 's/^/  /' build/tests-not-run.txt; fi

.PHONY: dist
dist: native notices cli ## put the program, the launchers and jars into dist/
	@$(with_tools) $(gradle) dist

.PHONY: bench
bench: set-up cli native ## run the benchmarks and print their figures
	@benchmarks/run

.PHONY: lint
lint: lint-layers lint-rust lint-jvm lint-scripts ## check formatting and everything that compilers and linters warn about

.PHONY: format
format: set-up ## format Rust and Python sources
	@$(with_tools) cargo fmt --all
	@$(with_tools) "$$FAISS_INDEXER_PYTHON_CURRENT" -m ruff format --config scripts/python/ruff.toml $(python_scripts)

.PHONY: clean
clean: ## remove what was built inside the tree; the caches under ~/.cache/faiss-indexer stay
	@rm -rf build dist .gradle jvm/*/build

# --- parts

.PHONY: set-up
set-up: ## install or list what the machine lacks
	@scripts/set-up

.PHONY: set-up-for-tests
set-up-for-tests: ## install or list also what only the tests need
	@scripts/set-up --for-tests

.PHONY: native
native: set-up ## build the native library that goes into the jar
	@$(with_tools) cargo rustc $(cargo_flags) -p faiss-indexer-jni --lib --crate-type cdylib -- \
		-C linker="$(CURDIR)/native/toolchain/link-old-glibc"
	@$(with_tools) mkdir -p $(library_directory); \
		strip --strip-unneeded -o $(library).unfinished "$$CARGO_TARGET_DIR/release/libfaiss_indexer.so"; \
		if cmp -s $(library).unfinished $(library); then rm $(library).unfinished; \
		else mv $(library).unfinished $(library); fi

.PHONY: cli
cli: notices ## build the command line program and the completions of its flags into dist/
	@$(with_tools) cargo rustc $(cargo_flags) -p faiss-indexer-cli --bin faiss-indexer -- \
		-C linker="$(CURDIR)/native/toolchain/link-old-glibc"
	@$(with_tools) mkdir -p $(dir $(program)) $(completions); \
		strip -o $(program).unfinished "$$CARGO_TARGET_DIR/release/faiss-indexer"; \
		mv $(program).unfinished $(program)
	@cp jvm/core/build/notices/META-INF/* dist/
	@$(program) completions bash --output $(completions)/faiss-indexer.bash
	@$(program) completions zsh --output $(completions)/_faiss-indexer
	@$(program) completions fish --output $(completions)/faiss-indexer.fish

.PHONY: notices
notices: set-up ## collect the licences of everything that is linked into the native library or the program
	@$(with_tools) "$$FAISS_INDEXER_PYTHON_CURRENT" scripts/third-party-notices --write jvm/core/build/notices/META-INF

.PHONY: update-notices
update-notices: set-up ## rewrite THIRD-PARTY-NOTICES.md from Cargo.lock
	@$(with_tools) "$$FAISS_INDEXER_PYTHON_CURRENT" scripts/third-party-notices --update

.PHONY: jvm
jvm: native notices ## compile the JVM modules and pack their jars
	@$(with_tools) $(gradle) assemble

.PHONY: test-notices
test-notices: set-up-for-tests ## check that THIRD-PARTY-NOTICES.md lists what is linked
	@$(with_tools) "$$FAISS_INDEXER_PYTHON_CURRENT" scripts/third-party-notices --check

.PHONY: test-rust
test-rust: set-up-for-tests ## test the Rust crates, with a JVM in the process for the boundary and a small HDFS
	@$(with_tools) $(gradle) :hadoop:writeTestClasspath :hadoop:writeClusterClasspath; \
		FAISS_INDEXER_TEST_CLASSPATH="$$(cat build/test-classpath.txt)" \
		FAISS_INDEXER_CLUSTER_CLASSPATH="$$(cat build/cluster-classpath.txt)" \
		cargo test $(cargo_flags) --workspace --exclude faiss-indexer-cli

.PHONY: test-native-library
test-native-library: set-up-for-tests native ## check what the native library needs and exports
	@$(with_tools) "$$FAISS_INDEXER_PYTHON_CURRENT" tests/native_library/test-check-native-library
	@$(with_tools) "$$FAISS_INDEXER_PYTHON_CURRENT" tests/native_library/check-native-library $(library)
	@echo "1 passed, 0 failed"

.PHONY: test-cli
test-cli: set-up-for-tests cli ## test the program as it is shipped: whole builds, kill -9, a full disk, a small HDFS
	@$(with_tools) "$$FAISS_INDEXER_PYTHON_CURRENT" tests/native_library/check-native-library --program $(program)
	@$(with_tools) $(gradle) :hadoop:writeClusterClasspath; \
		FAISS_INDEXER_PROGRAM="$(CURDIR)/$(program)" \
		FAISS_INDEXER_CLUSTER_CLASSPATH="$$(cat build/cluster-classpath.txt)" \
		cargo test $(cargo_flags) -p faiss-indexer-cli

.PHONY: test-benchmarks
test-benchmarks: set-up-for-tests cli native ## run the benchmarks at a small scale
	@benchmarks/run --small

.PHONY: test-jvm
test-jvm: set-up-for-tests native notices cli ## test the Java and Scala modules, Spark and a small HDFS
	@$(with_tools) $(gradle) listTestsNotRun test

.PHONY: test-bare-debian
test-bare-debian: set-up-for-tests jvm cli ## build an index from the packed jar and by the program in a Debian root without a C++ runtime (needs root)
	@tests/bare_debian/test-bare-debian

.PHONY: test-demo
test-demo: dist ## run the demo with few rows and check its outcome
	@examples/demo/test-demo

.PHONY: lint-layers
lint-layers: set-up ## no layer uses one that is not below it
	@$(with_tools) scripts/check-layers

.PHONY: lint-rust
lint-rust: set-up ## rustfmt and clippy
	@$(with_tools) cargo fmt --all --check
	@$(with_tools) cargo clippy $(cargo_flags) --workspace --all-targets -- -D warnings

.PHONY: lint-jvm
lint-jvm: set-up ## compile Java and Scala with every warning an error
	@$(with_tools) $(gradle) testClasses clusterClasses

.PHONY: lint-scripts
lint-scripts: set-up ## shellcheck, hadolint and ruff
	@$(with_tools) PATH="$$(dirname "$$FAISS_INDEXER_PYTHON_CURRENT"):$$PATH"; \
		shellcheck --external-sources scripts/environment $(shell_scripts); \
		find examples -name Dockerfile -exec hadolint {} +; \
		ruff check --quiet --config scripts/python/ruff.toml $(python_scripts); \
		ruff format --quiet --check --config scripts/python/ruff.toml $(python_scripts)
