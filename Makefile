# Every target sets up what it needs. Python 3.10 or newer and make suffice.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# One more than there are cores: deployments wait for their brokers and rounds.
TESTERS = $(shell $(BIN)/python -c 'import os; print(os.cpu_count() + 1)')
export EDGE_FD_DATA ?= $(abspath ../shared/data)

help:  ## show these targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

install: $(STAMP)  ## make .venv with everything, torch pinned by constraints.txt

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "edge-fd needs Python 3.10 or newer; set PYTHON=..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

broker:  ## install mosquitto where we may; else say how, and go on with amqtt
	@command -v mosquitto >/dev/null || test -x /usr/sbin/mosquitto || \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends mosquitto >/dev/null; \
	else \
		echo "mosquitto is not installed: run 'apt install mosquitto'; going on with the embedded amqtt"; \
	fi

demo: install broker  ## a real deployment here and a larger one simulated, compared in one report
	$(BIN)/edge-fd demo --out runs/demo

test: install broker  ## all tests, against every broker found
	$(BIN)/python -m pytest -q --numprocesses $(TESTERS) --dist loadfile --no-loadscope-reorder

check: install  ## lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: install broker  ## the benchmarks; writes benchmarks/results/*.json
	$(BIN)/python benchmarks/run.py

validate: install  ## the radio models against their oracles, the methods against published results (hours)
	$(BIN)/python -m validation.run --jobs $(or $(JOBS),2)

examples: install  ## Fashion-MNIST and UCI HAR, three seeds, resumable (hours); data in EDGE_FD_DATA
	$(BIN)/python examples/run.py

clean:  ## remove what was built here
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .hypothesis .pytest_cache

.PHONY: help install broker demo test check bench validate examples clean
.DEFAULT_GOAL := help
