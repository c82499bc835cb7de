# Everything here sets up what it needs: a virtual environment in .venv, the package, system tools for the tests.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test setup bench clean

setup: $(VENV)/.installed
$(VENV)/.installed: pyproject.toml rust/Cargo.toml $(wildcard rust/src/*.rs rust/src/*/*.rs rust/src/*/*/*.rs)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

demo: setup  ## the main job on the shipped captures, logs and endpoint events
	COLUMNS=$${COLUMNS:-$$(test -t 1 && tput cols || echo 100)} $(BIN)/netexfil pcaps/*.pcap pcaps/zeek-ftps --join pcaps/endpoint

$(VENV)/.tested: $(VENV)/.installed
	sh tests/system-tools.sh
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

test: $(VENV)/.tested  ## all tests
	cargo test --quiet --manifest-path rust/Cargo.toml
	$(BIN)/python -m pytest -q

bench: $(VENV)/.tested  ## ratios against the named peers, see docs/performance.md
	sh benchmarks/system-tools.sh
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) build rust/target netexfil/*.so
