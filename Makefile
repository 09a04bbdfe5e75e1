# Two commands matter: `make demo` and `make test`. Each does all its set-up and is fast the second time.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
.DEFAULT_GOAL := help
.PHONY: help install demo test lint types layers unit contract pythons lowest coverage system system-1 system-2 faults backfill \
	alarm story waiting page docs dashboards rules chart image image-lint image-where-possible bench mutants audit lock clean debian-packages

help:  ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# What is installed; `make lowest` has files of its own.
LOCK := requirements.txt
LOCK_DEV := requirements-dev.txt

# A stamp is the last thing written: a half-made environment is made again.
$(VENV)/.ready: $(LOCK) requirements-build.txt pyproject.toml exporter/__init__.py
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is %d.%d: try make PYTHON=python3.12" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	@echo "setting up $(VENV) ..." >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) --no-deps --require-hashes -r $(LOCK) -r requirements-build.txt
	@$(PIP) --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m pip --disable-pip-version-check check >&2
	@touch $@

$(VENV)/.dev-ready: $(LOCK_DEV) $(VENV)/.ready
	@echo "adding the development tools ..." >&2
	@$(PIP) --no-deps --require-hashes -r $(LOCK_DEV)
	@$(BIN)/python -m pip --disable-pip-version-check check >&2
	@touch $@

install: $(VENV)/.ready  ## the program as .venv/bin/helpscout-exporter

demo: install  ## exporter and simulator together, no credentials
	@$(BIN)/helpscout-exporter demo

# make starts the groups in this order and so many at a time, for most tests wait more than they work.
# Each group shows what it said when it has ended, and one that fails lets the others end. First what
# needs no packages, while these are installed; then the longest. The faults come last, beside what
# takes next to no processor: they look at how soon a scrape is answered.
GROUPS := debian-packages unit contract types lint layers \
	story system-1 system-2 backfill alarm rules image-where-possible page coverage
QUIET_GROUPS := faults waiting
JOBS ?= 5
SIDE_BY_SIDE = $(MAKE) --no-print-directory --keep-going \
	$(filter --output-sync,$(.FEATURES:output-sync=--output-sync))

# What many processes import is compiled once.
test: $(VENV)/.dev-ready  ## every check
	@unset PYTHONDONTWRITEBYTECODE; status=0; \
		$(SIDE_BY_SIDE) --jobs=$(JOBS) $(GROUPS) || status=$$?; \
		$(SIDE_BY_SIDE) --jobs=2 $(QUIET_GROUPS) || status=$$?; \
		exit $$status

lint: $(VENV)/.dev-ready image-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/actionlint .github/workflows/*.yml

types: $(VENV)/.dev-ready
	$(BIN)/mypy

layers: $(VENV)/.dev-ready
	$(BIN)/lint-imports --no-cache

# These measure coverage: the first two of all, the others of what only processes run.
MEASURED = COVERAGE_FILE=.coverage.$@ $(BIN)/pytest --cov-report= --cov-fail-under=0

unit contract: $(VENV)/.dev-ready
	$(MEASURED) --cov=exporter tests/$@

# In two halves, or make would wait for this group alone.
system: system-1 system-2
system-1: FILES := test_[a-o]*
system-2: FILES := test_[!a-o]*
system-1 system-2: $(VENV)/.dev-ready debian-packages
	$(MEASURED) $(addprefix --cov=exporter.,cli core checking daemon poller) tests/system/$(FILES).py \
		$(WAITING:%=--ignore=%)

backfill: $(VENV)/.dev-ready debian-packages
	$(MEASURED) --cov=exporter.backfill tests/backfill

coverage: unit contract system backfill  ## branch coverage of all of these together, and the gate
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

pythons:  ## unit and contract tests under every Python (3.11 or newer) on PATH and in pyenv
	@$(PYTHON) -m scripts.pythons

lowest:  ## the same with the lowest versions that pyproject.toml allows and that have wheels
	@$(PYTHON) -m scripts.pythons --lowest

faults: $(VENV)/.dev-ready debian-packages
	$(BIN)/pytest tests/faults

# Minutes of real time, in which little is done: each by itself, or others would wait for them.
STORY := tests/alarm/test_story.py
WAITING := tests/system/test_health.py

story: $(VENV)/.dev-ready debian-packages
	$(BIN)/pytest $(STORY)

waiting: $(VENV)/.dev-ready debian-packages
	$(BIN)/pytest $(WAITING)

# Histories of hours and weeks, which promtool computes.
HISTORIES := tests/alarm/test_rules.py tests/alarm/test_silence.py tests/alarm/test_chance.py

rules: $(VENV)/.dev-ready debian-packages  ## checks and tests Prometheus's rules (as `make test` does, too)
	$(BIN)/pytest $(HISTORIES)

alarm: $(VENV)/.dev-ready debian-packages
	$(BIN)/pytest tests/alarm $(patsubst %,--ignore=%,$(HISTORIES) $(STORY))

# Helm runs in the process of the tests. Of its time a third went into collecting garbage.
page: $(VENV)/.dev-ready debian-packages
	GOGC=400 $(BIN)/pytest tests/page tests/chart

debian-packages:  # what the system tests start for real, in an older and a newer generation
	@scripts/debian-packages
	@scripts/newer-programs

docs: $(VENV)/.dev-ready  ## generates the pages again
	$(BIN)/python -m scripts.generate_docs

dashboards: $(VENV)/.dev-ready  ## generates the dashboards and alert rules of Grafana again
	$(BIN)/python -m scripts.dashboards

chart: $(VENV)/.dev-ready  ## generates the copies and the table of values of the chart again
	$(BIN)/python -m scripts.chart

image-lint: $(VENV)/.dev-ready
	$(BIN)/hadolint Dockerfile

image: $(VENV)/.dev-ready debian-packages  ## builds the image without a daemon, and tests it (root, Debian)
	@scripts/debian-packages buildah:buildah mmdebstrap:mmdebstrap
	@image=$$(scripts/image) && IMAGE=$$image $(BIN)/pytest tests/image

# The tools come from apt-get, and want root and the right to mount.
image-where-possible: $(VENV)/.dev-ready debian-packages
	@if [ "$$(id -u)" -eq 0 ] && command -v apt-get >/dev/null && unshare --mount true 2>/dev/null; \
	then $(MAKE) --no-print-directory image; \
	else echo "no image is built here: that needs root, apt-get and the right to mount" >&2; fi

bench: $(VENV)/.dev-ready  ## measures beside peers, writes benchmarks/RESULTS.md (a quarter of an hour)
	@scripts/debian-packages prometheus-pushgateway:prometheus-pushgateway
	$(BIN)/python -m benchmarks.scrape
	$(BIN)/python -m benchmarks.poll
	$(BIN)/python -m benchmarks.page
	$(BIN)/python -m benchmarks.commands
	$(BIN)/python -m benchmarks.rules

mutants: $(VENV)/.dev-ready  ## puts known faults into the code, one at a time; says which no test notices
	$(BIN)/python -m scripts.mutants

audit: $(VENV)/.dev-ready  ## looks for known vulnerabilities in what is pinned (asks the network)
	$(BIN)/pip-audit --strict --require-hashes --disable-pip --progress-spinner off -r requirements.txt

lock:  ## pins every dependency again (versions and hashes, no index address)
	scripts/lock

clean:  ## removes what the other targets made
	rm -rf $(VENV) .venv-lock .pythons .mypy_cache .ruff_cache .pytest_cache .coverage* .hypothesis .image-cache
