# Tiderace. `make demo` shows it; `make test` proves it. Both install what they need first.

export TIDERACE_STRICT

.PHONY: help
help:
	@echo 'make demo          a live stream of card payments and their features, in this terminal'
	@echo 'make build         the binary'
	@echo 'make install       the binary, into $${PREFIX:-~/.local}/bin'
	@echo 'make test          formats, lints, every test, the documentation'
	@echo 'make test-nightly  also long random schedules, and fuzzing'
	@echo 'make check         only what needs no test to run: format, lints, documentation, licences'
	@echo 'make bench         the measurements of benches/RESULTS.md'

.PHONY: demo
demo: build
	@exec scripts/tiderace demo

.PHONY: build
build:
	@scripts/setup.sh demo
	@scripts/build.sh --bin tiderace

.PHONY: install
install: build
	@install -D -m 755 "$$(scripts/tiderace --where)" "$${PREFIX:-$$HOME/.local}/bin/tiderace"

.PHONY: test
test:
	@scripts/setup.sh test
	@scripts/test.sh

.PHONY: test-nightly
test-nightly:
	@scripts/setup.sh test
	@TIDERACE_NIGHTLY=1 scripts/test.sh

.PHONY: check
check: export TIDERACE_STRICT = 1
check:
	@scripts/setup.sh test
	@scripts/check.sh

.PHONY: bench
bench:
	@scripts/setup.sh test
	@scripts/build.sh --bins
	@benches/run.sh
