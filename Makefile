# `make` lists the targets.

JOBS ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu 2>/dev/null || echo 2)
SOURCES := Package.swift Plugins Sources Tests Benchmarks/Decode Benchmarks/Notifier Benchmarks/Package.swift Benchmarks/Sources

.DEFAULT_GOAL := help
.PHONY: help deps build release install uninstall deb metrics-check packages-check test test-fast asan tsan soak soak-shared prove-finer prove-kills prove-kafka prove-rocketmq prove-run prove-shared smoke-postgres-18 fuzz demo demo-check memory bench bench-decode bench-notifier bench-service format lint check

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

deps: ## Install what is missing besides Swift (Debian and Ubuntu; elsewhere, say what that is)
	@scripts/deps.sh

build: deps ## Build for development
	swift build -j $(JOBS)

# Debug information of lines alone: crashes name files and lines, and a module compiles in 6% less processor time.
RELEASE_FLAGS := -Xswiftc -gline-tables-only -Xcc -gline-tables-only

release: deps ## Build the programs for use: .build/release/tidemark
	swift build -c release -j $(JOBS) $(RELEASE_FLAGS) --product tidemark
	swift build -c release -j $(JOBS) $(RELEASE_FLAGS) --product tidemark-receiver

# The program that is installed and packaged. It is built before, so that root installs and never builds.
BINARY ?= .build/release/tidemark
PREFIX ?= /usr/local

$(BINARY):
	@echo "$(BINARY) is missing: run 'make release' first" >&2; exit 1

install: $(BINARY) ## Install the release build below DESTDIR and PREFIX (/usr/local)
	@DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' packaging/install.sh install '$(BINARY)'

uninstall: ## Remove what `make install` has installed there
	@DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' packaging/install.sh uninstall

deb: $(BINARY) ## Make a Debian package of the release build, in .build
	@packaging/deb.sh '$(BINARY)' .build

metrics-check: $(BINARY) ## Check /metrics of BINARY, the alerts and the dashboard (needs promtool)
	@scripts/check-metrics.sh '$(BINARY)'

packages-check: $(BINARY) ## Check man pages, unit and Debian package of BINARY
	@packaging/check.sh '$(BINARY)'

.venv/ready: scripts/requirements.txt
	python3 -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -r scripts/requirements.txt
	touch $@

test: deps .venv/ready ## Run the tests on a private PostgreSQL, or on TIDEMARK_TEST_DATABASE_URL
	swift build -j $(JOBS) --build-tests
	@# A few at a time: all at once they starve each other on a small machine.
	SWT_EXPERIMENTAL_MAXIMUM_PARALLELIZATION_WIDTH=4 scripts/test-server.sh run \
	    swift test --skip-build $(if $(FILTER),--filter '$(FILTER)')

# No server: Core, the store's own logic, queues, budget, levels, and what every source has to hold.
FAST := (Tidemark(Core|Decoding|Sources|Projector|Configuration|Service)|RocketMQCodec)Tests

.venv/postgres-18/ready: scripts/requirements-postgres-18.txt
	python3 -m venv .venv/postgres-18
	.venv/postgres-18/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

# Replay, run and rebuild.
SMOKE := RunTests|RebuildTimelineTests|StreamTests

smoke-postgres-18: deps .venv/postgres-18/ready ## Run some of the tests on PostgreSQL 18
	swift build -j $(JOBS) --build-tests
	SWT_EXPERIMENTAL_MAXIMUM_PARALLELIZATION_WIDTH=4 scripts/smoke-postgres-18.sh \
	    swift test --skip-build --filter '$(SMOKE)'

test-fast: deps ## Run the tests that need no server
	swift build -j $(JOBS) --build-tests
	swift test --skip-build --filter '$(FAST)'

# Without SwiftNIO and what needs it, in folders of their own.
asan: deps ## Run the tests of Core, decoders, libpq and store under the address sanitizer
	TIDEMARK_CORE_ONLY=1 swift build -j $(JOBS) --scratch-path .build-asan --sanitize=address --build-tests
	@# Swift keeps metadata for ever, which is no leak; a test asks for more memory than there is, and is refused.
	SWT_EXPERIMENTAL_MAXIMUM_PARALLELIZATION_WIDTH=4 TIDEMARK_CORE_ONLY=1 \
	    ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 scripts/test-server.sh run \
	    swift test --skip-build --scratch-path .build-asan --sanitize=address

tsan: deps ## Run the same tests under the thread sanitizer
	TIDEMARK_CORE_ONLY=1 swift build -j $(JOBS) --scratch-path .build-tsan --sanitize=thread --build-tests
	clang -shared -fPIC -O1 -Wall -Werror scripts/tsan-mutex.c -o .build-tsan/tsan-mutex.so
	SWT_EXPERIMENTAL_MAXIMUM_PARALLELIZATION_WIDTH=4 TIDEMARK_CORE_ONLY=1 \
	    TSAN_OPTIONS=allocator_may_return_null=1:suppressions=$(CURDIR)/scripts/tsan.suppressions \
	    LD_PRELOAD=$(CURDIR)/.build-tsan/tsan-mutex.so \
	    scripts/test-server.sh run swift test --skip-build --scratch-path .build-tsan --sanitize=thread

FUZZ_SECONDS ?= 600

soak: deps ## Prove the properties on new histories until stopped
	swift build -j $(JOBS) --build-tests
	scripts/test-server.sh run bash -c \
	    'while TIDEMARK_TEST_HISTORIES=500 swift test --skip-build --filter PropertyTests; do :; done'

soak-shared: deps ## Run two processes on hot keys for an hour: no deadlock, nothing lost
	swift build -j $(JOBS) --build-tests
	TIDEMARK_TEST_SOAK_SECONDS=3600 scripts/test-server.sh run swift test --skip-build --filter SharedSoakTests

# Each proof is cut into stages. A stage that has passed on a commit is not run again: .prove has a file for each.
PROVE := scripts/prove.sh

prove-finer: deps ## Prove the properties on 4,000 generated histories, in stages
	$(PROVE) finer 8 FinerPropertyTests TIDEMARK_TEST_FINER_HISTORIES=500

prove-kills: deps ## Prove that 200 kills and a fault at each call of the database change nothing, in stages
	$(PROVE) kills 4 KillTests TIDEMARK_TEST_KILLS=50
	$(PROVE) faults 1 FaultTests TIDEMARK_TEST_FAULT_STEP=1

prove-shared: deps ## Prove that several processes end as one does: 200 seeds, 100 strokes, in stages
	$(PROVE) shared-seeds 8 SharedPropertyTests TIDEMARK_TEST_SHARED_SEEDS=25
	$(PROVE) shared-strokes 5 SharedProcessTests TIDEMARK_TEST_STROKES=20

prove-kafka: deps .venv/ready ## Prove that members of a group end as one does: 20 rounds, 1,000,000 events, in stages
	$(PROVE) kafka 10 KafkaStrokeTests TIDEMARK_TEST_KAFKA_ROUNDS=2 TIDEMARK_TEST_KAFKA_ORDERS=8500

prove-rocketmq: deps ## Prove the same of a group of RocketMQ: 20 rounds, 1,000,000 events, in stages
	$(PROVE) rocketmq 10 RocketMQStrokeTests TIDEMARK_TEST_ROCKETMQ_ROUNDS=2 TIDEMARK_TEST_ROCKETMQ_ORDERS=8500

prove-run: deps ## Prove that services lose nothing to 100 strokes, 10 restarts of the server, 400 cut connections
	$(PROVE) run-strokes 5 RunStrokeTests TIDEMARK_TEST_RUN_ROUNDS=20
	$(PROVE) run-restarts 1 RunRestartTests TIDEMARK_TEST_RESTARTS=10
	$(PROVE) run-cuts 1 RunCutTests TIDEMARK_TEST_CUTS=400

fuzz: deps ## Feed the decoders broken messages for FUZZ_SECONDS (600), from FUZZ_SEED
	swift build -c release -j $(JOBS) --product tidemark-fuzz
	.build/release/tidemark-fuzz --seconds $(FUZZ_SECONDS) $(if $(FUZZ_SEED),--seed $(FUZZ_SEED))

demo: deps ## Run the service on a disordered log, draw one order's life, and answer three questions
	@scripts/build-quietly.sh -j $(JOBS) tidemark tidemark-receiver
	@scripts/demo.sh

demo-check: deps ## Check that the demo ends well, at 80 columns, and leaves no process
	@scripts/build-quietly.sh -j $(JOBS) tidemark tidemark-receiver
	@scripts/demo-check.sh

memory: release ## Measure the peak memory of large replays
	Benchmarks/memory.sh

Benchmarks/.venv/ready: Benchmarks/requirements.txt
	python3 -m venv Benchmarks/.venv
	Benchmarks/.venv/bin/python -m pip install --quiet --disable-pip-version-check -r Benchmarks/requirements.txt
	touch $@

bench: deps Benchmarks/.venv/ready ## Compare with what one would use instead, or, with BEFORE=REV, with an earlier revision
	swift build -c release -j $(JOBS) --product tidemark
	swift build -c release -j $(JOBS) --product decode-benchmark
	swift build -c release -j $(JOBS) --package-path Benchmarks --scratch-path Benchmarks/.build
	@# A short run: BENCH_FLAGS="--orders 12500 --rounds 1", or "--orders 12500 --pairs 1".
	$(if $(BEFORE),before=$$(JOBS=$(JOBS) scripts/build-before.sh '$(BEFORE)') &&) \
	    Benchmarks/.build/release/bench $(if $(BEFORE),--before "$$before") $(BENCH_FLAGS)

bench-decode: deps ## Measure how fast lines become change events, without a database
	swift build -c release -j $(JOBS) --product decode-benchmark
	.build/release/decode-benchmark

bench-notifier: deps ## Measure the notifier: latency, throughput, and what a dead receiver costs the projector
	swift build -c release -j $(JOBS) --product tidemark
	swift build -c release -j $(JOBS) --product notifier-benchmark
	Benchmarks/notifier.sh

bench-service: deps Benchmarks/.venv/ready ## Measure `tidemark run`: latency, an outage, full speed, idleness (15 minutes)
	swift build -c release -j $(JOBS) --product tidemark
	swift build -c release -j $(JOBS) --package-path Benchmarks --scratch-path Benchmarks/.build
	@# Each of them, or WHAT="latency speed".
	status=0; for what in $(or $(WHAT),latency outage speed idle); do \
	    Benchmarks/.venv/bin/python Benchmarks/service.py $$what || status=1; done; exit $$status

format: ## Format all sources
	swift format -i -r -p $(SOURCES)

lint: ## Check the format, and that Core and the store are named by no kind of source
	swift format lint --strict -r -p $(SOURCES)
	python3 scripts/check-names.py

check: lint test ## What has to pass before a commit
